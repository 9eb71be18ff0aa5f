"""Small downloads in the layouts in which their publishers give them."""

import os
from pathlib import Path

import numpy as np
from fake_files import noise, write_nifti

REAL = Path(os.environ.get('MMSSL_REAL_DATA', Path(__file__).parents[2] / 'shared' / 'data'))
"""Real data sets, beside the repository unless the variable says where; tests skip without."""


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def heart(seed: int, slices: int = 2, shape=(12, 10), values=(1, 2, 3)) -> tuple:
    """Return a volume (z, y, x) of whole numbers that differ along each axis, and its labels."""
    image = noise(seed, (slices, *shape)).astype(np.int16) * 3 + 7
    labels = np.zeros(image.shape, np.uint8)
    labels[:, 2:5, 1:4], labels[:, 5:9, 2:7], labels[:, 6:8, 3:5] = values
    return image, labels


def write_acdc_download(root: Path, patients=range(1, 101), slices: int = 2) -> Path:
    """Write `database/training/patientNNN`; of patients 2 and 90 end systole comes first."""
    for number in patients:
        patient = f'patient{number:03d}'
        folder = root / 'database' / 'training' / patient
        frames = {'ED': 9, 'ES': 5} if number in (2, 90) else {'ED': 1, 'ES': 5}
        for frame in frames.values():
            image, labels = heart(10 * number + frame, slices, (12, 10 + number % 3))
            name = folder / f'{patient}_frame{frame:02d}'
            write_nifti(name.with_name(f'{name.name}.nii.gz'), image, (8.0, 1.5, 1.25))
            write_nifti(name.with_name(f'{name.name}_gt.nii.gz'), labels, (8.0, 1.5, 1.25))
        lines = [f'{key}: {value}' for key, value in frames.items()]
        (folder / 'Info.cfg').write_text('\n'.join([*lines, 'Group: DCM', 'NbFrame: 30']) + '\n')
    return root


DOWNLOADS = {'acdc': ('ACDC', write_acdc_download)}
"""Name of a data set -> folder of its download in the docs, and what writes a small one."""
