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
        labelled=dict(domain='A', num=2),
        prepare=PREPARE,
        pipeline=PIPELINE,
    )
    cfg.update(options)
    if cfg.get('mode', 'train') != 'train':
        cfg['pipeline'] = options.get('pipeline', TEST_PIPELINE)
    return cfg
