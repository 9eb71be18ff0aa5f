"""Small data sets written for a test, in the layouts that users have."""

from pathlib import Path

import cv2
import numpy as np

PREPARE = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
    dict(type='ResizeSquare', size=16),
]
PIPELINE = [
    dict(type='RandomHorizontalFlip'),
    dict(type='RandomRotate', degrees=20),
    dict(type='StrongView', transforms=[dict(type='RandomBrightness', low=0.5, high=1.5)]),
    dict(type='RandomPasteBox', size=16),
    dict(type='PackSemiInputs'),
]
TEST_PIPELINE = [dict(type='PackTestInputs')]


def write_png(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array)
    return path


def noise(seed: int, shape=(20, 24)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def disk_mask(shape=(20, 24), inside=0, outside=255) -> np.ndarray:
    mask = np.full(shape, outside, np.uint8)
    mask[5:12, 6:15] = inside
    return mask


def slices(cases: int, per_case: int) -> list[str]:
    """Return names such as 00_03, as the prostate slices have them."""
    return [f'{case:02d}_{index:02d}' for case in range(cases) for index in range(per_case)]


def write_pairs(folder: Path, names: list[str], mask_folder: Path | None = None) -> None:
    """Write `folder`/image and `folder`/mask with one image and mask of each name."""
    for number, name in enumerate(names):
        # Not hash(): it differs from run to run.
        seed = 1000 * sum(map(ord, folder.parent.name + folder.name)) + number
        write_png(folder / 'image' / f'{name}.png', noise(seed))
        write_png((mask_folder or folder / 'mask') / f'{name}.png', disk_mask())


def write_prostate(root: Path, domains=('A', 'B', 'C'), cases: int = 3, per_case: int = 2) -> Path:
    """Write `<domain>/{train,test}/{image,mask}`: `cases` training cases, one test case each."""
    for domain in domains:
        write_pairs(root / domain / 'train', slices(cases, per_case))
        write_pairs(root / domain / 'test', slices(1, per_case))
    return root


def prostate(root: Path, **options) -> dict:
    """Return the config of a training data set on what `write_prostate` wrote."""
    cfg = dict(
        type='MixedDomainDataset',
        data_root=str(root),
        domains=['A', 'B', 'C'],
        label_map={0: 1, 255: 0},
        case_pattern=r'(?P<case>\d+)_(?P<slice>\d+)',
        labelled=dict(domain='A', num=2, seed=None),
        prepare=PREPARE,
        pipeline=PIPELINE,
    )
    cfg.update(options)
    if cfg.get('mode', 'train') != 'train':
        cfg['pipeline'] = options.get('pipeline', TEST_PIPELINE)
    return cfg


def heart_labels(shape=(20, 24)) -> np.ndarray:
    """Return a label map with 1, 2 and 3."""
    labels = np.zeros(shape, np.uint8)
    labels[..., 4:8, 3:9] = 1
    labels[..., 8:15, 8:18] = 2
    labels[..., 10:13, 10:15] = 3
    return labels


def write_h5(path: Path, **datasets: np.ndarray) -> Path:
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
        for key, array in datasets.items():
            file[key] = array
    return path


def write_nifti(path: Path, array: np.ndarray, spacing=(5.0, 1.5, 1.25)) -> Path:
    """Write an array (z, y, x) or (y, x) with a spacing in the order (z, y, x)."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array.T, np.diag([*spacing[::-1], 1.0]))
    if array.ndim < 4:
        image.header.set_zooms(spacing[::-1][: array.ndim])
    nibabel.save(image, path)
    return path


def heart_volume(seed: int, slices: int = 3, shape=(20, 24)) -> dict[str, np.ndarray]:
    """Return an image in 0..1 and its labels, which differ from slice to slice."""
    image = noise(seed, (slices, *shape)).astype(np.float32) / 255
    labels = np.stack([np.roll(heart_labels(shape), index, axis=0) for index in range(slices)])
    return dict(image=image, label=labels)


ACDC_PATIENTS = dict(train=(99, 38, 50, 7), val=(28,), test=(11, 13))


def write_acdc(
    root: Path, slice_folder: str = 'data', slices: int = 3, all_patients: dict = ACDC_PATIENTS
) -> Path:
    """Write the layout of SSL4MIS: training slices, volumes of the rest, and the lists."""
    lists: dict[str, list[str]] = {'train_slices': [], 'train': [], 'val': [], 'test': []}
    for part, patients in all_patients.items():
        for patient in patients:
            for frame in (1, 2):
                name = f'patient{patient:03d}_frame{frame:02d}'
                volume = heart_volume(10 * patient + frame, slices, (20, 20 + 2 * frame))
                lists[part].append(name)
                if part != 'train':
                    write_h5(root / 'data' / f'{name}.h5', **volume)
                    continue
                for index in range(slices):
                    one = f'{name}_slice_{index + 1}'
                    lists['train_slices'].append(one)
                    arrays = {key: array[index] for key, array in volume.items()}
                    write_h5(root / slice_folder / f'{one}.h5', **arrays)
    for key, names in lists.items():
        (root / f'{key}.list').write_text('\n'.join(names) + '\n')
    return root
