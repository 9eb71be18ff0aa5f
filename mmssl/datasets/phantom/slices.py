"""A multi-scanner phantom: prostate-like slices to try everything without real data.

Each `Scanner` is one domain with its own contrast, noise, bias field, resolution and shape
statistics. `generate_case` draws one volume, `write_phantom` a whole data set in the layout
`<root>/<domain>/{train,test}/{image,mask}/CC_SS.png` (CC case, SS slice). `phantom_volumes.py`
writes volumes instead.
"""

import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
from tqdm import tqdm

from mmssl.datasets.phantom.anatomy import SCANNERS, Anatomy, Scanner
from mmssl.datasets.phantom.files import write_once

GENERATOR_VERSION = 1
SPLITS = ('train', 'test')
MASK_VALUES = {1: (0, 255), 2: (0, 128, 255)}
"""Grey value of each class id in the mask files, for one part and for two."""


@dataclass(frozen=True)
class PhantomSettings:
    """What a phantom data set consists of; the same settings always give the same files.

    `classes` is 1 (the organ) or 2 (its outer and its inner zone); `size` in pixels.
    """

    domains: tuple[str, ...] = tuple(SCANNERS)
    size: int = 96
    classes: int = 1
    train_cases: int = 10
    train_slices: int = 6
    test_cases: int = 4
    test_slices: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self)


class Settings(Protocol):
    """What the settings of every layout have."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the scanners."""

    @property
    def size(self) -> int:
        """Return the side of a slice in pixels."""

    @property
    def classes(self) -> int:
        """Return the number of structures."""

    @property
    def seed(self) -> int:
        """Return what the draws start from."""


def check_settings(settings: Settings) -> None:
    """Check the settings of a phantom, whatever its layout, and make its domains a tuple.

    Raises:
        ValueError: a scanner is unknown, or a number is out of its range.
    """
    domains = tuple(settings.domains)
    object.__setattr__(settings, 'domains', domains)
    if not domains or not set(domains) <= set(SCANNERS) or len(set(domains)) < len(domains):
        raise ValueError(f'domains {list(domains)} must be different ones of {list(SCANNERS)}')
    if settings.classes not in MASK_VALUES:
        raise ValueError(f'classes is {settings.classes}; choose one of {list(MASK_VALUES)}')
    if settings.size < 32:
        raise ValueError(f'size is {settings.size} px; choose at least 32')
    for key in (item.name for item in fields(settings)):
        if key.endswith(('cases', 'slices')) and not 1 <= getattr(settings, key) <= 100:
            raise ValueError(f'{key} is {getattr(settings, key)}; choose 1 to 100')
    if settings.seed < 0:
        raise ValueError(f'seed is {settings.seed}; choose 0 or more')


