"""The deterministic part of a pipeline: read an image and its mask, bring them to one size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mmssl.datasets.reading.decode import LabelMap, decode_mask, read_image
from mmssl.datasets.reading.geometry import Axes
from mmssl.datasets.reading.volumes import Source
from mmssl.datasets.reading.whole import decode_mask_stack, decode_whole_mask
from mmssl.datasets.transforms.base import side_of
from mmssl.registry import TRANSFORMS
from mmssl.utils.resize import nearest_index

_FILTERS = {
    'nearest': Image.Resampling.NEAREST,
    'box': Image.Resampling.BOX,
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
    'lanczos': Image.Resampling.LANCZOS,
}


def resize_uint8(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Resize an image (H, W) or (H, W, C) to `size` = (height, width), as Pillow does.

    Pillow widens its kernel when it shrinks an image (no aliasing); OpenCV's linear, cubic and
    Lanczos modes do not, and its nearest grid differs by half a pixel.
    """
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    if image.ndim == 3 and image.shape[2] != 3:
        planes = [resize_uint8(image[..., c], size, interpolation) for c in range(image.shape[2])]
        return np.stack(planes, axis=-1)
    resized = Image.fromarray(image).resize((width, height), _FILTERS[interpolation])
    return np.asarray(resized)


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read `img_path` into `img`, uint8 (H, W, C), and note its size as `ori_shape`.

    Of an HDF5 or NIfTI file it reads slice `index` of dataset `image_key`, cut along `axes`, scales
    it by `value_range`, and notes the file's own `spacing` and `affine`, if any; the data set
    gives the four. `LoadVolume` reads whole volumes.

    Args:
        channels: 1 for grey images, 3 for RGB; by default that of the data set, found in
            `results['channels']`, and 1 without one.
    """

    def __init__(self, channels: int | None = None) -> None:
        self.channels = channels

    def transform(self, results: dict) -> dict:
        """Read the image."""
        path, key = results['img_path'], results.get('image_key') or 'image'
        if 'frames' in results:
            raise ValueError(
                f'{path} is a whole volume (sample="volume"), LoadImage reads slices. Put '
                'LoadVolume in its place.'
            )
        channels = self.channels or results.get('channels') or 1
        scan = read_image(
            path,
            channels,
            key,
            results.get('index'),
            results.get('value_range'),
            results.get('axes') or Axes(),
        )
        results['img'], results['affine'] = scan.array, scan.affine
        results['spacing'] = scan.spacing or results.get('spacing')
        results['ori_shape'] = results['img'].shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadMask(BaseTransform):
    """Read the mask files `mask_paths` of a sample into `gt`, uint8 class ids (H, W).

    After `LoadVolume` they are those of the whole volume, (D, H, W), laid on its grid. A sample
    that is not labelled is left alone and its mask is never opened.

    Args:
        label_map: what the values of the file mean, see `LabelMap`; by default that of the data
            set, found in `results['label_map']`.
    """

    def __init__(self, label_map: LabelMap | Mapping | None = None) -> None:
        self.label_map = None if label_map is None else LabelMap.build(label_map)

    def transform(self, results: dict) -> dict:
        """Read the mask if the sample has one to show.

        Raises:
            ValueError: no label map is known.
            DataError: the mask is broken, has an unlisted value or not the size of its image.
        """
        if not results.get('labelled', True):
            return results
        label_map = results.get('label_map') if self.label_map is None else self.label_map
        if label_map is None:
            raise ValueError(
                f'No label map for {results["mask_paths"]}: give label_map to the data set or to '
                'LoadMask.'
            )
        shape = results.get('ori_shape')
        whole = shape is not None and len(shape) == 3
        results['gt'] = read_truth({**results, 'label_map': label_map}, shape, whole)
        return results


def read_truth(
    results: Mapping[str, Any], shape: Sequence[int] | None = None, whole: bool = False
) -> np.ndarray:
    """Return the mask of a sample as class ids, uint8 (H, W), or (D, H, W) of a whole volume.

    Args:
        results: what the data set says of the sample.
        shape: that of its image as it was read; None does not compare.
        whole: whether the sample is a volume.

    Raises:
        DataError: the mask is broken, has an unlisted value, or another size or grid than its
            image.
    """
    keys = results.get('image_key') or 'image', results.get('mask_key') or 'label'
    axes, paths = results.get('axes') or Axes(), results['mask_paths']
    label_map = LabelMap.build(results['label_map'])
    like = Source(results['img_path'], keys[0]) if results.get('img_path') else None
    if not whole:
        size = None if shape is None else (shape[0], shape[1])
        return decode_mask(paths, label_map, size, keys[1], results.get('index'), like, axes)
    images = results.get('img_paths')
    if images:
        return decode_mask_stack(images, paths, label_map, shape, keys, axes)
    return decode_whole_mask(paths, label_map, shape, keys[1], like, axes)


def zoom_nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W) or (H, W, C) to `size` as `scipy.ndimage.zoom(order=0)` does.

    Example:
        >>> zoom_nearest(np.arange(6).reshape(2, 3), (2, 5)).tolist()
        [[0, 1, 1, 2, 2], [3, 4, 4, 5, 5]]
    """
    rows, columns = (
        nearest_index(old, new).numpy() for old, new in zip(image.shape, size, strict=False)
    )
    return image[rows[:, None], columns]


