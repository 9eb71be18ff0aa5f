"""From a list of samples to a batch."""

from collections.abc import Sequence

import torch
from mmengine.registry import FUNCTIONS


# The runner looks collate functions up in mmengine's own registry, whatever the scope.
@FUNCTIONS.register_module()
def semi_collate(samples: Sequence[dict]) -> dict:
    """Stack the views of labelled and of unlabelled samples, each kind in its order.

    Args:
        samples: what `PackSemiInputs` makes, dict(inputs={view: tensor}, data_samples=...).

    Returns:
        dict(inputs={view: (n, ...)}, data_samples=dict(labelled=[...], unlabelled=[...])); the
        views are x_w and y of the n_l labelled samples, u_w, u_s, ... of the n_u unlabelled ones.

    Raises:
        ValueError: samples have different views or sizes.
    """
    groups: dict[str, list[dict]] = {'labelled': [], 'unlabelled': []}
    for sample in samples:
        groups['labelled' if 'x_w' in sample['inputs'] else 'unlabelled'].append(sample)
    inputs: dict[str, torch.Tensor] = {}
    for group in groups.values():
        for view in group[0]['inputs'] if group else ():
            inputs[view] = _stack(group, view)
    data_samples = {kind: [s['data_samples'] for s in group] for kind, group in groups.items()}
    return dict(inputs=inputs, data_samples=data_samples)


def _stack(group: list[dict], view: str) -> torch.Tensor:
    first = group[0]
    for sample in group:
        shape = tuple(sample['inputs'][view].shape) if view in sample['inputs'] else None
        if shape != tuple(first['inputs'][view].shape):
            raise ValueError(
                f'View "{view}" is {tuple(first["inputs"][view].shape)} for '
                f'{first["data_samples"].metainfo.get("img_path")} but {shape} for '
                f'{sample["data_samples"].metainfo.get("img_path")}. Bring all images to one '
                'size and number of channels (ResizeSquare, or RandomCrop for volumes).'
            )
    return torch.stack([sample['inputs'][view] for sample in group])
