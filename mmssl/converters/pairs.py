"""What data sets of images and masks share that have no layout of their own to be brought to.

Written are pictures `<domain>/{image,mask}/NAME_slice_K.png`, or HDF5 volumes `<domain>/NAME.h5`,
and lists of the parts of each domain, drawn by case.
"""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmssl.converters.any_format import Cut, Slices, read_slices
from mmssl.converters.base import Converter, Item, Made, config_text
from mmssl.converters.faults import Fault, Unfit
from mmssl.converters.images import as_bytes, stretched
from mmssl.converters.outputs import Writer, hdf5, png
from mmssl.converters.raw import Raw

PARTS = ('train', 'val', 'test')
CLASSES = 32
"""As many values of masks as can be classes; more are taken for an image in the mask's place."""

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    'layout': (
        'pictures of slices (slices) or HDF5 volumes',
        dict(choices=('slices', 'volumes'), default='slices'),
    ),
    'plane': (
        'how volumes are cut (as they were acquired)',
        dict(choices=('axial', 'coronal', 'sagittal')),
    ),
    'frame': (
        'which volume of 4-D files, such as the channel of an MSD task, from 0',
        dict(type=int, metavar='N'),
    ),
    'clip': (
        'cut off this share of the values of an image at either end first (0)',
        dict(type=float, default=0.0, metavar='PERCENT'),
    ),
    'window': (
        'values that become the darkest and brightest, as for CT',
        dict(type=float, nargs=2, metavar=('LOW', 'HIGH')),
    ),
    'empty': (
        'what becomes of slices without any structure (keep)',
        dict(choices=('keep', 'drop'), default='keep'),
    ),
    'val': (
        'share of the cases for validation (0.1)',
        dict(type=float, default=0.1, metavar='SHARE'),
    ),
    'test': (
        'share of the cases for testing (0.2)',
        dict(type=float, default=0.2, metavar='SHARE'),
    ),
    'seed': ('of the draw (0)', dict(type=int, default=0, metavar='N')),
}


