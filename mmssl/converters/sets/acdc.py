"""ACDC: cine MRI of 100 patients, NIfTI volumes of end diastole and end systole.

`patientNNN/Info.cfg` names the two frames, `patientNNN_frameFF.nii.gz` and `..._gt.nii.gz` hold
them. SSL4MIS (github.com/HiLab-git/SSL4MIS) calls them frame01 and frame02, end diastole first,
brings each volume to 0..1 by its smallest and largest value, and splits 100 patients 70:10:20.
Against its files: n / (largest - smallest) of whole numbers gives them bit for bit.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from mmssl.converters.base import Converter, Item, Made, config_text, published_of
from mmssl.converters.faults import Fault
from mmssl.converters.images import stretched
from mmssl.converters.outputs import Writer, hdf5
from mmssl.converters.raw import Raw, checksum_faults

LABELS = (0, 1, 2, 3)
PATIENTS = 100
PHASES = ('ED', 'ES')
# In the order of SSL4MIS's lists, of which the first 1, 3, 7, 14, ... have labels.
TRAIN = (
    '99 38 50 100 58 21 49 20 72 40 60 89 4 56 98 96 31 18 94 47 48 55 97 74 43 41 63 37 95 54 26 '
    '88 32 69 6 71 12 73 61 17 25 10 57 29 51 5 36 46 62 34 76 92 70 77 67 3 91 16 14 44 42 90 53 '
    '27 35 86 23 9 79 15'
)
VAL = '28 85 82 87 19 30 78 45 2 39'
TEST = '11 13 84 33 93 22 68 24 83 81 80 1 7 66 8 65 75 64 59 52'
PART = {
    f'patient{int(number):03d}': part
    for part, numbers in (('train', TRAIN), ('val', VAL), ('test', TEST))
    for number in numbers.split()
}


class ACDC(Converter):
    """ACDC as the challenge publishes it, to the HDF5 slices and volumes of SSL4MIS."""

    name = 'acdc'
    summary = 'cardiac MRI of 100 patients, to the HDF5 files and lists of SSL4MIS'
    title = 'ACDC'

    def plan(self, raw: Raw, faults: list[Fault]) -> list[Item]:
        """Return two volumes of each patient, in the order of the lists."""
        faults += checksum_faults(raw)
        infos = {
            match['patient']: name
            for name, match in raw.find(r'(.*/)?(?P<patient>patient\d{3})/Info\.cfg').items()
        }
        folders = raw.find(r'(.*/)?(?P<patient>patient\d{3})/[^/]+\.nii(\.gz)?')
        there = {match['patient'] for match in folders.values()}
        items = []
        self._others = len({*there, *infos} - {*PART})
        for patient in PART:
            if patient not in infos:
                what = 'its Info.cfg is missing' if patient in there else 'its folder is missing'
                missing = (f'{what} ({patient}/Info.cfg).',)
                items.append(Item(self.title, PART[patient], patient, {}, missing=missing))
                continue
            frames = _frames(raw.text(infos[patient]))
            for number, phase in enumerate(PHASES, 1):
                sources, lacks = _pair(raw, infos[patient], patient, frames, phase)
                volume = f'{patient}_frame{number:02d}'
                items.append(Item(self.title, PART[patient], volume, sources, {}, patient, lacks))
        return items

    def make(self, item: Item, raw: Raw) -> Made:
        """Return the volume, and of a training patient its slices, scaled by the volume."""
        image, labels = self.read_pair(item, raw, LABELS)
        volume = stretched(image.slices, item.sources['image']).astype(np.float32)
        masks = labels.transpose(2, 1, 0)
        name = item.name
        files: dict[str, Writer] = {f'data/{name}.h5': hdf5(volume, masks, image.steps)}
        if item.part == 'train':
            for index in range(len(volume)):
                content = hdf5(volume[index], masks[index], image.steps[1:])
                files[f'data/slices/{name}_slice_{index + 1}.h5'] = content
        found = tuple(np.unique(masks).tolist())
        return Made(files, len(volume), volume.shape[1:], image.steps, found)

    def lists(self, items: Sequence[Item], made: Mapping[str, Made]) -> dict[str, list[str]]:
        """Return the lists of SSL4MIS, patients in its order and slices in that of the heart."""
        lists: dict[str, list[str]] = {
            f'{name}.list': [] for name in ('train', 'val', 'test', 'train_slices')
        }
        for item in items:
            lists[f'{item.part}.list'].append(item.name)
            slices = [path for path in made[item.key].files if '/slices/' in path]
            lists['train_slices.list'] += [PurePosixPath(path).stem for path in slices]
        return lists

    def published(self) -> dict[tuple[str, str], int]:
        """Return the numbers of slices."""
        return published_of('ACDC')

    def notes(self) -> list[str]:
        """Say how many patients are not among the 100 of the lists."""
        if not self._others:
            return []
        return [f'{self._others} patient(s) are not among the {PATIENTS} of the published lists.']

    def config(self, out: Path) -> str:
        """Return a config for the published subset of 7 patients."""
        return config_text('sup_only/acdc.py', out)


def _frames(text: str) -> dict[str, int]:
    """Return phase -> number of its frame, from 1."""
    return {
        match[1]: int(match[2]) for match in re.finditer(r'^\s*(E[DS])\s*:\s*(\d+)', text, re.M)
    }


def _pair(
    raw: Raw, info: str, patient: str, frames: Mapping[str, int], phase: str
) -> tuple[dict[str, str], list[str]]:
    """Return the files of a phase by role, and what is missing as sentences."""
    if phase not in frames:
        return {}, [f'{info} does not say {phase}.']
    folder = PurePosixPath(info).parent
    stem = f'{patient}_frame{frames[phase]:02d}'
    sources, missing = {}, []
    for role, name in (('image', stem), ('mask', f'{stem}_gt')):
        known = raw.find(rf'{re.escape(str(folder / name))}\.nii(\.gz)?')
        if known:
            sources[role] = min(known)
        else:
            missing.append(f'{folder / name}.nii.gz is missing.')
    return sources, missing
