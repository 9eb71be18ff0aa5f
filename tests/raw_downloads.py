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


def _eye(seed: int, shape: tuple[int, int], middle: tuple[int, int]) -> tuple:
    """Return a photograph, a disc of 21 x 25 px around a pixel, and a cup within it."""
    image = noise(seed, (*shape, 3)) // 2 + 60
    disc, cup = np.zeros(shape, bool), np.zeros(shape, bool)
    row, column = middle
    disc[row - 10 : row + 11, column - 12 : column + 13] = True
    cup[row - 4 : row + 5, column - 5 : column + 6] = True
    return image, disc, cup


def _save(picture: np.ndarray, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **({'quality': 90} if path.suffix == '.jpg' else {}))


def write_fundus_download(root: Path, counts=(101, 159, 400, 400), size: int = 40) -> Path:
    """Write Drishti-GS, RIM-ONE r3 and REFUGE, of each the first photographs.

    The disc of an even number lies near a corner. RIM-ONE's photographs are 1072 px wide, twice.
    """
    from mmssl.converters.sets.fundus import RIM_ONE_TEST

    def eye(number: int, shape=(size, size)) -> tuple:
        return _eye(number, shape, (12, 14) if number % 2 == 0 else (size // 2, size // 2))

    drishti = root / 'Drishti-GS1_files'
    for number in range(1, counts[0] + 1):
        image, disc, cup = eye(number)
        name = f'drishtiGS_{number:03d}'
        part, masks = ('Test', 'Test_GT') if number % 2 else ('Training', 'GT')
        _save(image, drishti / part / 'Images' / f'{name}.png')
        for mask, called in ((disc, 'OD'), (cup, 'cup')):
            soft = np.where(mask, 191, 128).astype(np.uint8)  # three experts, two experts
            path = drishti / part / masks / name / 'SoftMap' / f'{name}_{called}segSoftmap.png'
            _save(soft, path)
    known = RIM_ONE_TEST.split()
    others = [f'G-{n}-L' for n in range(300, 300 + 159 - len(known))]
    names = sorted([*known, *others], key=lambda name: (name not in known[:2], name in known, name))
    for number, name in enumerate(names[: counts[1]], 1):
        image, disc, cup = eye(number, (size, 1072))
        folder = root / 'RIM-ONE r3' / ('Healthy' if name[0] == 'N' else 'Glaucoma and suspects')
        _save(np.hstack([image, image[:, ::-1]]), folder / 'Stereo Images' / f'{name}.jpg')
        for mask, called in ((disc, 'Disc'), (cup, 'Cup')):
            pixels = (mask * 255).astype(np.uint8)
            _save(pixels, folder / 'Expert1_masks' / f'{name}-1-{called}-exp1.png')
    for letters, count, folder in (('gn', counts[2], 'Training400'), ('V', counts[3], 'Valid400')):
        for number in range(1, count + 1):
            image, disc, cup = eye(number)
            name = f'{letters[number % len(letters)]}{number:04d}'
            _save(image, root / 'REFUGE' / folder / f'{name}.jpg')
            mask = np.where(cup, 0, np.where(disc, 128, 255)).astype(np.uint8)
            _save(mask, root / 'REFUGE' / f'Annotation-{folder}' / f'{name}.bmp')
    return root


def write_left_atrium_download(root: Path, codes=None, shape=(60, 150, 160)) -> Path:
    """Write `<code>/lgemri.nrrd` and `laendo.nrrd` of (z, y, x), the atrium in a corner."""
    import SimpleITK as sitk

    from mmssl.converters.sets.left_atrium import PART

    for number, code in enumerate(PART if codes is None else codes):
        labels = np.zeros(shape, np.uint8)
        labels[1:3, 2:10, 30 : 40 + number % 3] = 255
        for name, array in (('lgemri', noise(number, shape)), ('laendo', labels)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((0.625, 0.5, 1.25))
            (root / code).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(root / code / f'{name}.nrrd'), useCompression=True)
    return root


def write_msd_download(root: Path, cases: int = 10, channels: int = 1) -> Path:
    """Write a task with `dataset.json`: slices of 12 x 10 px, stored left, anterior, superior."""
    import json

    import nibabel

    names = [f'hippocampus_{number:03d}' for number in range(1, cases + 1)]
    for number, name in enumerate(names):
        image, labels = heart(number, 4, values=(1, 2, 2))
        voxels = image.T if channels == 1 else np.stack([image.T + c for c in range(channels)], -1)
        for folder, array in (('imagesTr', voxels), ('labelsTr', labels.T)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            affine = np.diag([-1.0, 1.0, 2.0, 1.0])
            nibabel.save(nibabel.Nifti1Image(array, affine), root / folder / f'{name}.nii.gz')
    modality = {str(channel): f'MRI {channel}' for channel in range(channels)}
    content = dict(
        name='Hippocampus',
        modality=modality,
        labels={'0': 'background', '1': 'Anterior', '2': 'Posterior part'},
        numTraining=cases,
        training=[
            dict(image=f'./imagesTr/{name}.nii.gz', label=f'./labelsTr/{name}.nii.gz')
            for name in names
        ],
    )
    (root / 'dataset.json').write_text(json.dumps(content))
    return root


def write_folder_download(root: Path, sites=('siteA', 'siteB'), cases: int = 10) -> Path:
    """Write `<site>/scans/NAME.nii.gz` and `<site>/segmentations/NAME_seg.nii.gz`."""
    for site in sites:
        for number in range(cases):
            image, labels = heart(number + 100 * len(site), 3, values=(1, 2, 3))
            name = f'{site[-1]}{number:02d}'
            write_nifti(root / site / 'scans' / f'{name}.nii.gz', image)
            write_nifti(root / site / 'segmentations' / f'{name}_seg.nii.gz', labels)
    return root


DOWNLOADS = {
    'acdc': ('ACDC', write_acdc_download),
    'prostate': ('Prostate', write_prostate_download),
    'mnms': ('MnMs', write_mnms_download),
    'busi': ('BUSI', write_busi_download),
    'fundus': ('Fundus', lambda root: write_fundus_download(root, (101, 0, 0, 0))),
    'left_atrium': ('LeftAtrium', lambda root: write_left_atrium_download(root, shape=(4, 20, 50))),
    'msd': ('Task04_Hippocampus', write_msd_download),
    'folder': ('mine', write_folder_download),
}
"""Name of a data set -> folder of its download in the docs, and what writes a small one."""
