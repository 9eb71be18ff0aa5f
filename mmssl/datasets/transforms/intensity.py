"""Strong views: random brightness, contrast, blur, noise and gamma of one image or volume.

Brightness and contrast of uint8 images follow Pillow's `ImageEnhance` to the last bit: a straight
line through black, or through the mean grey of the image, cut off at 0 and 255 and rounded down.
Both are functions of the grey level alone and are applied as tables of 256 entries. Of float images
(volumes) they are the same lines, through 0 or through the mean of each channel, not cut off.
"""

import math

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageEnhance

from mmssl.datasets.transforms.base import check_prob, check_range, sample_rng, with_channels
from mmssl.registry import TRANSFORMS

# Pillow's weights of red, green and blue in a grey image (ITU-R 601-2), in units of 1 / 65536.
_LUMA = np.array([[19595, 38470, 7471]], dtype=np.float32) / 65536
_LEVELS = np.arange(256, dtype=np.float32)


def blend_levels(img: np.ndarray, pivot: float | np.ndarray, factor: float) -> np.ndarray:
    """Move every grey level v to pivot + factor (v - pivot), of uint8 images cut to 0 ... 255."""
    if img.dtype != np.uint8:
        pivot = np.asarray(pivot, img.dtype)
        return pivot + img.dtype.type(factor) * (img - pivot)
    levels = np.float32(pivot) + np.float32(factor) * (_LEVELS - np.float32(pivot))
    table = np.clip(levels, 0, 255).astype(np.uint8)
    return with_channels(cv2.LUT(img, table), img)


def mean_grey(img: np.ndarray) -> int | np.ndarray:
    """Return the rounded mean of a uint8 image (H, W), (H, W, 1) or RGB (H, W, 3).

    Of floats (..., C) the mean of each channel (C,).
    """
    if img.dtype != np.uint8:
        return img.mean(axis=tuple(range(img.ndim - 1)))
    if img.ndim == 3 and img.shape[2] == 3:
        img = cv2.transform(img, _LUMA)
    return int(cv2.sumElems(img)[0] / (img.shape[0] * img.shape[1]) + 0.5)


def scale_saturation(img: np.ndarray, factor: float) -> np.ndarray:
    """Move every colour of an RGB uint8 image away from its grey, as Pillow does."""
    return np.asarray(ImageEnhance.Color(Image.fromarray(img)).enhance(factor))


