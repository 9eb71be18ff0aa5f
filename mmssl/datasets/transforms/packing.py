"""The end of a pipeline: tensors, and a data sample that says where they come from."""

from functools import cache

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmssl.compat import import_mmseg
from mmssl.registry import TRANSFORMS
from mmssl.structures import BOX, LABEL, element, view_name

ABOUT = ('affine', 'spacing', 'ori_shape')
"""Entries of the results that may be arrays and say something of the image."""

META_KEYS = (
    'domain', 'case', 'volume', 'slice', 'index', 'name', 'img_path', 'labelled', 'ori_shape',
    'spacing',
)  # fmt: skip


@cache
def _data_sample_type() -> type:
    """Return mmsegmentation's `SegDataSample`; importing it takes seconds, so only on demand."""
    import_mmseg()
    from mmseg.structures import SegDataSample

    return SegDataSample


def image_tensor(img: np.ndarray) -> torch.Tensor:
    """Copy an image, channels last, into a tensor of its own, channels first.

    A volume (D, H, W, C) becomes (C, D, H, W). Cached arrays must stay as they are.
    """
    return torch.from_numpy(np.moveaxis(img, -1, 0).copy())


def _need(results: dict, key: str, maker: str) -> np.ndarray:
    if key not in results:
        raise ValueError(
            f'Sample "{results.get("name", "?")}" (labelled={results.get("labelled")}) reaches the '
            f'packing without "{key}"; put {maker} into its pipeline.'
        )
    return results[key]


class _Pack(BaseTransform):
    """Base of the packing transforms: it loads the data sample class once, before workers fork."""

    def __init__(self, meta_keys: tuple[str, ...] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)
        _data_sample_type()

    def _sample(self, results: dict):
        return _data_sample_type()(metainfo={key: results.get(key) for key in self.meta_keys})


@TRANSFORMS.register_module()
class PackSemiInputs(_Pack):
    """Name a training sample's views as the papers do, see `mmssl.structures.view_name`.

    A labelled sample gives `x_w` (C, H, W) and `y` (H, W), and `x_s` where the pipeline made a
    strong view, with `y_s` if that has a mask of its own; an unlabelled one `u_w`, and where the
    pipeline made them `u_s`, `u_s2` (C, H, W), `box` and `box2` (5,). A view `img_<name>` of your
    own becomes `x_<name>` or `u_<name>`. Images and masks are uint8, a box is int64
    [x, y, w, h, side] in pixels of a square of that side. Both kinds have, where the pipeline made
    them, the `grid` of `TrackGeometry` as int32 (H, W) and `maps`, cached features (L,) or the
    distances of `SignedDistance` (K, H, W), named `x_grid`, `x_maps`, `u_grid` and `u_maps`.

    Args:
        meta_keys: what the data sample tells about the image.
    """

    def transform(self, results: dict) -> dict:
        """Make dict(inputs=..., data_samples=...).

        Raises:
            ValueError: the pipeline made no image, no mask for a labelled sample, or an array
                under a name that is no view's.
        """
        labelled = results['labelled']
        _need(results, 'img', 'LoadImage or LoadVolume')
        if labelled:
            _need(results, 'gt', 'LoadMask')
        inputs = {}
        for key, value in results.items():
            if not isinstance(value, np.ndarray) or key in (*ABOUT, *self.meta_keys):
                continue
            view = view_name(key, labelled)
            other = BOX if labelled else LABEL  # what the other kind of sample has
            if view is None and not key.startswith(other):
                raise ValueError(
                    f'Sample "{results.get("name", "?")}" has an array "{key}" that is no view, so '
                    'no method would see it: name it img_<view>, gt_<view> or box<number>, or add '
                    'it to meta_keys of PackSemiInputs.'
                )
            if view is not None:
                inputs[view] = _tensor(view, value)
        return dict(inputs=inputs, data_samples=self._sample(results))


def _tensor(view: str, value: np.ndarray) -> torch.Tensor:
    """Return an entry of the batch with memory of its own, as cached arrays must stay."""
    if view.endswith('_grid'):
        return torch.from_numpy(value.astype(np.int32))
    if view.endswith('_maps') or not view.startswith(('x_', 'u_')):
        return torch.from_numpy(np.array(value))
    return image_tensor(value)


@TRANSFORMS.register_module()
class PackTestInputs(_Pack):
    """Give a test image (C, H, W), uint8, or volume (C, D, H, W), and its mask as it is scored.

    The data sample carries `gt_sem_seg` (1, h, w) or (1, D, H, W) if there is a mask. Predictions
    are brought to its size, without a mask to `ori_shape`, that of the original image, whose voxels
    `spacing` is the size of, also where the volume was resampled.

    Args:
        meta_keys: what the data sample tells about the image.
    """

    def transform(self, results: dict) -> dict:
        """Make dict(inputs=..., data_samples=...)."""
        img = _need(results, 'img', 'LoadImage or LoadVolume')
        gt = results.get('gt')
        sample = self._sample(results)
        if img.ndim == 4 and results.get('spacing') is not None and 'spacing' in sample:
            sample.set_metainfo({'spacing': _as_read(results)})
        if gt is not None:
            sample.gt_sem_seg = element(torch.from_numpy(gt[None].copy()))
        return dict(inputs=image_tensor(img), data_samples=sample)


def _as_read(results: dict) -> tuple[float, ...]:
    """Return the size in mm of the voxels of a volume as read, whatever it was resampled to."""
    sides = zip(results['spacing'], results['img'].shape, results['ori_shape'], strict=False)
    # The division that resampling made is undone but for its rounding.
    return tuple(round(size * now / read, 9) for size, now, read in sides)
