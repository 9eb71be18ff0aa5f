"""Fundus: optic cup and disc in photographs of Drishti-GS, RIM-ONE r3 and REFUGE.

DoFE (IEEE TMI 2020) cut squares of 800 px around the disc out of them, without resizing; MiDSS and
SynFoC use four of its domains. Where DoFE's square lay is not published, it is up to 40 px off the
middle of the disc in the samples; here it is centred on the disc of the mask. Beyond the photograph
it is black. Masks are 0 in the cup, 128 in the rim of the disc and 255 outside.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmssl.converters.base import TEST_SHARE, Converter, Item, Made, config_text, published_of
from mmssl.converters.faults import Fault, Unfit
from mmssl.converters.images import read_picture
from mmssl.converters.outputs import png
from mmssl.converters.raw import Raw

SIZE = 800
CUP, RIM, OUTSIDE = 0, 128, 255
# What three of the four experts of Drishti-GS agree on, as its authors score.
AGREED = 0.7
# RIM-ONE r3 has two photographs side by side, of which the left one is marked.
LEFT = 1072

# Drishti-GS: the healthy eyes, which DoFE's names begin with n.
NORMAL = (
    '007 008 009 013 017 018 033 035 036 037 041 042 046 047 057 072 078 085 089 090 091 092 093 '
    '094 095 096 097 098 099 100 101'
)
# RIM-ONE r3: the test part of Maninis et al. (MICCAI 2016), which DoFE took over.
RIM_ONE_TEST = (
    'G-2-R G-22-L G-23-R G-24-L G-25-L G-26-R G-27-R G-28-L G-29-R G-30-L G-31-R N-1-L N-2-R N-3-L '
    'N-4-R N-17-L N-18-R N-20-R N-21-L N-22-R N-23-L N-28-R N-29-L N-30-R N-31-L N-32-R N-33-L '
    'N-34-R N-35-L N-36-R N-37-L N-38-R N-39-L N-40-R N-41-L N-42-R N-43-L N-44-R N-46-R N-47-L '
    'N-48-R N-49-L N-50-R N-51-L N-78-R S-2-L S-3-R S-4-L S-5-L S-6-R S-7-L S-8-R S-9-L S-29-R '
    'S-30-L S-31-L S-32-L S-33-R S-34-L S-35-R'
)


class Origin(NamedTuple):
    """One of the collections: how its files are called and what they mean.

    Attributes:
        title: its name.
        number: how many photographs are published.
        files: regular expressions of photograph, disc and cup, or of photograph and mask, with a
            group `name`.
        masks: makes cup and disc of what the mask files hold.
    """

    title: str
    number: int
    files: Mapping[str, str]
    masks: Callable[[Mapping[str, np.ndarray]], tuple[np.ndarray, np.ndarray]]


def _agreed(masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return cup and disc where most experts drew them."""
    return masks['cup'] > AGREED * 255, masks['disc'] > AGREED * 255