def turn_hue(img: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue of an RGB uint8 image by a part of the circle, as torchvision does."""
    hsv = np.array(Image.fromarray(img).convert('HSV'))
    hsv[..., 0] += np.int32(turn * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(hsv, 'HSV').convert('RGB'))


def gaussian_blur(img: np.ndarray, sigma: float | np.ndarray, max_taps: int) -> np.ndarray:
    """Blur an image (H, W, C) or a volume (D, H, W, C), mirrored at the borders.

    The Gaussian measures `sigma` pixels, one number for all axes or one for each. Kernels end at 4
    sigma, at most at `max_taps` taps: what is left out weighs less than 1e-4, and costs most of the
    time where the published kernel has a tenth of the image's size.
    """
    axes = img.ndim - 1
    widths = [float(one) for one in np.broadcast_to(sigma, axes)]
    radii = [min(math.ceil(4 * one), max_taps // 2) for one in widths]
    if axes > 2:
        from scipy.ndimage import gaussian_filter

        return gaussian_filter(img, widths, mode='mirror', radius=radii, axes=tuple(range(axes)))
    rows, columns = (
        np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * one**2))
        for one, radius in zip(widths, radii, strict=True)
    )
    out = cv2.sepFilter2D(
        img, -1, columns / columns.sum(), rows / rows.sum(), borderType=cv2.BORDER_REFLECT_101
    )
    return with_channels(out, img)


@TRANSFORMS.register_module()
class RandomBrightness(BaseTransform):
    """Multiply an image by a random factor.

    Args:
        low: smallest factor; 1 leaves the image as it is.
        high: largest factor.
        key: which image of the sample.
    """

    def __init__(self, low: float, high: float, key: str = 'img') -> None:
        self.factors = check_range('(low, high)', (low, high), 0)
        self.key = key

    def transform(self, results: dict) -> dict:
        """Draw the factor and apply it."""
        factor = sample_rng(results).uniform(*self.factors)
        results[self.key] = blend_levels(results[self.key], 0, factor)
        return results


@TRANSFORMS.register_module()
class RandomContrast(BaseTransform):
    """Stretch the distance of every grey level from the mean grey by a random factor.

    Args:
        low: smallest factor; 0 gives a flat grey image and 1 leaves it as it is.
        high: largest factor.
        key: which image of the sample.
    """

    def __init__(self, low: float, high: float, key: str = 'img') -> None:
        self.factors = check_range('(low, high)', (low, high), 0)
        self.key = key

    def transform(self, results: dict) -> dict:
        """Draw the factor and apply it."""
        factor = sample_rng(results).uniform(*self.factors)
        results[self.key] = blend_levels(results[self.key], mean_grey(results[self.key]), factor)
        return results


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue in a random order, as torchvision does.

    The factors of the first three are drawn from max(0, 1 - v) ... 1 + v for a strength v, the
    turn of the hue from -v ... v of the circle. All are drawn for every image; saturation and hue
    do nothing to a grey one, nor to floats, whose channels are no colours.

    Args:
        brightness: strength v.
        contrast: strength v.
        saturation: strength v.
        hue: strength v, at most 0.5.
        key: which image of the sample.
    """

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        key: str = 'img',
    ) -> None:
        strengths = dict(brightness=brightness, contrast=contrast, saturation=saturation)
        self.ranges = {}
        for name, value in strengths.items():
            if value < 0:
                raise ValueError(f'{name} = {value}: give a strength of 0 or more.')
            self.ranges[name] = (max(0.0, 1.0 - value), 1.0 + value)
        if not 0 <= hue <= 0.5:
            raise ValueError(f'hue = {hue}: give a strength from 0 to 0.5.')
        self.ranges['hue'] = (-float(hue), float(hue))
        self.key = key

    def transform(self, results: dict) -> dict:
        """Draw the order and the four numbers; apply them."""
        rng = sample_rng(results)
        order = rng.permutation(len(self.ranges))
        drawn = [(name, rng.uniform(*bounds)) for name, bounds in self.ranges.items()]
        img = results[self.key]
        for index in order:
            name, value = drawn[index]
            if self.ranges[name][0] < self.ranges[name][1]:
                img = self._change(img, name, value)
        results[self.key] = img
        return results

    @staticmethod
    def _change(img: np.ndarray, name: str, value: float) -> np.ndarray:
        if name == 'brightness':
            return blend_levels(img, 0, value)
        if name == 'contrast':
            return blend_levels(img, mean_grey(img), value)
        if img.dtype != np.uint8 or img.ndim == 2 or img.shape[2] == 1:
            return img
        return scale_saturation(img, value) if name == 'saturation' else turn_hue(img, value)


@TRANSFORMS.register_module()
class GaussianBlur(BaseTransform):
    """Blur an image with a Gaussian of random width.

    Args:
        sigma: range of the standard deviation in pixels.
        kernel: longest kernel, as a fraction of the image height (rounded down, made odd).
        each_axis: draw a width for each axis, not one for all.
        key: which image of the sample.
    """

    def __init__(
        self,
        sigma: tuple[float, float] = (0.1, 2.0),
        kernel: float = 0.1,
        each_axis: bool = False,
        key: str = 'img',
    ) -> None:
        self.sigma = check_range('sigma', sigma, 1e-3)
        self.kernel = kernel
        self.each_axis = each_axis
        self.key = key

    def transform(self, results: dict) -> dict:
        """Draw the width or widths and blur."""
        img = results[self.key]
        count = img.ndim - 1 if self.each_axis else None
        low, high = self.sigma
        sigma = sample_rng(results).uniform(low, high, size=count)
        taps = int(self.kernel * img.shape[0]) // 2 * 2 + 1
        results[self.key] = gaussian_blur(img, sigma, taps)
        return results


