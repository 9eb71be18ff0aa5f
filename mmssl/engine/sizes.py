"""Compare the images of the data with the networks: their axes, and the size of some."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

PARTS = ('backbone', 'decode_head')
SAMPLES: dict[type[nn.Module], str] = {nn.Conv2d: 'slice', nn.Conv3d: 'volume'}
"""What a network takes by its convolutions, as data sets call it."""


def check_axes(model: nn.Module, datasets: Mapping[str, Sequence]) -> None:
    """Make sure that no network of slices gets volumes, nor one of volumes slices.

    Every network of a model that has convolutions of one kind only is looked at: students, and
    what else a method holds, such as a SAM or a diffusion model.

    Args:
        model: the model.
        datasets: name of the loader to its data set.

    Raises:
        ValueError: one does.
    """
    for loader, dataset in datasets.items():
        given = getattr(dataset, 'sample', None)
        for name, network in _networks(model) if given else ():
            kinds = {SAMPLES[type(m)] for m in network.modules() if type(m) in SAMPLES}
            if len(kinds) == 1 and given not in kinds:
                raise ValueError(
                    f"{loader} gives samples of one {given} each (sample='{given}'), but {name} of "
                    f'{type(model).__name__} takes one {kinds.pop()}: change `sample` of the data '
                    'set, or choose a network or a method for these'
                )


def _networks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every network of a model with its name."""
    for name, child in model.named_children():
        if name == 'students':
            yield from ((f'the student "{key}"', one) for key, one in child.named_children())
        elif name != 'teachers':
            yield f'`{name}`', child


def check_sizes(model: torch.nn.Module, datasets: Mapping[str, Sequence]) -> None:
    """Make sure that every student gets images of the size that it is built for.

    Only models with such a student have an image of each data set made for it.

    Args:
        model: has `students`, and in its preprocessor the `sizes` that images are brought to.
        datasets: name of the loader to its data set.

    Raises:
        ValueError: an image has another size.
    """
    sizes = getattr(getattr(model, 'data_preprocessor', None), 'sizes', {})
    parts = {
        (name, part): getattr(student, part, None)
        for name, student in getattr(model, 'students', {}).items()
        for part in PARTS
    }
    sides = {key: getattr(part, 'img_size', None) for key, part in parts.items()}
    built = {key: side for key, side in sides.items() if side is not None}
    for loader, dataset in datasets.items() if built else ():
        own = image_side(dataset)
        for (name, part), side in built.items():
            given = sizes.get(name, {}).get('image') or own
            if given not in (None, side):
                raise ValueError(
                    f'{loader} gives the student "{name}" images of {given} px, but its {part} is '
                    f'built for {side} px: set image_size at the top of the config, which changes '
                    f'them all, or img_size={given} in the backbone and the decode_head of '
                    f'model.students.{name}'
                )


def image_side(dataset: Sequence) -> int | None:
    """Return the height of a data set's images, None if its samples are of an unknown kind."""
    inputs = dataset[0]['inputs'] if len(dataset) else None
    if isinstance(inputs, Mapping):
        inputs = inputs.get('x_w', inputs.get('u_w'))
    return inputs.shape[-2] if torch.is_tensor(inputs) else None
