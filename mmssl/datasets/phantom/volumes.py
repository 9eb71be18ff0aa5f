"""The phantom as volumes: one data set in the HDF5 layout in which SSL4MIS spreads ACDC.

`<root>/data/patient001_frame01.h5` holds the volume of a patient, `image` float32 (Z, H, W) in
[0, 1] and `label` uint8; `<root>/data/slices/patient001_frame01_slice_1.h5` one training slice,
(H, W). `train.list`, `val.list` and `test.list` name the volumes of each split and
`train_slices.list` the training slices, those of one patient together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmssl.datasets.phantom.files import write_once
from mmssl.datasets.phantom.slices import check_settings, draw_case, record

SPLITS = ('train', 'val', 'test')
REACH = 1.3
"""Ends of the volumes: beyond the ends of most organs, so that some slices show none."""


@dataclass(frozen=True)
class VolumeSettings:
    """What a phantom of volumes consists of; the same settings always give the same files.

    The patients take turns on the scanners. `classes` is 1 (the organ) or 2 (its outer and its
    inner zone); `size` in pixels.
    """

    domains: tuple[str, ...] = ('ScannerA',)
    size: int = 96
    classes: int = 2
    train_cases: int = 20
    val_cases: int = 4
    test_cases: int = 8
    slices: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self)


def _patients(settings: VolumeSettings) -> Iterator[tuple[str, str, str, list[int]]]:
    """Yield (split, volume, scanner, seed) of every patient, numbered through all splits."""
    number = 0
    for index, split in enumerate(SPLITS):
        for case in range(getattr(settings, f'{split}_cases')):
            scanner = settings.domains[case % len(settings.domains)]
            number += 1
            yield split, f'patient{number:03d}_frame01', scanner, [settings.seed, 2 + index, case]


def _slice_name(volume: str, index: int) -> str:
    return f'{volume}_slice_{index + 1}'


def _files(settings: VolumeSettings) -> Iterator[str]:
    """Yield every file of the data set but its settings, relative to its root."""
    for split, volume, _, _ in _patients(settings):
        yield f'data/{volume}.h5'
        if split == 'train':
            for index in range(settings.slices):
                yield f'data/slices/{_slice_name(volume, index)}.h5'
    yield from (f'{name}.list' for name in (*SPLITS, 'train_slices'))


def _write_h5(path: Path, image: np.ndarray, label: np.ndarray) -> None:
    import h5py

    with h5py.File(path, 'w') as file:
        file.create_dataset('image', data=image, compression='gzip')
        file.create_dataset('label', data=label, compression='gzip')


def _write(root: Path, settings: VolumeSettings, progress: bool) -> None:
    """Write all volumes, slices and lists under `root`."""
    (root / 'data' / 'slices').mkdir(parents=True)
    lists: dict[str, list[str]] = {name: [] for name in (*SPLITS, 'train_slices')}
    patients = list(_patients(settings))
    patients = tqdm(patients, desc='phantom', unit='volume', disable=not progress)
    for split, volume, scanner, seed in patients:
        grey, zones = draw_case(scanner, seed, settings.slices, settings.size, REACH)
        image = (grey / 255).astype(np.float32)
        label = np.minimum(zones, settings.classes).astype(np.uint8)
        _write_h5(root / 'data' / f'{volume}.h5', image, label)
        lists[split].append(volume)
        if split == 'train':
            for index in range(settings.slices):
                name = _slice_name(volume, index)
                _write_h5(root / 'data' / 'slices' / f'{name}.h5', image[index], label[index])
                lists['train_slices'].append(name)
    for name, entries in lists.items():
        (root / f'{name}.list').write_text('\n'.join(entries) + '\n')


def write_phantom_volumes(
    root: str | Path,
    settings: VolumeSettings | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> bool:
    """Write a phantom of volumes to `root`, all of it or nothing.

    Args:
        root: The data set's folder.
        settings: What to write; by default `VolumeSettings()`.
        overwrite: Replace a phantom that has other settings or is damaged.
        progress: Show a progress bar.

    Returns:
        Whether anything was written; False if `root` is already this data set.

    Raises:
        ValueError: `root` holds a phantom with other settings or of another layout.
        FileNotFoundError: `root` holds this phantom, but a file of it is gone.
        FileExistsError: `root` holds something else; it is never overwritten.
    """
    settings = settings or VolumeSettings()
    return write_once(
        Path(root),
        record(settings, layout='volumes'),
        _files(settings),
        lambda to: _write(to, settings, progress),
        overwrite,
    )
