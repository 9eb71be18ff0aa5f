"""Time mmssl's binary metrics against MedPy's: DSC, Jaccard, HD95 and ASD of one mask pair."""

import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from mmssl.evaluation import binary_metrics
from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import at_least

# Shape, radii of the object (None: there is none), share of pixels that noise turns over, spacing.
CASES: dict[str, tuple] = {
    '2D 384x384': ((384, 384), (70, 60), 0, None),
    '2D 384x384, large object': ((384, 384), (150, 120), 0, None),
    '2D 384x384, noisy object': ((384, 384), (70, 60), 0.05, None),
    '2D 384x384, sparse noise': ((384, 384), None, 0.01, None),
    '2D 384x384, dense noise': ((384, 384), None, 0.5, None),
    '2D 256x256': ((256, 256), (50, 40), 0, None),
    '3D 24x384x384': ((24, 384, 384), (8, 70, 60), 0, None),
    '3D 24x384x384, large object': ((24, 384, 384), (11, 150, 120), 0, None),
    '3D 24x384x384, slices 2.5 mm': ((24, 384, 384), (8, 70, 60), 0, (2.5, 1, 1)),
    '3D 24x384x384, sparse noise': ((24, 384, 384), None, 0.01, None),
    '3D 24x384x384, dense noise': ((24, 384, 384), None, 0.5, None),
}


def ellipsoid(shape: tuple[int, ...], radii: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return a filled ellipsoid as a boolean mask."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    terms = (((x - c) / r) ** 2 for x, r, c in zip(axes, radii, centre, strict=True))
    return sum(terms) < 1


def mask_pair(
    shape: tuple[int, ...], radii: tuple[int, ...] | None, noise: float = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return two ellipsoids that differ a little in size and place, with noise of their own."""
    pair = np.zeros((2, *shape), bool)
    if radii is not None:
        centre, radius = np.array(shape) / 2, np.array(radii, float)
        shift = np.zeros(len(shape))
        shift[-2:] = 6
        pair[0] = ellipsoid(shape, radius, centre)
        pair[1] = ellipsoid(shape, radius * 1.05, centre + shift)
    pair ^= np.random.default_rng(0).random(pair.shape) < noise
    return pair[0], pair[1]


def milliseconds(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the shortest time of a call of each function; they take turns.

    It is time of this thread: what other programs do counts little.
    """
    best = [float('inf')] * len(functions)
    for _ in range(repeats):
        for number, function in enumerate(functions):
            start = time.thread_time()
            function()
            best[number] = min(best[number], 1e3 * (time.thread_time() - start))
    return best


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each case."""
    parser = Parser(description=__doc__)
    parser.add_argument(
        '--repeats', type=at_least(1), default=20, help='calls in 2D (a tenth in 3D)'
    )
    parser.add_argument('--only', default='', metavar='TEXT', help='cases with this in their name')
    args = parser.parse_args(argv)
    try:
        from medpy.metric import binary as medpy
    except ImportError:
        raise SystemExit('error: MedPy is not installed; pip install medpy') from None
    cv2.setNumThreads(0)
    print(f'{"case":32}{"MedPy ms":>10}{"mmssl ms":>10}{"ratio":>8}{"largest difference":>20}')
    for name, (shape, radii, noise, spacing) in CASES.items():
        if args.only not in name:
            continue
        pair = mask_pair(shape, radii, noise)

        def theirs(pair: tuple = pair, spacing: tuple | None = spacing) -> list[float]:
            overlaps = [medpy.dc(*pair), medpy.jc(*pair)]
            return overlaps + [f(*pair, voxelspacing=spacing) for f in (medpy.hd95, medpy.asd)]

        def ours(pair: tuple = pair, spacing: tuple | None = spacing) -> list[float]:
            return list(binary_metrics(*pair, spacing).values())

        found = [abs(a - b) for a, b in zip(ours(), theirs(), strict=True)]
        repeats = args.repeats if len(shape) == 2 else max(1, args.repeats // 10)
        slow, fast = milliseconds((theirs, ours), repeats)
        print(f'{name:32}{slow:10.2f}{fast:10.2f}{slow / fast:7.1f}x{max(found):20.1e}', flush=True)


if __name__ == '__main__':
    run(main)
