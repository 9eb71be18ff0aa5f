"""The signed distance of a label's parts to their boundaries."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmssl.registry import TRANSFORMS


def signed_distance(mask: np.ndarray, absent: float = 0.0) -> np.ndarray:
    """Return how far each pixel lies from the boundary of a mask, in float32.

    It is negative inside and positive outside, each side divided by its largest distance, so that
    it runs from -1 to 1. The boundary is the mask's own pixels that touch others; they have 0.

    Args:
        mask: boolean, of any number of axes.
        absent: value everywhere where the mask is empty, and its negative where it is full: there
            is no boundary then.

    Example:
        >>> signed_distance(np.array([0, 0, 1, 1, 1, 0], dtype=bool)).tolist()
        [1.0, 0.5, 0.0, -1.0, 0.0, 0.5]
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    if not mask.any() or mask.all():
        return np.full(mask.shape, -absent if mask.any() else absent, np.float32)
    outside, inside = distance_transform_edt(~mask), np.zeros(mask.shape)
    # the way out is never shorter beyond the next pixels around the mask
    (near,) = find_objects(mask.astype(np.uint8))
    near = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in near)
    inside[near] = distance_transform_edt(mask[near])
    inside[inside == 1] = 0  # the boundary
    return (outside / outside.max() - inside / max(inside.max(), 1)).astype(np.float32)


@TRANSFORMS.register_module()
class SignedDistance(BaseTransform):
    """Add the signed distances of a labelled view to the batch as `x_maps`, for `Distances`.

    It stands behind all that moves the mask: the distances are those to the boundaries in the
    view, as in the published codes, and in pixels or voxels before they are divided. An unlabelled
    sample stays as it is.

    Args:
        parts: class ids of each part that has a map, in the order of the model's, for example
            [[1], [1, 2]]; by default those that the data set scores.
        absent: value of a part's map where the view has nothing of it, see `signed_distance`. The
            published codes have 0, which calls all of it boundary.

    Raises:
        ValueError: there is no part, or `absent` is not in 0 ... 1.
    """

    def __init__(self, parts: Sequence[Sequence[int]] | None = None, absent: float = 0.0) -> None:
        self.parts = None if parts is None else [list(ids) for ids in parts]
        self.absent = float(absent)
        if self.parts is not None and not (self.parts and all(self.parts)):
            raise ValueError(
                f'SignedDistance has parts={self.parts}: name the class ids of each part of the '
                'model, as in parts=[[1], [2]].'
            )
        if not 0 <= self.absent <= 1:
            raise ValueError(f'absent = {absent}: give a distance from 0 to 1.')

    def transform(self, results: dict) -> dict:
        """Make the maps, float32 (K, H, W) or (K, D, H, W)."""
        if 'gt' in results:
            parts = results['parts'] if self.parts is None else self.parts
            masks = (np.isin(results['gt'], ids) for ids in parts)
            results['maps'] = np.stack([signed_distance(mask, self.absent) for mask in masks])
        return results