@TRANSFORMS.register_module()
class RandomNoise(BaseTransform):
    """Add Gaussian noise, each value its own, to an image of floats.

    Args:
        std: range of the noise's standard deviation.
        prob: probability to apply it.
        limit: where the noise is cut off, in standard deviations; None does not cut.
        key: which image of the sample.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(
        self,
        std: tuple[float, float] = (0.0, 0.1),
        prob: float = 1.0,
        limit: float | None = None,
        key: str = 'img',
    ) -> None:
        self.std = check_range('std', std, 0)
        self.prob = check_prob(prob)
        if limit is not None and limit <= 0:
            raise ValueError(f'limit = {limit}: give a number above 0, or None.')
        self.limit = limit
        self.key = key

    def transform(self, results: dict) -> dict:
        """Draw the gate unless it is certain, the deviation and the noise; add it."""
        rng = sample_rng(results)
        if self.prob < 1 and rng.random() >= self.prob:
            return results
        img = need_floats(results, self.key, 'RandomNoise')
        std = rng.uniform(*self.std)
        noise = rng.standard_normal(img.shape, dtype=np.float32)
        if self.limit is not None:
            noise.clip(-self.limit, self.limit, out=noise)
        noise *= np.float32(std)
        noise += img
        results[self.key] = noise
        return results


@TRANSFORMS.register_module()
class RandomGamma(BaseTransform):
    """Bend the grey levels of a float image by a random power, channel by channel.

    With a the smallest and b the largest value of a channel, v becomes
    a + (b - a) ((v - a) / (b - a))^g; then mean and standard deviation are brought back to what
    they were. As in nnU-Net (Isensee et al., Nature Methods 2021), g is drawn below and above 1
    with the same probability where the range holds 1.

    With `signed` v becomes sign(v) |v|^g and log g is drawn evenly, as in torchio (Perez-Garcia
    et al., CMPB 2021): of intensities around 0, 0 and 1 stay, and the least value moves no other.

    Args:
        gamma: range of g.
        prob: probability to apply it.
        invert: probability to turn the image upside down before and back afterwards, so that
            bright levels are bent as dark ones are.
        keep_stats: bring mean and standard deviation back.
        signed: bend magnitudes, not what lies between the smallest and the largest value.
        key: which image of the sample.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(
        self,
        gamma: tuple[float, float] = (0.7, 1.5),
        prob: float = 1.0,
        invert: float = 0.0,
        keep_stats: bool = True,
        signed: bool = False,
        key: str = 'img',
    ) -> None:
        self.gamma = check_range('gamma', gamma, 1e-3)
        self.prob = check_prob(prob)
        self.invert = check_prob(invert)
        self.keep_stats = keep_stats
        self.signed = signed
        self.key = key

    def transform(self, results: dict) -> dict:
        """Draw the gate unless it is certain, the side of 1, the power, the turn; bend."""
        rng = sample_rng(results)
        if self.prob < 1 and rng.random() >= self.prob:
            return results
        img = need_floats(results, self.key, 'RandomGamma')
        power = np.float32(self._power(rng))
        sign = np.float32(-1 if rng.random() < self.invert else 1)
        axes = tuple(range(img.ndim - 1))
        if self.signed:
            out = np.copysign(np.abs(img) ** power, img)
        else:
            out = sign * img
            least, most = out.min(axis=axes), out.max(axis=axes)
            width = np.maximum(most - least, np.float32(1e-7))
            out = sign * (least + width * ((out - least) / width) ** power)
        if self.keep_stats:
            scale = img.std(axis=axes) / np.maximum(out.std(axis=axes), np.float32(1e-7))
            out = img.mean(axis=axes) + scale * (out - out.mean(axis=axes))
        results[self.key] = out
        return results

    def _power(self, rng: np.random.Generator) -> float:
        low, high = self.gamma
        if self.signed:
            return math.exp(rng.uniform(math.log(low), math.log(high)))
        if low < 1 < high:
            low, high = (low, 1.0) if rng.random() < 0.5 else (1.0, high)
        return rng.uniform(low, high)


def need_floats(results: dict, key: str, transform: str) -> np.ndarray:
    """Return an image, making sure that it has floats.

    Raises:
        ValueError: it has whole numbers, as pictures have.
    """
    img = results[key]
    if not np.issubdtype(img.dtype, np.floating):
        raise ValueError(
            f'{transform} changes floats, but "{key}" of "{results.get("name", "?")}" is '
            f'{img.dtype}: use it on volumes (sample="volume"), or ColorJitter on pictures.'
        )
    return img