def _drawn(masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return cup and disc of one mask for each."""
    return masks['cup'] > 127, masks['disc'] > 127


def _in_one(masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return cup and disc of one mask with 0, 128 and 255.

    Raises:
        Unfit: there are other values.
    """
    mask = masks['mask']
    wrong = sorted(set(np.unique(mask).tolist()) - {CUP, RIM, OUTSIDE})
    if wrong:
        raise Unfit(f'its mask has values {wrong[:5]} (expected: 0, 128 and 255).')
    return mask == CUP, mask < OUTSIDE


def origins(expert: str) -> dict[str, Origin]:
    """Return domain -> collection, with the chosen masks of RIM-ONE r3."""
    drishti = r'(?i)(.*/)?(?P<name>drishtiGS_\d{3})'
    eye = r'(?P<name>[GNS]-\d+-[LR])'
    which = 'Avg' if expert == 'average' else f'exp{expert}'
    folder = 'Average_masks' if expert == 'average' else f'Expert{expert}_masks'
    rim_one = {
        role: rf'(?i)(.*/)?{folder}/{eye}(-1)?-{role}-{which}\.png' for role in ('disc', 'cup')
    }
    refuge = {
        'image': r'(?i)(.*/)?(?P<name>{})\.jpe?g',
        'mask': r'(?i)(.*/)?(?P<name>{})\.bmp',
    }
    first = {role: text.format(r'[gn]\d{4}') for role, text in refuge.items()}
    second = {role: text.format(r'V\d{4}') for role, text in refuge.items()}
    soft = {'disc': 'OD', 'cup': 'cup'}
    return {
        'Domain1': Origin(
            'Drishti-GS',
            101,
            {
                'image': rf'{drishti}\.png',
                **{role: rf'{drishti}_{text}segSoftmap\.png' for role, text in soft.items()},
            },
            _agreed,
        ),
        'Domain2': Origin(
            'RIM-ONE r3', 159, {'image': rf'(?i)(.*/)?{eye}\.jpe?g', **rim_one}, _drawn
        ),
        'Domain3': Origin('REFUGE training', 400, first, _in_one),
        'Domain4': Origin('REFUGE validation', 400, second, _in_one),
    }


class Fundus(Converter):
    """Drishti-GS, RIM-ONE r3 and REFUGE as they are published, to the squares of DoFE."""

    name = 'fundus'
    summary = 'fundus photographs of four origins, cut around the disc as for DoFE'
    title = 'Fundus'
    volumes = False
    settings = ('domains', 'expert', 'test_names')

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Add which collections, whose masks, and which test part."""
        parser.add_argument(
            '--domains',
            nargs='+',
            choices=tuple(origins('1')),
            default=list(origins('1')),
            help='1 Drishti-GS, 2 RIM-ONE r3, 3 REFUGE training, 4 REFUGE validation (all)',
        )
        parser.add_argument(
            '--expert',
            choices=('1', '2', 'average'),
            default='1',
            help='whose masks of RIM-ONE r3 (1)',
        )
        parser.add_argument(
            '--test-names',
            metavar='FILE',
            help='names of the test images of REFUGE, one a line; without, every fifth is taken',
        )

    def plan(self, raw: Raw, faults: list[Fault]) -> list[Item]:
        """Return the photographs of each collection."""
        items = []
        for domain, origin in origins(self.options.expert).items():
            if domain not in self.options.domains:
                continue
            found: dict[str, dict[str, str]] = {}
            for role, pattern in origin.files.items():
                for path, match in raw.find(pattern).items():
                    found.setdefault(match['name'], {})[role] = path
            if len(found) != origin.number:
                what = f'{len(found)} photographs found, {origin.number} are published.'
                faults.append(Fault(f'{domain} ({origin.title})', what))
            test = self._test_names(domain, found)
            for name in sorted(found):
                missing = [f'its {r} is missing.' for r in origin.files if r not in found[name]]
                part = 'test' if name in test else 'train'
                facts, full = dict(called=_called(name)), f'{domain}/{name}'
                items.append(Item(domain, part, full, found[name], facts, missing=missing))
        return items

    def _test_names(self, domain: str, found: Mapping[str, Mapping[str, str]]) -> set[str]:
        if domain == 'Domain1':
            return {n for n, files in found.items() if re.search('/Test/', files.get('image', ''))}
        if domain == 'Domain2':
            return set(RIM_ONE_TEST.split())
        if self.options.test_names:
            lines = Path(self.options.test_names).read_text().split()
            return {line.rpartition('/')[2].partition('.')[0] for line in lines}
        return set(sorted(found)[:: round(1 / TEST_SHARE)])

    def make(self, item: Item, raw: Raw) -> Made:
        """Return the square around the disc, of photograph and mask."""
        origin = origins(self.options.expert)[item.domain]
        pictures = {}
        for role, name in item.sources.items():
            with raw.file(name) as path:
                pictures[role] = read_picture(path, name, 'RGB' if role == 'image' else 'L')
        image = pictures.pop('image')
        if item.domain == 'Domain2':
            wide = image.shape[1] > LEFT
            image = image[:, :LEFT]
            pictures = {r: m[:, :LEFT] if wide else m for r, m in pictures.items()}
        faults = [
            f'{item.sources[role]} has height and width {mask.shape}, its photograph '
            f'{image.shape[:2]}.'
            for role, mask in pictures.items()
            if mask.shape != image.shape[:2]
        ]
        if faults:
            raise Unfit(*faults)
        cup, disc = origin.masks(pictures)
        if not disc.any() or not cup.any():
            raise Unfit(f'its mask has no {"disc" if not disc.any() else "cup"}.')
        mask = np.where(cup, CUP, np.where(disc, RIM, OUTSIDE)).astype(np.uint8)
        centre = _centre(disc | cup)
        stem = f'{item.domain}/{item.part}/ROIs'
        name = f'{item.facts["called"]}.png'
        square = _square(mask, centre, OUTSIDE)
        files = {
            f'{stem}/image/{name}': png(_square(image, centre, 0)),
            f'{stem}/mask/{name}': png(np.stack([square] * 3, axis=-1)),
        }
        return Made(files, 1, square.shape, None, (CUP, RIM, OUTSIDE))

    def published(self) -> dict[tuple[str, str], int]:
        """Return the numbers of photographs of the chosen domains."""
        counts = published_of('Fundus')
        return {key: n for key, n in counts.items() if key[0] in self.options.domains}

    def notes(self) -> list[str]:
        """Say what differs from DoFE's files."""
        found = ['The squares are centred on the disc; the published ones are a little off it.']
        if not self.options.test_names and {'Domain3', 'Domain4'} & {*self.options.domains}:
            found.append(
                'Which images of REFUGE were for testing is not published: every fifth is taken.'
            )
        return found

    def config(self, out: Path) -> str:
        """Return a config for the chosen domains."""
        domains = sorted(self.options.domains)
        lines = [] if len(domains) == len(origins('1')) else [f'domains={domains!r}']
        text = config_text('synfoc/fundus.py', out, *lines)
        if 'Domain1' in domains:
            return text
        labelled = (
            f"train_dataloader = dict(dataset=dict(data, labelled=dict(domain='{domains[0]}')))"
        )
        return text.replace('train_dataloader = dict(dataset=data)', labelled)


def _called(name: str) -> str:
    """Return the name that DoFE gives a photograph."""
    number = name.rpartition('_')[2]
    if not name.lower().startswith('drishti'):
        return name
    return f'{"n" if number in NORMAL.split() else "g"}drishtiGS_{number}'


def _centre(shape: np.ndarray) -> tuple[int, int]:
    """Return the middle of what a mask shows, row and column."""
    rows, columns = (np.flatnonzero(shape.any(axis=axis)) for axis in (1, 0))
    return int(rows[0] + rows[-1] + 1) // 2, int(columns[0] + columns[-1] + 1) // 2


def _square(picture: np.ndarray, centre: Iterable[int], fill: int) -> np.ndarray:
    """Return a square around a pixel, filled where the picture ends."""
    square = np.full((SIZE, SIZE, *picture.shape[2:]), fill, np.uint8)
    into, out_of = [], []
    for middle, length in zip(centre, picture.shape[:2], strict=True):
        start = middle - SIZE // 2
        low, high = max(start, 0), min(start + SIZE, length)
        out_of.append(slice(low, high))
        into.append(slice(low - start, high - start))
    square[tuple(into)] = picture[tuple(out_of)]
    return square
