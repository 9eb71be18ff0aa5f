"""Overlap and surface distances of a pair of binary masks: MedPy's values, much faster."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmssl.evaluation.distances import PackedMasks, distances_both_ways
from mmssl.evaluation.distances.bits import count

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
    box = _common_box(pred, gt)
    if box is None:
        return _empty_result(True, empty, both_empty, worst)
    masks = PackedMasks.of((pred, gt), box)
    n_pred, n_gt = masks.counts()
    if not (n_pred and n_gt):
        return _empty_result(False, empty, both_empty, worst)
    common = count(masks.words[0] & masks.words[1])
    to_gt, to_pred = distances_both_ways(masks.surfaces(), sampling)
    return {
        'dsc': 2.0 * common / (n_pred + n_gt),
        'jaccard': common / (n_pred + n_gt - common),
        'hd95': (to_gt + to_pred).percentile(0.95),
        'asd': to_gt.mean(),
    }


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


def _common_box(pred: np.ndarray, gt: np.ndarray) -> tuple[slice, ...] | None:
    """Return the bounding box of both masks together, None if there is no object in either."""
    either = pred | gt
    plane = either if either.ndim == 2 else either.any(axis=0)
    x, y, w, h = cv2.boundingRect(plane.view(np.uint8))
    if not w:
        return None
    box = slice(y, y + h), slice(x, x + w)
    if either.ndim == 2:
        return box
    z = np.flatnonzero(either.any(axis=(1, 2)))
    return slice(z[0], z[-1] + 1), *box