def _acquire(signal: np.ndarray, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Return the magnitude image (Z, H, W) that `scanner` makes of the tissue's signal."""
    size = signal.shape[1]
    y, x = np.meshgrid(*[(np.arange(size) + 0.5) / size * 2 - 1] * 2, indexing='ij')
    terms = np.stack([x, y, x * y, x**2 - 1 / 3, y**2 - 1 / 3])
    log_field = scanner.bias * np.tensordot(rng.normal(0, 0.7, len(terms)), terms, 1)
    where = np.array([0.0, 0.3]) + rng.normal(0, 0.04, 2)
    distance = np.hypot(x - where[0], y - where[1])
    field = np.exp(log_field + scanner.coil * (2 * np.exp(-((distance / 0.6) ** 2)) - 1))
    small = max(round(size / scanner.downscale), 16)
    image = np.empty_like(signal)
    for index, plane in enumerate(signal * field):
        plane = cv2.GaussianBlur(plane, (0, 0), scanner.blur * size / 96)
        plane = cv2.resize(plane, (small, small), interpolation=cv2.INTER_AREA)
        noise = rng.normal(0, scanner.noise, (2, small, small))
        plane = np.hypot(plane + noise[0], noise[1])
        image[index] = cv2.resize(plane, (size, size), interpolation=cv2.INTER_LINEAR)
    return image


def draw_case(
    scanner: str | Scanner, seed: int | list[int], slices: int, size: int, reach: float = 0.7
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one case: consecutive slices of one anatomy, seen by one scanner.

    Args:
        scanner: A name in `SCANNERS`, or a scanner of your own.
        seed: The case's seed; the scanner's name is added to it.
        slices: Number of slices Z, spread over the heights from -reach to reach.
        size: Height and width in pixels.
        reach: How far the volume goes along the organ, whose ends lie between 0.8 and 1.6; the
            first and the last slice show none of it where the organ is shorter.

    Returns:
        The grey values, float (Z, size, size) of 0 to 255, and its zones, uint8 (0 background,
        1 the organ's outer, 2 its inner zone).
    """
    scanner = SCANNERS[scanner] if isinstance(scanner, str) else scanner
    rng = np.random.default_rng([*np.atleast_1d(seed), zlib.crc32(scanner.name.encode())])
    anatomy = Anatomy(scanner, rng, (slices, size, size))
    heights = np.linspace(-reach, reach, slices) if slices > 1 else [0.0]
    planes = [anatomy.render(index, z) for index, z in enumerate(heights)]
    signal, zones = (np.stack(part) for part in zip(*planes, strict=True))
    image = _acquire(signal, scanner, rng)
    image = np.clip(image / np.percentile(image, 99.7), 0, 255 / scanner.white)
    return (scanner.white * image**scanner.gamma).clip(0, 255), zones.astype(np.uint8)


def generate_case(
    scanner: str | Scanner, seed: int | list[int], slices: int = 6, size: int = 96, classes: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one case as 8-bit images of which every slice shows the organ.

    Args:
        scanner: A name in `SCANNERS`, or a scanner of your own.
        seed: The case's seed; the scanner's name is added to it.
        slices: Number of slices Z, spread over the organ whatever their number.
        size: Height and width in pixels.
        classes: 1 (the organ is 1) or 2 (1 its outer, 2 its inner zone).

    Returns:
        The volume, uint8 (Z, size, size), and its class ids, uint8 of the same shape.

    Examples:
        >>> volume, labels = generate_case('ScannerA', seed=0, slices=3, size=64)
        >>> volume.shape, np.unique(labels).tolist()
        ((3, 64, 64), [0, 1])
    """
    grey, zones = draw_case(scanner, seed, slices, size)
    return np.rint(grey).astype(np.uint8), np.minimum(zones, classes).astype(np.uint8)


def _cases(settings: PhantomSettings) -> Iterator[tuple[str, str, int, int]]:
    """Yield (domain, split, case, slices of it) of everything in the data set."""
    for domain in settings.domains:
        for split in SPLITS:
            for case in range(getattr(settings, f'{split}_cases')):
                yield domain, split, case, getattr(settings, f'{split}_slices')


def _write(root: Path, settings: PhantomSettings, progress: bool) -> None:
    """Write all images and masks under `root`."""
    values = np.array(MASK_VALUES[settings.classes], np.uint8)
    cases = list(_cases(settings))
    for domain, split, case, slices in tqdm(
        cases, desc='phantom', unit='case', disable=not progress
    ):
        seed = [settings.seed, SPLITS.index(split), case]
        volume, labels = generate_case(domain, seed, slices, settings.size, settings.classes)
        for kind, planes in (('image', volume), ('mask', values[labels])):
            folder = root / domain / split / kind
            folder.mkdir(parents=True, exist_ok=True)
            for index, plane in enumerate(planes):
                path = folder / f'{case:02d}_{index:02d}.png'
                path.write_bytes(cv2.imencode('.png', plane)[1].tobytes())


def record(settings: Settings, **extra: object) -> dict:
    """Return what the settings file says."""
    values = {'generator_version': GENERATOR_VERSION, **extra, **asdict(settings)}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def write_phantom(
    root: str | Path,
    settings: PhantomSettings | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> bool:
    """Write a phantom data set to `root`, all of it or nothing.

    The files are made in a temporary folder beside `root`, which is then renamed. If `root` is
    already this data set, nothing is done.

    Args:
        root: The data set's folder.
        settings: What to write; by default `PhantomSettings()`.
        overwrite: Replace a phantom data set that has other settings or is damaged.
        progress: Show a progress bar.

    Returns:
        Whether anything was written.

    Raises:
        ValueError: `root` holds a phantom with other settings.
        FileNotFoundError: `root` holds this phantom, but an image of it is gone.
        FileExistsError: `root` holds something else; it is never overwritten.
    """
    settings = settings or PhantomSettings()
    images = (
        f'{domain}/{split}/image/{case:02d}_{index:02d}.png'
        for domain, split, case, slices in _cases(settings)
        for index in range(slices)
    )
    return write_once(
        Path(root), record(settings), images, lambda to: _write(to, settings, progress), overwrite
    )
