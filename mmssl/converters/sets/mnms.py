"""M&Ms: cine MRI of four vendors, one 4-D NIfTI file a patient and masks in two of its frames.

A CSV names vendor and frames, `<code>/<code>_sa.nii.gz` and `<code>/<code>_sa_gt.nii.gz` hold
them, below `Training/Labeled`, `Validation` and `Testing`; `Training/Unlabeled` has empty masks.
MiDSS and SynFoC train on slices whose making is not published. Their samples say: size as stored,
every slice stretched to 0..255, masks in colours, names of three digits for the patient and three
for frame x slices + slice, and all three structures in every mask; the test patients begin where
the last fifth does. The samples also show the heart transposed, so their rows seem to be the first
stored axis.
"""

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmssl.converters.base import Converter, Item, Made, config_text, last_share, published_of
from mmssl.converters.faults import Fault, Unfit
from mmssl.converters.images import Volume, as_bytes, read_nifti, stretched
from mmssl.converters.outputs import Writer, hdf5, png
from mmssl.converters.raw import Raw

LABELS = (0, 1, 2, 3)
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
PATIENTS = dict(A=95, B=125, C=50, D=50)
COLUMNS = ('External code', 'Vendor', 'ED', 'ES')
PHASES = ('ED', 'ES')
FILES = r'(.*/)?(?P<code>[A-Z]\d[A-Z]\d[A-Z]\d)_sa(?P<mask>_gt)?\.nii(\.gz)?'
# How many of the three structures a slice must show at least.
NEEDED = dict(complete=3, any=1, all=0)


