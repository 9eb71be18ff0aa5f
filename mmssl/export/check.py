"""Compare a written file with the network that it was made of, on random and phantom images."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from mmssl.datasets.phantom.anatomy import SCANNERS
from mmssl.datasets.phantom.slices import draw_case
from mmssl.export.files import Runner
from mmssl.export.network import ExportedNetwork
from mmssl.utils.errors import SettingError

TOLERANCE = 1e-4
"""By how much a logit of the file may differ from that of the network."""


class Difference(NamedTuple):
    """How a file and its network differ on some images.

    Attributes:
        images: what they are.
        number: how many there are.
        shape: their height and width, behind the depth of a volume.
        largest: largest difference of a logit.
        reach: largest logit of the network, without its sign.
        turned: pixels of another class.
        ties: those of them whose two highest logits differ by no more than the file may.
    """

    images: str
    number: int
    shape: tuple[int, ...]
    largest: float
    reach: float
    turned: int
    ties: int

    def __str__(self) -> str:
        """Return it in words."""
        ties = f', {self.ties} of them ties' if self.ties else ''
        arg_max = 'arg-max equal' if not self.turned else f'{self.turned} pixels differ{ties}'
        size = ' x '.join(map(str, self.shape))
        return (
            f'{self.number} {self.images} images of {size} px: '
            f'logits differ by {self.largest:.1e} of {self.reach:.3g} at most, {arg_max}'
        )

    def holds(self, tolerance: float) -> bool:
        """Return whether the file is the network: logits within the tolerance, no class turned."""
        return self.largest <= tolerance and self.turned == self.ties


def phantom_images(count: int, channels: int, size: tuple[int, ...]) -> np.ndarray:
    """Return slices of the phantom, float32 (N, channels, H, W) of whole grey values 0 to 255.

    Colours are slices of different scanners. A volume (N, channels, D, H, W) is a slice that fades
    in, of mean 0 and standard deviation 1.
    """
    if len(size) == 3:
        flat = phantom_images(count, channels, size[1:])[:, :, None]
        solid = flat * np.linspace(0.2, 1, size[0], dtype=np.float32)[:, None, None]
        return (solid - solid.mean()) / solid.std()
    side = max(*size, 32)
    planes = []
    for number in range(count * channels):
        scanner = list(SCANNERS)[number % len(SCANNERS)]
        planes.append(draw_case(scanner, [number], 1, side)[0][0])
    grey = np.rint(np.stack(planes)).astype(np.float32)
    return grey.reshape(count, channels, side, side)[..., : size[0], : size[1]].copy()


def random_images(count: int, channels: int, size: tuple[int, ...]) -> np.ndarray:
    """Return noise, float32 (N, channels, H, W) of whole grey values 0 to 255.

    Volumes (N, channels, D, H, W) have a mean of 0 and a standard deviation of 1.
    """
    rng = np.random.default_rng(0)
    if len(size) == 3:
        return rng.standard_normal((count, channels, *size), np.float32)
    return rng.integers(0, 256, (count, channels, *size)).astype(np.float32)


def compare(
    run: Runner,
    network: ExportedNetwork,
    shape: tuple[int, ...],
    dynamic: str,
    tolerance: float,
) -> Iterator[Difference]:
    """Yield how a file differs from the network, for each kind of images and each shape.

    Args:
        run: runs the file.
        network: the network as it was trained, LoRA apart.
        shape: channels, height and width of the images, or channels and sides of a window.
        dynamic: which axes of the file are dynamic; the others keep their length.
        tolerance: for the ties.

    Raises:
        SettingError: the file does not run at another size, although it should.
    """
    channels, *sides = shape
    cases = [(1 if dynamic == 'none' else 3, tuple(sides))]
    if dynamic == 'size':
        cases += [(1, size) for size in other_sizes(*sides)]
    for count, size in cases:
        for kind, make in (('random', random_images), ('phantom', phantom_images)):
            image = make(count, channels, size)
            with torch.no_grad():
                wanted = network(torch.from_numpy(image)).numpy()
            try:
                found = run(image)
            except Exception as error:  # each runtime has kinds of its own
                if size == tuple(sides):
                    raise
                here, there = (' x '.join(map(str, pixels)) for pixels in (sides, size))
                raise SettingError(
                    f'The file runs at {here} px alone, not at {there} (a size was written into '
                    'it as a number): take --dynamic batch'
                ) from error
            yield difference(kind, wanted, found, tolerance)


def other_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return sizes on which a file of dynamic size is tried: they fit every stride that this fits.

    Example:
        >>> other_sizes(64, 96)
        [(128, 96), (64, 192)]
    """
    return [(2 * height, width), (height, 2 * width)]


def difference(kind: str, wanted: np.ndarray, found: np.ndarray, tolerance: float) -> Difference:
    """Compare scores (N, classes, H, W).

    Example:
        >>> wanted = np.array([0.0, 1.0, 1.0, 1.00001]).reshape(1, 2, 1, 2).astype(np.float32)
        >>> found = np.array([0.0, 1.00001, 1.0, 1.0]).reshape(1, 2, 1, 2).astype(np.float32)
        >>> seen = difference('random', wanted, found, 1e-4)
        >>> seen.turned, seen.ties, seen.holds(1e-4)
        (1, 1, True)
    """
    if wanted.shape != found.shape:
        raise ValueError(f'The file gives {found.shape} where the network gives {wanted.shape}')
    turned = wanted.argmax(1) != found.argmax(1)
    highest = np.sort(wanted, axis=1)[:, -2:]
    near = highest[:, -1] - highest[:, 0] <= 2 * tolerance
    largest = float(np.abs(wanted - found).max())
    return Difference(
        kind,
        len(wanted),
        wanted.shape[2:],
        largest if np.isfinite(found).all() else float('inf'),
        float(np.abs(wanted).max()),
        int(turned.sum()),
        int((turned & near).sum()),
    )