@TRANSFORMS.register_module()
class ResizeSquare(BaseTransform):
    """Resize `img`, and `gt` and `grid` if there, to a square; the aspect ratio is ignored.

    The pixels are Pillow's, which are those of the published pipelines, or, with 'zoom', the
    nearest ones of `scipy.ndimage.zoom(order=0)`, for the mask too: SSL4MIS's on ACDC. It draws
    nothing: in `prepare` its result is cached, and its speed counts once per image; after
    `RandomRotFlipRotate`, as SSL4MIS has it, it runs in every iteration.

    Args:
        size: side of the square in pixels; by default the `image_size` of the data set.
        interpolation: filter for the image ('nearest', 'box', 'bilinear', 'bicubic', 'lanczos',
            'zoom'); masks are always resized to the nearest pixel.
    """

    def __init__(self, size: int | None = None, interpolation: str = 'bilinear') -> None:
        if interpolation not in (*_FILTERS, 'zoom'):
            raise ValueError(
                f'interpolation = "{interpolation}" is unknown; choose one of '
                f'{sorted([*_FILTERS, "zoom"])}.'
            )
        self.size = size
        self.interpolation = interpolation

    def transform(self, results: dict) -> dict:
        """Resize image, mask and grid.

        Raises:
            ValueError: neither the transform nor the data set has a size.
        """
        side = int(self.size or side_of(results, 'image', 'ResizeSquare'))
        size = (side, side)
        for key, mode in (('img', self.interpolation), ('gt', 'nearest'), ('grid', 'nearest')):
            if key not in results:
                continue
            if self.interpolation == 'zoom':
                results[key] = zoom_nearest(results[key], size)
            else:
                results[key] = resize_uint8(results[key], size, mode)
        return results


@TRANSFORMS.register_module()
class ResizeMaskTo(BaseTransform):
    """Bring `gt` to the size at which predictions are scored.

    Args:
        size: side of a square or (height, width), pixels; by default the `score_size` of the data
            set, and where that is None the size of the file.
    """

    def __init__(self, size: int | tuple[int, int] | None = None) -> None:
        self.size = size

    def transform(self, results: dict) -> dict:
        """Resize the mask if there is one."""
        if 'gt' in results:
            size = self.size or (results.get('sizes') or {}).get('score') or results['ori_shape']
            shape = (size, size) if isinstance(size, int) else tuple(size)
            results['gt'] = resize_uint8(results['gt'], shape, 'nearest')
        return results
