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


SITES = dict(BIDMC=12, BMC=30, HK=12, I2CVB=19, RUNMC=30, UCL=13)


def write_prostate_download(root: Path, cases=SITES) -> Path:
    """Write a folder a site; the prostate is in the second and third of four slices."""
    for site, count in cases.items():
        for number in range(count):
            image, labels = heart(100 * len(site) + number, 4, values=(1, 1, 1 + (site == 'BMC')))
            labels[[0, 3]] = 0
            name = f'Case{number:02d}'
            suffix = '_Segmentation' if site == 'BMC' else '_segmentation'
            write_nifti(root / site / f'{name}.nii.gz', image, (3.6, 0.6, 0.5))
            write_nifti(root / site / f'{name}{suffix}.nii.gz', labels, (3.6, 0.6, 0.5))
    return root


VENDORS = dict(A=95, B=125, C=50, D=50)


def mnms_codes(vendor: str, count: int, first: int = 0) -> list[str]:
    """Return codes such as A0C1D2, which sort as they count."""
    return [f'{vendor}{n // 100}X{n // 10 % 10}Y{n % 10}' for n in range(first, first + count)]


def write_mnms_download(root: Path, patients=VENDORS, unlabelled: int = 2) -> Path:
    """Write 4-D files of three frames and two slices, of which frames 0 and 2 have masks.

    The second slice of end systole lacks the right ventricle. Some patients of vendor C have no
    mask.
    """
    rows = ['External code,VendorName,Vendor,Centre,ED,ES']
    places = ('Training/Labeled', 'Validation', 'Testing')
    for vendor, count in patients.items():
        codes = mnms_codes(vendor, count + unlabelled * (vendor == 'C'))
        for number, code in enumerate(codes):
            image, labels = heart(ord(vendor) + number, 6)
            image, labels = (array.reshape(3, 2, 12, 10) for array in (image, labels))
            labels[1] = 0
            labels[2, 1][labels[2, 1] == 3] = 0
            place = places[number % 3] if number < count else 'Training/Unlabeled'
            folder = root / 'OpenDataset' / place / code
            write_nifti(folder / f'{code}_sa.nii.gz', image, (9.6, 1.5, 1.25))
            write_nifti(
                folder / f'{code}_sa_gt.nii.gz', labels * (number < count), (9.6, 1.5, 1.25)
            )
            rows.append(f'{code},Some name,{vendor},1,0,2')
    (root / 'OpenDataset' / 'information.csv').write_text('\n'.join(rows) + '\n')
    return root


KINDS = dict(benign=437, malignant=210, normal=3)


def write_busi_download(root: Path, counts=KINDS) -> Path:
    """Write pictures with a mask each, number 2 with a second one that has an alpha channel."""
    from PIL import Image

    for kind, count in counts.items():
        folder = root / 'Dataset_BUSI_with_GT' / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            grey = noise(number + 1000 * len(kind), (9, 8))
            mask = np.zeros((9, 8), np.uint8)
            mask[1:4, 2:5] = 255 * (kind != 'normal')
            stem = f'{kind} ({number})'
            Image.fromarray(np.stack([grey] * 3, -1)).save(folder / f'{stem}.png')
            Image.fromarray(mask).convert('1').save(folder / f'{stem}_mask.png')
            if number == 2 and kind != 'normal':
                second = Image.fromarray(mask[::-1]).convert('RGBA')
                second.save(folder / f'{stem}_mask_1.png')
    return root


DOWNLOADS = {
    'acdc': ('ACDC', write_acdc_download),
    'prostate': ('Prostate', write_prostate_download),
    'mnms': ('MnMs', write_mnms_download),
    'busi': ('BUSI', write_busi_download),
}
"""Name of a data set -> folder of its download in the docs, and what writes a small one."""