class MNMs(Converter):
    """M&Ms as the challenge publishes it, to slices by vendor or to volumes by patient."""

    name = 'mnms'
    summary = 'cardiac MRI of four vendors, to the slices of MiDSS and SynFoC or to volumes'
    title = 'M&Ms'
    settings = ('layout', 'slices', 'rows')

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Add what is written, and which slices."""
        parser.add_argument(
            '--layout',
            choices=('slices', 'volumes'),
            default='slices',
            help='slices by vendor (slices) or HDF5 volumes by patient, as for configs/mcsd',
        )
        parser.add_argument(
            '--slices',
            choices=tuple(NEEDED),
            default='complete',
            help='those with all three structures, as the published samples (complete), those with '
            'any of them, or all of the two frames',
        )
        parser.add_argument(
            '--rows',
            choices=('x', 'y'),
            default='x',
            help='which stored axis becomes the rows of a slice: the first, as in the published '
            'samples (x), or the second, as viewers show it',
        )

    def plan(self, raw: Raw, faults: list[Fault]) -> list[Item]:
        """Return the annotated patients of each vendor, sorted by code."""
        files: dict[str, dict[str, str]] = {}
        for name, match in raw.find(FILES).items():
            if '/Unlabeled/' not in f'/{name}':
                files.setdefault(match['code'], {})['mask' if match['mask'] else 'image'] = name
        unlabelled = {m['code'] for m in raw.find(f'(.*/)?Unlabeled/{FILES}').values()}
        self._unlabelled = len(unlabelled - set(files))
        table = _table(raw, faults)
        for code in sorted(set(files) - set(table)):
            faults.append(Fault(code, 'the table of vendors and frames does not name it.'))
        items = []
        for vendor, expected in PATIENTS.items():
            own = {
                code: row
                for code, row in table.items()
                if row['Vendor'] == vendor and code in files
            }
            if len(own) != expected:
                what = f'{len(own)} annotated patients found, {expected} are published.'
                faults.append(Fault(f'vendor{vendor}', what))
            items += self._of_vendor(vendor, own, files)
        return items

    def _of_vendor(
        self,
        vendor: str,
        table: Mapping[str, Mapping[str, str]],
        files: Mapping[str, Mapping[str, str]],
    ) -> list[Item]:
        codes = sorted(table)
        test = last_share(codes)
        items = []
        for number, code in enumerate(codes):
            missing = [
                f'{code}_sa{"_gt" * (role == "mask")}.nii.gz is missing.'
                for role in ('image', 'mask')
                if role not in files[code]
            ]
            frames = [table[code][phase].split('.')[0] for phase in PHASES]
            if not all(frame.isdigit() for frame in frames):
                missing.append(f'the table has no frame numbers for it: {frames}.')
            facts = dict(number=number, frames=[int(frame) for frame in frames if frame.isdigit()])
            domain, part = f'vendor{vendor}', 'test' if code in test else 'train'
            if self.options.layout == 'volumes':
                domain, part = 'MNMs', ''
            items.append(Item(domain, part, code, files[code], facts, missing=missing))
        return items

    def make(self, item: Item, raw: Raw) -> Made:
        """Return the slices of the two frames, or the two volumes."""
        with raw.file(item.sources['image']) as path:
            image = read_nifti(path, item.sources['image'], axes=4)
        with raw.file(item.sources['mask']) as path:
            mask = read_nifti(path, item.sources['mask'], axes=4)
        labels = self.checked(item, image, mask, LABELS)
        faults = []
        for phase, frame in zip(PHASES, item.facts['frames'], strict=True):
            if frame >= image.voxels.shape[3]:
                there = image.voxels.shape[3]
                faults.append(f'frame {frame} ({phase}) is asked for, {there} are there.')
            elif not labels[..., frame].any():
                faults.append(f'mask {item.sources["mask"]} is empty in frame {frame} ({phase}).')
        if faults:
            raise Unfit(*faults)
        make = self._volumes if self.options.layout == 'volumes' else self._slices
        return make(item, image, labels)

    def _slices(self, item: Item, image: Volume, labels: np.ndarray) -> Made:
        turn = (2, 0, 1) if self.options.rows == 'x' else (2, 1, 0)
        depth = labels.shape[2]
        files: dict[str, Writer] = {}
        for frame in sorted(set(item.facts['frames'])):
            pictures = image.voxels[..., frame].transpose(turn)
            masks = labels[..., frame].transpose(turn)
            for index in range(depth):
                if len(set(np.unique(masks[index])) - {0}) < NEEDED[self.options.slices]:
                    continue
                name = f'{item.facts["number"]:03d}{frame * depth + index:03d}.png'
                what = f'{item.sources["image"]}, frame {frame}, slice {index},'
                picture = as_bytes(stretched(pictures[index], what))
                files[f'{item.domain}/{item.part}/image/{name}'] = png(picture)
                files[f'{item.domain}/{item.part}/mask/{name}'] = png(COLOURS[masks[index]])
        count = len(files) // 2
        steps = [image.steps[2 - axis] for axis in turn]
        left_out = depth * len(set(item.facts['frames'])) - count
        shape = masks.shape[1:]
        return Made(files, count, shape, tuple(steps), (0, 1, 2, 3), left_out)

    def _volumes(self, item: Item, image: Volume, labels: np.ndarray) -> Made:
        files: dict[str, Writer] = {}
        for phase, frame in zip(PHASES, item.facts['frames'], strict=True):
            volume = image.voxels[..., frame].transpose(2, 1, 0)
            scaled = stretched(volume, f'{item.sources["image"]}, frame {frame},')
            mask = labels[..., frame].transpose(2, 1, 0)
            files[f'data/{item.name}_{phase}.h5'] = hdf5(
                scaled.astype(np.float32), mask, image.steps
            )
        found = tuple(np.unique(labels).tolist())
        return Made(files, 2 * len(volume), volume.shape[1:], image.steps, found)

    def published(self) -> dict[tuple[str, str], int]:
        """Return the numbers of slices by vendor; of volumes none are published."""
        return published_of('MNMs') if self.options.layout == 'slices' else {}

    def notes(self) -> list[str]:
        """Say what was left out, and what is not published."""
        found = []
        if self._unlabelled:
            found.append(f'{self._unlabelled} patient(s) without masks (Unlabeled) are left out.')
        if self.options.layout == 'slices':
            found.append(
                'Which slices were dropped and how codes were numbered is not published: '
                f'--slices {self.options.slices} and the order of the codes are taken.'
            )
        return found

    def config(self, out: Path) -> str:
        """Return a config for the layout."""
        volumes = self.options.layout == 'volumes'
        return config_text('sup_only/mnms_volumes.py' if volumes else 'synfoc/mnms.py', out)


def _table(raw: Raw, faults: list[Fault]) -> dict[str, dict[str, str]]:
    """Return code -> row of the table of vendors and frames."""
    for name in raw.find(r'(?i).*\.csv'):
        rows = list(csv.DictReader(raw.text(name).splitlines()))
        if rows and set(COLUMNS) <= set(rows[0]):
            return {row['External code']: {key: row[key] or '' for key in COLUMNS} for row in rows}
    what = f'no CSV file has the columns {", ".join(COLUMNS)}. It comes with the download.'
    faults.append(Fault('M&Ms', what))
    return {}
