"""The deterministic part of a pipeline of whole volumes: read, resample, scale intensities."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch.nn.functional import interpolate

from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.geometry import Axes
from mmssl.datasets.reading.whole import read_stack, read_whole
from mmssl.datasets.transforms.base import check_range
from mmssl.registry import TRANSFORMS

MODES = ('zscore', 'minmax', 'window', 'percentile', 'none')


@TRANSFORMS.register_module()
class LoadVolume(BaseTransform):
    """Read a whole volume into `img`, float32 (D, H, W, C), its intensities as they are stored.

    Notes its `ori_shape` (D, H, W), and its `spacing` (mm, in that order) and `affine` where they
    are known. The axes are slice, row and column of the canonical frame, or those of the file where
    it does not say how it lies. The data set gives file, key and axes, and `img_paths` where the
    slices lie in several files.

    Args:
        fill: what takes the place of NaN and infinity; None refuses them.
    """

    def __init__(self, fill: float | None = None) -> None:
        self.fill = fill

    def transform(self, results: dict) -> dict:
        """Read the volume.

        Raises:
            DataError: a file is broken, is no volume, or holds NaN or infinity.
        """
        path, key = results['img_path'], results.get('image_key') or 'image'
        axes = results.get('axes') or Axes()
        if results.get('index') is not None:
            raise DataError(
                f'Slice {results["index"]} of {path} was asked for, LoadVolume reads all of them. '
                'Set sample="volume" in the data set, or put LoadImage in its place.'
            )
        if results.get('img_paths'):
            channels = results.get('channels') or 1
            found = read_stack(results['img_paths'], channels, key, axes, self.fill)
        else:
            found = read_whole(path, key, axes, results.get('frames') or (), self.fill)
        results['img'], results['affine'] = found.array, found.affine
        results['spacing'] = found.spacing or results.get('spacing')
        results['ori_shape'] = found.array.shape[:3]
        return results


@TRANSFORMS.register_module()
class Resample(BaseTransform):
    """Bring a volume, and its mask if there, to voxels of one size.

    The field of view stays: the number of voxels is rounded, and `spacing` becomes what then is
    exact. Image linear, mask nearest; `affine` follows, `ori_shape` stays that of the volume as
    read, to which a prediction is brought back by the same rule. A mask that is loaded after it
    keeps its own grid, on which predictions are scored.

    Args:
        spacing: size of a voxel in mm, (slice, row, column) or one for all three; None for an axis
            leaves it as it is.
    """

    def __init__(self, spacing: float | tuple[float | None, ...]) -> None:
        sizes = (spacing,) * 3 if isinstance(spacing, int | float) else tuple(spacing)
        if len(sizes) != 3 or not all(size is None or size > 0 for size in sizes):
            raise ValueError(
                f'spacing = {spacing!r}: give the size of a voxel in mm, (slice, row, column), '
                'None where it stays.'
            )
        self.spacing = sizes

    def transform(self, results: dict) -> dict:
        """Resample image and mask.

        Raises:
            DataError: the size of the voxels is not known.
        """
        now = results.get('spacing')
        if now is None or len(now) != 3:
            raise DataError(
                f'{results.get("img_path")} does not say how large its voxels are, so it cannot be '
                'resampled. Give spacing=(slice, row, column) in mm to the data set, or leave '
                'Resample out.'
            )
        old = results['img'].shape[:3]
        wanted = (size or own for size, own in zip(self.spacing, now, strict=True))
        new = tuple(
            max(1, round(count * own / size))
            for count, own, size in zip(old, now, wanted, strict=True)
        )
        if new == old:
            return results
        image = torch.from_numpy(np.array(results['img'])).movedim(-1, 0)[None]
        image = interpolate(image, new, mode='trilinear', align_corners=False)[0].movedim(0, -1)
        results['img'] = image.contiguous().numpy()
        if 'gt' in results:
            mask = torch.from_numpy(np.array(results['gt']))[None, None].float()
            mask = interpolate(mask, new, mode='nearest-exact')[0, 0]
            results['gt'] = mask.to(torch.uint8).numpy()
        steps = np.divide(old, new)
        results['spacing'] = tuple((np.asarray(now) * steps).tolist())
        if results.get('affine') is not None:
            results['affine'] = _scaled(results['affine'], steps)
        return results


def _scaled(affine: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the affine of a grid whose voxels are larger by `steps`, over the same field of view.

    Args:
        affine: index (column, row, slice) -> mm.
        steps: along slice, row and column.
    """
    back = np.diag([*steps[::-1], 1.0])
    back[:3, 3] = (steps[::-1] - 1) / 2
    return affine @ back


@TRANSFORMS.register_module()
class NormaliseIntensity(BaseTransform):
    """Clip and scale the intensities of a volume, each channel for itself; float32 stays float32.

    Modes: 'zscore' gives mean 0 and standard deviation 1, 'minmax' the range 0 to 1, 'window' maps
    `window` to 0 to 1, 'percentile' does so with the `percentiles` of the volume, 'none' scales
    nothing. `window` and `percentiles` clip before any mode. A volume of one value becomes 0.

    Args:
        mode: how intensities are scaled.
        window: (low, high) in the units of the file, such as Hounsfield.
        percentiles: (low, high) from 0 to 100, of the voxels that count.
        nonzero: let only voxels that are not 0 count, as in images whose background was set to 0;
            the others become 0.
    """

    def __init__(
        self,
        mode: str = 'zscore',
        window: tuple[float, float] | None = None,
        percentiles: tuple[float, float] | None = None,
        nonzero: bool = False,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f'mode = "{mode}" is not known (known: {", ".join(MODES)}).')
        if (mode == 'window') != (window is not None) and mode in ('window', 'percentile'):
            raise ValueError(
                f'mode = "{mode}" with window = {window}: a window such as (-175, 250) goes with '
                '"window", "zscore", "minmax" and "none", which clip to it first.'
            )
        if mode == 'percentile' and percentiles is None:
            percentiles = (0.5, 99.5)
        if window is not None and percentiles is not None:
            raise ValueError('Give a window or percentiles to clip to, not both.')
        self.mode = mode
        self.window = check_range('window', window, -float('inf')) if window else None
        self.percentiles = check_range('percentiles', percentiles, 0, 100) if percentiles else None
        self.nonzero = nonzero

    def transform(self, results: dict) -> dict:
        """Scale the image."""
        img = results['img']
        out = np.empty(img.shape, np.float32)
        for channel in range(img.shape[-1]):
            out[..., channel] = self._scaled(img[..., channel].astype(np.float32))
        results['img'] = out
        return results

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        """Return one channel scaled."""
        counts = values[values != 0] if self.nonzero else values.ravel()
        if not counts.size:
            return values
        limits = self.window
        if self.percentiles:
            low, high = np.percentile(counts, self.percentiles)
            limits = float(low), float(high)
        if limits:
            scaled, counts = np.clip(values, *limits), np.clip(counts, *limits)
        else:
            scaled = values
        if self.mode == 'zscore':
            begin, step = counts.mean(dtype=np.float64), counts.std(dtype=np.float64)
        elif self.mode == 'none':
            begin, step = 0.0, 1.0
        else:
            low, high = limits if limits and self.mode != 'minmax' else (counts.min(), counts.max())
            begin, step = float(low), float(high) - float(low)
        scaled = (scaled - np.float32(begin)) / np.float32(step if step > 0 else 1)
        return np.where(values != 0, scaled, np.float32(0)) if self.nonzero else scaled
