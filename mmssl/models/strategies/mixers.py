"""Ways to mix a labelled and an unlabelled image: registered objects that a config names."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmssl.models.strategies.frequency import (
    fmix_noise_shape,
    in_8_bits,
    low_frequency_image,
    mix_amplitude,
)
from mmssl.models.strategies.mixing import box_mask, paste, repeat_to
from mmssl.registry import MIXERS
from mmssl.structures import MADE_BY
from mmssl.utils.resize import resize_mask, size_like


class View(NamedTuple):
    """Images (N, C, H, W), their labels, and which pixels of these count.

    Labels and masks are (N, h, w), or (N, K, h, w) where K parts may overlap. Volumes have a
    third axis, before the others.
    """

    image: Tensor
    label: Tensor
    mask: Tensor

    def repeat_to(self, n: int) -> 'View':
        """Return n pictures: these, repeated in order."""
        return View(*(repeat_to(x, n) for x in self))


class RegionMixer(ABC):
    """Base: replace a region of the strong view, its label and its mask by those of a partner.

    Args:
        partner: `labelled` pastes the labelled image, as in the code base of MiDSS and SynFoC;
            `unlabelled` the next image of the batch, as in the mixers' own papers.

    Raises:
        ValueError: if `partner` has another value.
    """

    def __init__(self, partner: str = 'labelled') -> None:
        if partner not in ('labelled', 'unlabelled'):
            raise ValueError(f"partner must be 'labelled' or 'unlabelled', found {partner!r}")
        self.partner = partner

    @abstractmethod
    def region(self, patch: View, box: Tensor | None, size: Sequence[int]) -> Tensor:
        """Return masks (N, 1, ...) of this size, or of another, that are 1 where the patch goes."""

    def __call__(
        self, x: View, u: View, weak: Tensor, box: Tensor | None, size: Sequence[int]
    ) -> tuple[View, View]:
        """Return the labelled and the strong view to train on.

        Args:
            x: labelled weak view, label and a mask of ones.
            u: unlabelled strong view, pseudo-label and mask.
            weak: images of the unlabelled weak view.
            box: boxes of the batch, see `box_mask`, if the pipeline draws them.
            size: of the images of the batch, in whose pixels the boxes are.
        """
        if self.partner == 'labelled':
            patch = x.repeat_to(len(u.image))
        else:
            patch = View(*(value.roll(-1, 0) for value in u))
        region = self.region(patch, box, size)
        mixed = (
            paste(background, new, resize_mask(region, size_like(background, len(size))))
            for background, new in zip(u, patch, strict=True)
        )
        return x, View(*mixed)


@MIXERS.register_module()
class CutMix(RegionMixer):
    """Paste a rectangle, drawn by `RandomPasteBox` in the pipeline (`RandomPasteCuboid`).

    Yun et al., CutMix, ICCV 2019, https://arxiv.org/abs/1905.04899.
    """

    def region(self, patch: View, box: Tensor | None, size: Sequence[int]) -> Tensor:
        """Return the boxes of the batch.

        Raises:
            ValueError: if the batch has none.
        """
        if box is None:
            raise ValueError(
                f'CutMix needs boxes, but the batch has no "box": add {MADE_BY["box"]}.'
            )
        return box_mask(box, size, size[-1])


@MIXERS.register_module()
class ClassMix(RegionMixer):
    """Paste the pixels of half of the classes (rounded down) that the patch's label has.

    Olsson et al., ClassMix, WACV 2021, https://arxiv.org/abs/2007.07936.
    """

    def region(self, patch: View, box: Tensor | None, size: Sequence[int]) -> Tensor:
        """Return the pixels of the chosen classes, at the size of the label."""
        ids = patch.label
        if (
            ids.dim() == patch.image.dim()
        ):  # overlapping parts: each combination of parts is a class
            bits = 2 ** torch.arange(ids.shape[1], device=ids.device)
            ids = (ids.long() * bits.view(-1, *(1,) * len(size))).sum(1)
        return class_region(ids, torch.rand(len(ids), 256, device=ids.device))


@MIXERS.register_module()
class CowMix(RegionMixer):
    """Paste the spots of smoothed noise.

    French et al., Milking CowMask for semi-supervised image classification,
    https://arxiv.org/abs/2003.12022; the constants are those of its code on ImageNet.

    Args:
        sigma: range of the smoothing in pixels, drawn log-uniformly.
        proportion: range of the part of the image that is pasted.
        partner: see `RegionMixer`.
    """

    def __init__(
        self,
        sigma: tuple[float, float] = (4.0, 16.0),
        proportion: tuple[float, float] = (0.2, 0.8),
        partner: str = 'labelled',
    ) -> None:
        super().__init__(partner)
        self.sigma, self.proportion = tuple(sigma), tuple(proportion)
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f'sigma must be a rising range above 0, found {sigma}')
        if not 0 < self.proportion[0] <= self.proportion[1] < 1:
            raise ValueError(f'proportion must be a rising range in (0, 1), found {proportion}')

    def region(self, patch: View, box: Tensor | None, size: Sequence[int]) -> Tensor:
        """Draw noise, smoothing and proportion of every image."""
        n, device = len(patch.image), patch.image.device
        low, high = (math.log(sigma) for sigma in self.sigma)
        sigma = torch.empty(n, device=device).uniform_(low, high).exp()
        proportion = torch.empty(n, device=device).uniform_(*self.proportion)
        noise = torch.randn(n, 1, *size, device=device)
        return cow_region(noise, sigma, proportion, self.sigma[1])


@MIXERS.register_module()
class FMix(RegionMixer):
    """Paste the brightest part of an image made of low frequencies.

    Harris et al., FMix, https://arxiv.org/abs/2002.12047.

    Args:
        decay: the amplitude falls as frequency to the power of -decay.
        alpha: both parameters of the Beta distribution of the pasted part.
        spectrum: `code` as the released code draws it, which takes the first two rows of the
            spectrum for its real and imaginary part, so that regions are bands more than spots;
            `paper` as meant.
        partner: see `RegionMixer`.
    """

    def __init__(
        self,
        decay: float = 3.0,
        alpha: float = 1.0,
        spectrum: str = 'code',
        partner: str = 'labelled',
    ) -> None:
        super().__init__(partner)
        if spectrum not in ('code', 'paper'):
            raise ValueError(f"spectrum must be 'code' or 'paper', found {spectrum!r}")
        if alpha <= 0:
            raise ValueError(f'alpha must be above 0, found {alpha}')
        self.decay, self.alpha, self.spectrum = decay, alpha, spectrum

    def region(self, patch: View, box: Tensor | None, size: Sequence[int]) -> Tensor:
        """Draw the spectrum and the pasted part of every image."""
        n, device = len(patch.image), patch.image.device
        noise = torch.randn(n, *fmix_noise_shape(size), device=device)
        # two Gamma variables make a Beta variable, on every device
        gamma = torch._standard_gamma(torch.full((2, n), self.alpha, device=device))
        image = low_frequency_image(noise, size, self.decay, self.spectrum)
        return brightest(image, gamma[0] / gamma.sum(0))


@MIXERS.register_module()
class FDA:
    """Give the labelled images the low-frequency amplitudes of the unlabelled ones.

    Yang and Soatto, FDA: Fourier Domain Adaptation, CVPR 2020, https://arxiv.org/abs/2004.05498.

    The strong view stays as it is.

    Args:
        size: half of the window of low frequencies, as a part of the image's side.
        mean: of the data preprocessor: grey value at which the network's input is 0.
        std: of the data preprocessor: grey values in one unit of the network's input.
    """

    def __init__(self, size: float = 0.01, mean: float = 0.0, std: float = 255.0) -> None:
        if not 0 <= size < 0.5:
            raise ValueError(f'size must lie in [0, 0.5), found {size}')
        self.size, self.mean, self.std = size, mean, std

    def __call__(
        self, x: View, u: View, weak: Tensor, box: Tensor | None, size: Sequence[int]
    ) -> tuple[View, View]:
        """Return the labelled and the strong view to train on; see `RegionMixer`."""
        grey, style = (image * self.std + self.mean for image in (x.image, weak))
        mixed = in_8_bits(mix_amplitude(grey, repeat_to(style, len(grey)), self.size))
        return x._replace(image=(mixed - self.mean) / self.std), u


def class_region(label: Tensor, score: Tensor) -> Tensor:
    """Return the pixels of the classes with the lowest scores, half of those that a label has.

    Args:
        label: class ids (N, ...) below C.
        score: a number in [0, 1] for each class, (N, C).

    Returns:
        Mask (N, 1, ...), 0 or 1 in float.

    Example:
        >>> label, score = torch.tensor([[[0, 2], [3, 5]]]), torch.arange(6.0)[None] / 6
        >>> class_region(label, score)[0, 0].int().tolist()
        [[1, 1], [0, 0]]
    """
    ids = label.flatten(1)
    present = torch.zeros_like(score).scatter_(1, ids, 1.0)
    rank = (score + 2 * (1 - present)).argsort(1).argsort(1)
    chosen = rank < torch.div(present.sum(1, keepdim=True), 2, rounding_mode='floor')
    return chosen.gather(1, ids).view(label.shape).unsqueeze(1).float()


def cow_region(noise: Tensor, sigma: Tensor, proportion: Tensor, max_sigma: float) -> Tensor:
    """Return the spots where smoothed noise lies low.

    Args:
        noise: normal noise (N, 1, ...) of one to three spatial axes.
        sigma: standard deviation of the Gaussian filter in pixels, (N,).
        proportion: part of the image inside, if the smoothed noise is normal, (N,).
        max_sigma: the largest sigma, which gives the size of the filter.

    Returns:
        Mask (N, 1, ...), 0 or 1 in float.
    """
    axes = noise.dim() - 2
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    half = min(2 * round(3 * max_sigma) + 1, max(noise.shape[2:]) - 1)
    x = torch.arange(-half, half + 1, device=noise.device, dtype=noise.dtype)
    kernel = torch.exp(-0.5 * x**2 / sigma[:, None] ** 2) / (sigma[:, None] * math.tau**0.5)
    n, smooth = len(noise), noise.transpose(0, 1)
    for axis in range(axes):
        along = [int(i == axis) for i in range(axes)]
        weight = kernel.view(n, 1, *(kernel.shape[1] if own else 1 for own in along))
        smooth = convolve(smooth, weight, padding=[half * own for own in along], groups=n)
    smooth = smooth.transpose(0, 1)
    over = tuple(range(1, noise.dim()))
    std, mean = torch.std_mean(smooth, over, correction=0, keepdim=True)
    factor = math.sqrt(2) * torch.erfinv(2 * proportion - 1)
    return (smooth <= factor.view_as(std) * std + mean).float()


def brightest(image: Tensor, part: Tensor) -> Tensor:
    """Return the brightest `part` (N,) of the pixels of images (N, 1, ...), 0 or 1 in float.

    Example:
        >>> brightest(torch.tensor([[[[0.1, 0.4], [0.3, 0.2]]]]), torch.tensor([0.5]))[0, 0]
        tensor([[0., 1.],
                [1., 0.]])
    """
    rank = image.flatten(1).argsort(1, descending=True).argsort(1)
    inside = rank < part[:, None] * rank.shape[1]
    return inside.view(image.shape).float()
