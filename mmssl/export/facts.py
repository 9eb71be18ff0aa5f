"""What an exported file says of itself, so that whoever runs it knows how to prepare an image."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmssl import __version__
from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.transforms.base import side_of
from mmssl.datasets.transforms.loading import LoadImage, LoadMask, ResizeMaskTo, ResizeSquare
from mmssl.datasets.transforms.packing import PackTestInputs
from mmssl.datasets.transforms.whole import LoadVolume, NormaliseIntensity, Resample
from mmssl.export.network import ExportedNetwork
from mmssl.registry import DATASETS
from mmssl.utils.errors import SettingError

KEY = 'mmssl'
"""Name of the entry of the file's metadata that holds the facts as JSON."""

FORMAT = 1
INPUT, OUTPUT = 'image', 'logits'
IN_THE_FILE = (LoadImage, LoadVolume, LoadMask, ResizeMaskTo, PackTestInputs)
"""Transforms that say nothing of how an image is prepared."""


def test_dataset(cfg: Mapping[str, Any]) -> MixedDomainDataset:
    """Return the test data of a config; no file is looked for.

    Raises:
        SettingError: there are none, or of another kind.
    """
    loader = cfg.get('test_dataloader') or {}
    dataset = loader.get('dataset')
    built = DATASETS.build({**dataset, 'lazy_init': True}) if dataset else None
    if not isinstance(built, MixedDomainDataset):
        raise SettingError(
            'The config has no test_dataloader with a data set of mmssl, which says how an image '
            'is prepared: add one to the config'
        )
    return built


def describe(
    network: ExportedNetwork, cfg: Mapping[str, Any], side: int | None = None
) -> dict[str, Any]:
    """Return the facts: what goes in and comes out, how an image is prepared, what classes mean.

    Args:
        network: what is exported.
        cfg: the model's config.
        side: of the network's images, in place of that of the config.

    Raises:
        SettingError: nothing says at which size the network works.
    """
    dataset = test_dataset(cfg)
    steps = list(preparation(dataset))
    if dataset.sample == 'volume':
        return _of_volumes(network, dataset, steps, side)
    sizes = [step['size'] for step in steps if 'size' in step]
    own = side or network.side
    if own and sizes[-1:] != [[own, own]]:
        # as the preprocessor brings images to a student's size
        steps.append({'resize': 'corner-aligned nearest', 'size': [own, own]})
        sizes.append([own, own])
    if not sizes:
        raise SettingError(
            'Neither the data nor the model says at which size images come: give --size PIXELS'
        )
    layouts = dataset.layouts
    channels = {layout.channels for layout in layouts.values()}
    if len(channels) > 1:
        raise SettingError(
            f'The domains have images of {sorted(channels)} channels, and a file takes one kind: '
            'export with --cfg-options test_dataloader.dataset.domains=[...]'
        )
    ranges = {name: layout.value_range for name, layout in layouts.items()}
    one = len({str(found) for found in ranges.values()}) == 1
    norm = network.model.data_preprocessor.norms[network.lead]
    return {
        'input': {
            'name': INPUT,
            'type': 'float32',
            'shape': ['batch', channels.pop(), *sizes[-1]],
            'grey_values': [0, 255],
            'colour_order': 'RGB',
        },
        'preparation': steps,
        'value_range': next(iter(ranges.values())) if one else ranges,
        'normalisation': {'inside': True, 'mean': norm.mean, 'std': norm.std},
        'output': {
            'name': OUTPUT,
            'type': 'float32',
            'decision': 'arg-max over the classes, then corner-aligned nearest to the image',
        },
        **_about(network, dataset),
    }


def _of_volumes(
    network: ExportedNetwork, dataset: MixedDomainDataset, steps: list, side: int | None
) -> dict[str, Any]:
    """Return the facts of a network of whole volumes, of which it sees one window at a time."""
    window = network.window
    if window is None and side is None:
        raise SettingError(
            'Nothing says how large the window is that the file takes of a volume: give --size '
            'VOXELS, or an inferer to the model'
        )
    layout = next(iter(dataset.layouts.values()))
    size = [side] * 3 if side else list(window.size if window else ())
    norm = network.model.data_preprocessor.norms[network.lead]
    frames = list(layout.frames)
    canonical = layout.geometry == 'canonical'
    return {
        'input': {
            'name': INPUT,
            'type': 'float32',
            'shape': ['batch', max(1, len(frames)), *size],
            'axes': 'slice, row, column' if canonical else 'as stored',
            **({'plane': layout.plane or 'axial'} if canonical else {}),
            **({'frames': frames} if len(frames) > 1 else {}),
        },
        'preparation': steps,
        'normalisation': {'inside': True, 'mean': norm.mean, 'std': norm.std},
        'window': {
            'size': size,
            'stride': list(window.stride) if window and not side else size,
            'weights': window.weights if window else 'constant',
            'mirror': list(window.mirror) if window else [],
            'padding': 'zeros on both sides of a smaller volume, half of them before it',
        },
        'output': {
            'name': OUTPUT,
            'type': 'float32',
            'decision': 'softmax over the classes of each window, mean over the windows, linear '
            'to the size of the file, arg-max',
        },
        **_about(network, dataset),
    }


def _about(network: ExportedNetwork, dataset: MixedDomainDataset) -> dict[str, Any]:
    """Return what the facts of every network say."""
    meta = dataset.metainfo
    return {
        'format': FORMAT,
        'method': type(network.model).__name__,
        'network': network.output,
        'teacher': network.teacher,
        'classes': list(meta.get('classes', ())),
        'parts': {name: list(ids) for name, ids in (meta.get('parts') or {}).items()},
        'colours': [list(colour) for colour in meta.get('palette', ())],
        'data_set': meta.get('dataset_name'),
        'versions': {'mmssl': __version__, 'torch': torch.__version__},
    }


def preparation(dataset: MixedDomainDataset) -> Sequence[dict[str, Any]]:
    """Return what the test pipeline does to an image between the file and the network.

    Raises:
        SettingError: a transform that no reader of the file could do.
    """
    steps: list[dict[str, Any]] = []
    for step in [*dataset.prepare, *dataset.pipeline]:
        if isinstance(step, ResizeSquare):
            side = step.size or side_of({'sizes': dataset.sizes}, 'image', 'ResizeSquare')
            how = 'corner-aligned nearest' if step.interpolation == 'zoom' else step.interpolation
            steps.append({'resize': how, 'size': [side, side]})
        elif isinstance(step, Resample):
            steps.append({'resample': 'linear', 'spacing_mm': list(step.spacing)})
        elif isinstance(step, NormaliseIntensity):
            pairs = {'window': step.window, 'percentiles': step.percentiles}
            limits = {name: list(pair) for name, pair in pairs.items() if pair}
            steps.append({'normalise': step.mode, **limits, 'nonzero': step.nonzero})
        elif not isinstance(step, IN_THE_FILE):
            raise SettingError(
                f'{type(step).__name__} of the test pipeline is no resizing, and whoever runs the '
                'file would not know how to do it: take it out of test_dataloader'
            )
    return steps
