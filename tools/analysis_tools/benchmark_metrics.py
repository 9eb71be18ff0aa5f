"""Time mmssl's binary metrics against MedPy's: DSC, Jaccard, HD95 and ASD of one mask pair."""

import time
from collections.abc import Callable

import numpy as np

from mmssl.evaluation import binary_metrics
from mmssl.utils.cli import Parser, run
from mmssl.utils.config.options import at_least

CASES = {
    '2D 384x384': ((384, 384), (70, 60)),
    '2D 384x384, large object': ((384, 384), (150, 120)),
    '2D 256x256': ((256, 256), (50, 40)),
    '3D 24x384x384': ((24, 384, 384), (8, 70, 60)),
}


def ellipsoid(shape: tuple[int, ...], radii: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return a filled ellipsoid as a boolean mask."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    terms = (((x - c) / r) ** 2 for x, r, c in zip(axes, radii, centre, strict=True))
    return sum(terms) < 1


def mask_pair(shape: tuple[int, ...], radii: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return two ellipsoids that differ a little in size and place."""
    centre, radius = np.array(shape) / 2, np.array(radii, float)
    shift = np.zeros(len(shape))
    shift[-2:] = 6
    return ellipsoid(shape, radius, centre), ellipsoid(shape, radius * 1.05, centre + shift)


def milliseconds(function: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def main() -> None:
    """Print a line for each case."""
    parser = Parser(description=__doc__)
    parser.add_argument(
        '--repeats', type=at_least(1), default=20, help='calls in 2D (a tenth in 3D)'
    )
    args = parser.parse_args()
    try:
        from medpy.metric import binary as medpy
    except ImportError:
        raise SystemExit('error: MedPy is not installed; pip install medpy') from None
    print(f'{"case":26}{"MedPy ms":>10}{"mmssl ms":>10}{"ratio":>8}{"largest difference":>20}')
    for name, (shape, radii) in CASES.items():
        pred, gt = mask_pair(shape, radii)

        def theirs(pair: tuple = (pred, gt)) -> list[float]:
            return [f(*pair) for f in (medpy.dc, medpy.jc, medpy.hd95, medpy.asd)]

        repeats = args.repeats if len(shape) == 2 else max(1, args.repeats // 10)
        ours = list(binary_metrics(pred, gt).values())
        difference = max(abs(a - b) for a, b in zip(ours, theirs(), strict=True))
        slow = milliseconds(theirs, repeats)
        fast = milliseconds(lambda pair=(pred, gt): binary_metrics(*pair), repeats)
        print(f'{name:26}{slow:10.2f}{fast:10.2f}{slow / fast:7.1f}x{difference:20.1e}')


if __name__ == '__main__':
    run(main)
