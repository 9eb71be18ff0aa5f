"""Images made of low frequencies, and low frequencies mixed between images."""

import math
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor


def fmix_noise_shape(size: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the normal numbers that make one spectrum of FMix."""
    return *size[:-1], size[-1] // 2 + 1, 2


def low_frequency_image(noise: Tensor, size: Sequence[int], decay: float, spectrum: str) -> Tensor:
    """Return grey images (N, 1, ...) whose amplitudes fall with the frequency.

    Args:
        noise: normal numbers (N, ..., 2), the last side of the image halved, plus 1.
        size: of the image in pixels, over any number of axes.
        decay: power with which the amplitudes fall.
        spectrum: see `FMix`.
    """
    lines = [torch.fft.fftfreq(side, device=noise.device) for side in size]
    lines[-1] = lines[-1][: size[-1] // 2 + 1]
    square = _outer([line**2 for line in lines], torch.add)
    frequency = square.sqrt().clamp(min=1 / max(size))
    z = noise * (frequency**-decay)[..., None]
    if spectrum == 'code':
        z = torch.complex(z[:, 0], z[:, 1])  # (N, side // 2 + 1, 2): few columns are left
    else:
        z = torch.complex(z[..., 0], z[..., 1])
    mask: Tensor = torch.fft.irfftn(z, s=tuple(size))
    return mask.unsqueeze(1)


def _outer(lines: Sequence[Tensor], join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the table, an axis for each line, of one value of every line joined."""
    return reduce(lambda table, line: join(table[..., None], line), lines)


def mix_amplitude(
    image: Tensor, style: Tensor, size: float = 0.01, degree: float | Tensor = 1.0
) -> Tensor:
    """Mix the low-frequency amplitudes of `style` into `image`, which keeps its phases.

    Inside a window of `2 floor(size min(sides)) + 1` frequencies around 0 along each axis the
    amplitude becomes `(1 - degree) |image| + degree |style|`. Sources: FDA, https://arxiv.org/abs/2004.05498;
    MiDSS, https://arxiv.org/abs/2404.08951.

    Args:
        image: grey values (N, C, ...), black at 0.
        style: grey values (N, C, ...).
        size: half of the window as a part of the image's side.
        degree: how far to go, one number or (N, 1, ...).

    Example:
        >>> image, style = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[5.0, 5.0]]]])
        >>> mix_amplitude(image, style, size=0)  # the mean alone
        tensor([[[[4., 6.]]]])
    """
    sides, axes = image.shape[2:], tuple(range(2, image.dim()))
    b = math.floor(min(sides) * size)
    low = [torch.fft.fftfreq(n, 1 / n, device=image.device).abs() < b + 0.5 for n in sides]
    window = _outer(low, torch.logical_and)
    spectrum = torch.fft.fftn(image.float(), dim=axes)
    amplitude, other = spectrum.abs(), torch.fft.fftn(style.float(), dim=axes).abs()
    mixed = torch.where(window, (1 - degree) * amplitude + degree * other, amplitude)
    back: Tensor = torch.fft.ifftn(torch.polar(mixed, spectrum.angle()), dim=axes)
    return back.real


def in_8_bits(image: Tensor) -> Tensor:
    """Return slices (N, C, H, W) cut off at 0 and 255; volumes, which are in float, as they are.

    Example:
        >>> image = torch.tensor([-1.0, 300.0])
        >>> in_8_bits(image.view(2, 1, 1, 1)).flatten(), in_8_bits(image.view(2, 1, 1, 1, 1))[0]
        (tensor([  0., 255.]), tensor([[[[-1.]]]]))
    """
    return image.clamp(0, 255) if image.dim() == 4 else image
