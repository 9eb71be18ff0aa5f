"""Overlap and surface distances of a pair of binary masks: MedPy's values, much faster."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmssl.evaluation.nearest import distances_both_ways

EMPTY_CONVENTIONS = ('worst', 'zero', 'nan')
BOTH_EMPTY_CONVENTIONS = ('as_empty', 'perfect', 'nan')


def binary_metrics(
    pred: np.ndarray,
    gt: np.ndarray,
    spacing: float | Sequence[float] | None = None,
    empty: str = 'worst',
    both_empty: str = 'as_empty',
    worst: float = 100.0,
) -> dict[str, float]:
    """Compare two binary masks as MedPy's `dc`, `jc`, `hd95` and `asd` do.

    The surface is the set of object pixels with a background neighbour across a face
    (connectivity 1; outside the image is background). HD95 is the 95th percentile of the
    distances of both surfaces pooled; ASD is the mean distance from the surface of `pred` to
    that of `gt` (directed, as `medpy.metric.binary.asd(pred, gt)`).

    Args:
        pred: bool or integer mask (H, W) or (D, H, W); non-zero is object.
        gt: the truth, of the same shape.
        spacing: size of a pixel along each axis, e.g. in mm; None counts pixels.
        empty: result where one mask has no object. `worst`: overlap 0, distances `worst`
            (MiDSS, SynFoC); `zero`: overlap and distances 0 (SSL4MIS); `nan`: overlap 0,
            distances NaN, which means leave out.
        both_empty: result where neither has one. `as_empty`: the same as `empty`; `perfect`:
            overlap 1, distances 0; `nan`: NaN throughout.
        worst: distance of an empty mask, in the unit of the result.

    Returns:
        `dsc` and `jaccard` in 0..1, `hd95` and `asd` in pixels or in the unit of `spacing`.

    Raises:
        ValueError: if shapes, types, spacing or the name of a convention do not fit.

    Example:
        >>> a, b = np.zeros((2, 8, 8), bool)
        >>> a[2:4, 2:4] = b[2:4, 3:5] = True
        >>> binary_metrics(a, b)
        {'dsc': 0.5, 'jaccard': 0.3333333333333333, 'hd95': 1.0, 'asd': 0.5}
    """
    pred, gt = _as_mask(pred, 'pred'), _as_mask(gt, 'gt')
    sampling = _check(pred, gt, spacing, empty, both_empty)
    n_pred, n_gt = int(np.count_nonzero(pred)), int(np.count_nonzero(gt))
    if not (n_pred and n_gt):
        return _empty_result(n_pred + n_gt == 0, empty, both_empty, worst)
    pred, gt = _crop(pred, gt)
    common = int(np.count_nonzero(pred & gt))
    pred, gt = _surface(pred), _surface(gt)
    to_gt, to_pred = distances_both_ways(pred, gt, sampling)
    return {
        'dsc': 2.0 * common / (n_pred + n_gt),
        'jaccard': common / (n_pred + n_gt - common),
        'hd95': percentile(np.concatenate((to_gt, to_pred)), 0.95),
        'asd': float(to_gt.mean()),
    }


def percentile(values: np.ndarray, share: float) -> float:
    """Return what `numpy.percentile` does for 100 times the share, in a quarter of its time.

    Example:
        >>> percentile(np.array([3.0, 1.0, 2.0]), 0.75)
        2.5
    """
    place = share * (len(values) - 1)
    low = int(place)
    high, part = min(low + 1, len(values) - 1), place - low
    ordered = np.partition(values, (low, high))
    step = ordered[high] - ordered[low]
    # As numpy: exact at both ends.
    near_low = ordered[low] + step * part
    return float(near_low if part < 0.5 else ordered[high] - step * (1 - part))


def smoothed_dice(pred: np.ndarray, gt: np.ndarray) -> float:
    """Return the Dice by which SynFoC's released code measures agreement and selects.

    `(2 |A and B| + 1) / (|A| + |B| + 1.001)`, and 1 where both masks are empty.

    Example:
        >>> a, b = np.zeros((2, 4, 4), bool)
        >>> a[:2, :2] = b[:2] = True
        >>> round(smoothed_dice(a, b), 6)
        0.692254
    """
    pred, gt = _as_mask(pred, 'pred'), _as_mask(gt, 'gt')
    if pred.shape != gt.shape:
        raise ValueError(_shape_message(pred, gt))
    total = int(np.count_nonzero(pred) + np.count_nonzero(gt))
    if total == 0:
        return 1.0
    return (2.0 * int(np.count_nonzero(pred & gt)) + 1.0) / (total + 1.001)


def check_conventions(empty: str, both_empty: str) -> None:
    """Raise a ValueError that lists the known names if a convention is unknown."""
    if empty not in EMPTY_CONVENTIONS:
        raise ValueError(f'empty="{empty}" is unknown; choose one of {EMPTY_CONVENTIONS}.')
    if both_empty not in BOTH_EMPTY_CONVENTIONS:
        raise ValueError(
            f'both_empty="{both_empty}" is unknown; choose one of {BOTH_EMPTY_CONVENTIONS}.'
        )


def _as_mask(mask: np.ndarray, name: str) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.dtype == np.bool_:
        return mask
    if mask.dtype.kind not in 'iu':
        raise ValueError(
            f'{name} must be a bool or integer mask, but its type is {mask.dtype}; '
            'threshold it first, e.g. `prob > 0.5`.'
        )
    return mask != 0


def _shape_message(pred: np.ndarray, gt: np.ndarray) -> str:
    return (
        f'pred has shape {pred.shape} and gt {gt.shape}; resize the prediction to the '
        'size of the truth before comparing.'
    )


def _check(pred, gt, spacing, empty, both_empty) -> np.ndarray:
    """Validate the arguments and return the spacing as a float array (ndim,)."""
    if pred.shape != gt.shape:
        raise ValueError(_shape_message(pred, gt))
    if pred.ndim not in (2, 3):
        raise ValueError(f'Masks must be 2D or 3D, but have shape {pred.shape}.')
    check_conventions(empty, both_empty)
    if spacing is None:
        return np.ones(pred.ndim)
    sampling = np.asarray(spacing, dtype=np.float64)
    if sampling.ndim == 0:
        sampling = np.full(pred.ndim, float(sampling))
    if sampling.shape != (pred.ndim,):
        raise ValueError(
            f'spacing {spacing} has {sampling.size} numbers, but the masks have '
            f'{pred.ndim} axes; give one per axis.'
        )
    if not (np.isfinite(sampling).all() and (sampling > 0).all()):
        raise ValueError(f'spacing must be positive, but is {spacing}.')
    return sampling


def _empty_result(neither: bool, empty: str, both_empty: str, worst: float) -> dict[str, float]:
    overlap, distance = 0.0, {'worst': float(worst), 'zero': 0.0, 'nan': float('nan')}[empty]
    if neither and both_empty == 'perfect':
        overlap, distance = 1.0, 0.0
    elif neither and both_empty == 'nan':
        overlap = distance = float('nan')
    return {'dsc': overlap, 'jaccard': overlap, 'hd95': distance, 'asd': distance}


def _crop(pred: np.ndarray, gt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut both masks to their common bounding box and put one background pixel around."""
    either = pred | gt
    if either.ndim == 2:
        x, y, w, h = cv2.boundingRect(either.view(np.uint8))
        box: tuple[slice, ...] = (slice(y, y + h), slice(x, x + w))
    else:
        flat = either.any(axis=0), either.any(axis=(1, 2))
        x, y, w, h = cv2.boundingRect(flat[0].view(np.uint8))
        z = np.flatnonzero(flat[1])
        box = (slice(z[0], z[-1] + 1), slice(y, y + h), slice(x, x + w))
    shape = tuple(s.stop - s.start + 2 for s in box)
    inner = (slice(1, -1),) * len(box)
    cropped = np.zeros((2, *shape), bool)
    cropped[0][inner], cropped[1][inner] = pred[box], gt[box]
    return cropped[0], cropped[1]


def _surface(mask: np.ndarray) -> np.ndarray:
    """Return the object pixels that touch the background across a face.

    The mask must have a background margin of one pixel, so that no neighbour is missing.
    """
    middle = (slice(1, -1),) * mask.ndim
    inside = mask[middle].copy()
    for axis in range(mask.ndim):
        for shift in (slice(None, -2), slice(2, None)):
            inside &= mask[middle[:axis] + (shift,) + middle[axis + 1 :]]
    surface = mask.copy()
    surface[middle] ^= inside
    return surface
