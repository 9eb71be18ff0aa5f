"""The phantom as whole volumes: NIfTI files of one or several scanners, to train on in 3-D.

`<root>/<scanner>/image/patient001.nii.gz` holds a volume, int16, and `<root>/<scanner>/mask/` its
class ids under the same name; `<root>/<scanner>/{train,val,test}.list` name the patients. Each
scanner stores its voxels in an order of its own, as real ones do: the affine says which.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmssl.datasets.phantom.files import write_once
from mmssl.datasets.phantom.slices import SCANNERS, check_settings, draw_case, record

SPLITS = ('train', 'val', 'test')
REACH = 1.3
FIELD = 64.0, 48.0
"""Side of the field of view in the plane and across it, mm."""
WIDER = 1.5
"""How much wider the anatomy is than what a volume shows: its middle, around the organ."""
STORED = ('LPS', 'RAS', 'PIR', 'SAL')
"""Order in which the scanners store voxels; an array (slice, row, column) of the phantom is LPS."""
GAIN = 4


@dataclass(frozen=True)
class WholeSettings:
    """What a phantom of whole volumes consists of; the same settings always give the same files.

    The numbers of cases are those of each scanner. `classes` is 1 (the organ) or 2 (its outer and
    its inner zone); `size` in pixels.
    """

    domains: tuple[str, ...] = ('ScannerA',)
    size: int = 32
    classes: int = 2
    train_cases: int = 16
    val_cases: int = 4
    test_cases: int = 8
    slices: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self)


def _patients(settings: WholeSettings) -> Iterator[tuple[str, str, str, list[int]]]:
    """Yield (scanner, split, name, seed) of every patient, numbered through a scanner's splits."""
    for scanner in settings.domains:
        number = 0
        for index, split in enumerate(SPLITS):
            for case in range(getattr(settings, f'{split}_cases')):
                number += 1
                yield scanner, split, f'patient{number:03d}', [settings.seed, 5 + index, case]


def _files(settings: WholeSettings) -> Iterator[str]:
    """Yield every file of the data set but its settings, relative to its root."""
    for scanner, _, name, _ in _patients(settings):
        yield f'{scanner}/image/{name}.nii.gz'
        yield f'{scanner}/mask/{name}.nii.gz'
    for scanner in settings.domains:
        yield from (f'{scanner}/{split}.list' for split in SPLITS)


def _write_nifti(path: Path, volume: np.ndarray, stored: str) -> None:
    """Write an array (slice, row, column) in another order of its axes."""
    import nibabel
    from nibabel.orientations import axcodes2ornt, ornt_transform

    slices, rows, columns = volume.shape
    affine = np.diag([-FIELD[0] / columns, -FIELD[0] / rows, FIELD[1] / slices, 1])
    image = nibabel.Nifti1Image(volume.transpose(2, 1, 0), affine)
    turn = ornt_transform(axcodes2ornt(tuple('LPS')), axcodes2ornt(tuple(stored)))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image.as_reoriented(turn), path)


def _draw(settings: WholeSettings, scanner: str, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return grey values, int16, and class ids, uint8, (slices, size, size)."""
    wide = round(WIDER * settings.size)
    grey, zones = draw_case(scanner, seed, settings.slices, wide, REACH)
    first = (wide - settings.size) // 2
    inside = (slice(None), *(slice(first, first + settings.size),) * 2)
    labels = np.minimum(zones[inside], settings.classes)
    return np.rint(GAIN * grey[inside]).astype(np.int16), labels.astype(np.uint8)


def _write(root: Path, settings: WholeSettings, progress: bool) -> None:
    """Write all volumes and lists under `root`."""
    lists: dict[str, list[str]] = {
        f'{scanner}/{split}.list': [] for scanner in settings.domains for split in SPLITS
    }
    patients = list(_patients(settings))
    for scanner, split, name, seed in tqdm(
        patients, desc='phantom', unit='volume', disable=not progress
    ):
        image, mask = _draw(settings, scanner, seed)
        stored = STORED[list(SCANNERS).index(scanner)]
        _write_nifti(root / scanner / 'image' / f'{name}.nii.gz', image, stored)
        _write_nifti(root / scanner / 'mask' / f'{name}.nii.gz', mask, stored)
        lists[f'{scanner}/{split}.list'].append(name)
    for file, names in lists.items():
        (root / file).write_text('\n'.join(names) + '\n')


def write_phantom_whole(
    root: str | Path,
    settings: WholeSettings | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> bool:
    """Write a phantom of whole volumes to `root`, all of it or nothing.

    Arguments, value and errors are those of `write_phantom_volumes`.
    """
    settings = settings or WholeSettings()
    return write_once(
        Path(root),
        record(settings, layout='nifti'),
        _files(settings),
        lambda to: _write(to, settings, progress),
        overwrite,
    )