class Pairs(Converter):
    """Images and masks, to slices or volumes with lists."""

    settings: ClassVar[Sequence[str]] = (
        'layout',
        'ignore_geometry',
        'plane',
        'frame',
        'clip',
        'window',
        'empty',
        'val',
        'test',
        'seed',
    )
    names: Mapping[int, str] = {}

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._made: dict[str, Made] = {}
        self._items: list[Item] = []
        self._channels = 1

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Add what is written, how it is cut and scaled, and how it is split."""
        for name, (text, options) in OPTIONS.items():
            parser.add_argument(f'--{name}', help=text, **options)

    def case(self) -> str:
        """Return what finds the patient in the name of an image; by default each is its own."""
        return '(?P<case>.+?)'

    def labels(self) -> tuple[int, ...] | None:
        """Return the values that masks may have, None for all."""
        return None

    def split(
        self, domain: str, cases: Iterable[str], fixed: Iterable[str], faults: list[Fault]
    ) -> dict[str, str]:
        """Return case -> part, drawn with the seed; cases without masks are for training.

        Args:
            domain: name of the domain.
            cases: the cases with masks.
            fixed: the others.
            faults: takes up what is wrong.
        """
        order = sorted(set(cases) - set(fixed))
        np.random.default_rng(self.options.seed).shuffle(order)
        shares = {part: getattr(self.options, part) for part in ('test', 'val')}
        counts = {part: max(1, round(s * len(order))) if s > 0 else 0 for part, s in shares.items()}
        without_masks = not order and set(fixed)
        if not without_masks and sum(counts.values()) + (not set(fixed)) > len(order):
            what = f'{len(order)} case(s) with masks cannot be split by {shares}.'
            faults.append(Fault(domain, f'{what} Choose other --val and --test.'))
            counts = {}
        found = dict.fromkeys([*order, *fixed], 'train')
        for part, count in counts.items():
            found.update(dict.fromkeys(order[:count], part))
            order = order[count:]
        return found

    def make(self, item: Item, raw: Raw) -> Made:
        """Return the pictures or the volume of an item."""
        options = self.options
        stored = getattr(options, 'ignore_geometry', False)
        cut = Cut(options.plane, options.frame, stored, self.labels())
        name, mask_name = item.sources['image'], item.sources.get('mask', '')
        with raw.file(name) as image:
            if mask_name:
                with raw.file(mask_name) as mask:
                    found = read_slices(image, mask, cut, name, mask_name)
            else:
                found = read_slices(image, None, cut, name, '')
        count = 0 if found.labels is None else len(np.unique(found.labels))
        if count > CLASSES:
            raise Unfit(f'mask {mask_name} has {count} values, more than classes: is it an image?')
        values = self._scaled(found, name)
        self._channels = max(self._channels, 3 if values.ndim == 4 else 1)
        make = self._volume if options.layout == 'volumes' else self._pictures
        return make(item, values, found)

    def _scaled(self, found: Slices, name: str) -> np.ndarray:
        """Return the values from 0 to 1; those of a picture of 8 bit stay as they are."""
        if self.options.window:
            low, high = self.options.window
            if not low < high:
                raise Unfit(f'--window {low:g} {high:g}: the first value must be the smaller one.')
            return np.clip((found.values.astype(np.float64) - low) / (high - low), 0, 1)
        if found.bytes and not self.options.clip:
            return found.values / 255
        return stretched(found.values, name, self.options.clip)

    def _pictures(self, item: Item, values: np.ndarray, found: Slices) -> Made:
        folder, stem = item.domain, item.name
        files: dict[str, Writer] = {}
        keep = list(range(len(values)))
        if self.options.empty == 'drop' and found.labels is not None:
            keep = np.flatnonzero(found.labels.any(axis=(1, 2))).tolist()
        if not keep:
            raise Unfit(f'{item.sources["image"]}: its mask has no structure.')
        pixels = np.rint(values * 255).astype(np.uint8) if found.bytes else as_bytes(values)
        for index in keep:
            name = f'{stem}.png' if found.flat else f'{stem}_slice_{index + 1}.png'
            files[f'{folder}/image/{name}'] = png(pixels[index])
            if found.labels is not None:
                files[f'{folder}/mask/{name}'] = png(found.labels[index])
        return _made(files, len(keep), values, found, len(values) - len(keep))

    def _volume(self, item: Item, values: np.ndarray, found: Slices) -> Made:
        if values.ndim == 4:
            raise Unfit(f'{item.sources["image"]} is in colour, and no volume: --layout slices.')
        content = hdf5(values.astype(np.float32), found.labels, found.spacing)
        files = {f'{item.domain}/{item.name}.h5': content}
        return _made(files, len(values), values, found, 0)

    def lists(self, items: Sequence[Item], made: Mapping[str, Made]) -> dict[str, list[str]]:
        """Return the parts of each domain, and what has masks where not all have."""
        self._items, self._made = list(items), dict(made)
        lists: dict[str, list[str]] = {}
        for item in items:
            for part in PARTS:
                if part == item.part or self._has(part):
                    lines = lists.setdefault(f'{item.domain}/{part}.list', [])
                    lines += [item.name] if part == item.part else []
        if self._unlabelled():
            lists['labelled.list'] = [
                f'{item.domain}/{item.name}'
                for item in items
                if 'mask' in item.sources and item.part == 'train'
            ]
        return lists

    def _has(self, part: str) -> bool:
        return part == 'train' or getattr(self.options, part) > 0

    def _unlabelled(self) -> bool:
        return any('mask' not in item.sources for item in self._items)

    def config(self, out: Path) -> str:
        """Return a config with labels of a tenth of the training cases, or of all with masks."""
        volumes = self.options.layout == 'volumes'
        items = self._items
        domains = list(dict.fromkeys(item.domain for item in items))
        values = sorted({value for made in self._made.values() for value in made.labels})
        names = [re.sub(r'\W+', '_', self.names.get(v, f'label_{v}')) for v in values[1:]]
        parts = ', '.join(f'{name}=[{k}]' for k, name in enumerate(names, 1))
        given = ', '.join(f"{part}='{{domain}}/{part}.list'" for part in PARTS if self._has(part))
        folder = ['{domain}', '{domain}'] if volumes else ['{domain}/image', '{domain}/mask']
        suffix = '.h5' if volumes else '.png'
        return config_text(
            'mean_teacher/lite_acdc.py' if volumes else 'unimatch/lite_phantom.py',
            out,
            "type='MixedDomainDataset'",
            f'domains={domains!r}',
            f'image_dir={folder[0]!r}',
            f'mask_dir={folder[1]!r}',
            f'image_suffixes=({suffix!r},)',
            f'mask_suffixes=({suffix!r},)',
            f'case_pattern={case_pattern(self.case())!r}',
            # Pictures of 8 bit are taken as they are; it is for the volumes that are predicted.
            f'value_range={(0, 1) if volumes else "volume"!r}',
            f'channels={self._channels}',
            f'label_map={ {value: k for k, value in enumerate(values)} }',
            f"split=dict(type='list', {given})",
            f'labelled=dict({self._labelled(domains)})',
            f'metainfo=dict(dataset_name={self.title.lower()!r}, '
            f'classes={("background", *names)!r}, parts=dict({parts}))',
            validation=self.options.val > 0,
            tested=[d for d in domains if any(i.domain == d and i.part == 'test' for i in items)],
        )

    def _labelled(self, domains: Sequence[str]) -> str:
        if self._unlabelled():
            return "domain='all', list='labelled.list'"
        own = {
            item.case for item in self._items if item.domain == domains[0] and item.part == 'train'
        }
        return f'domain={domains[0]!r}, cases={max(1, len(own) // 10)}, seed=0'


def case_pattern(case: str) -> str:
    r"""Return what finds patient, volume and slice in the names that are written.

    Args:
        case: regular expression for the name of an image, with a group `case`.

    Example:
        >>> re.fullmatch(case_pattern(r'(?P<case>p\d+)_.*'), 'p01_T2_slice_3').groupdict()
        {'volume': 'p01_T2', 'slice': '3', 'case': 'p01'}
    """
    whole = r'(?=(?P<volume>.+?)(?:_slice_(?P<slice>\d+))?$)'
    return rf'{whole}(?:{case})(?:_slice_\d+)?'


def _made(
    files: Mapping[str, Writer], count: int, values: np.ndarray, found: Slices, left_out: int
) -> Made:
    classes = () if found.labels is None else tuple(np.unique(found.labels).tolist())
    return Made(files, count, values.shape[1:3], found.spacing, classes, left_out)
