"""Images made of low frequencies, and low frequencies mixed between images."""

import math

import torch
from torch import Tensor


def fmix_noise_shape(side: int) -> tuple[int, int, int]:
    """Return the shape of the normal numbers that make one spectrum of FMix."""
    return side, side // 2 + 1, 2


def low_frequency_image(noise: Tensor, side: int, decay: float, spectrum: str) -> Tensor:
    """Return grey images (N, 1, side, side) whose amplitudes fall with the frequency.

    Args:
        noise: normal numbers (N, side, side // 2 + 1, 2).
        side: side of the square image in pixels.
        decay: power with which the amplitudes fall.
        spectrum: see `FMix`.
    """
    rows = torch.fft.fftfreq(side, device=noise.device)[:, None]
    columns = torch.fft.fftfreq(side, device=noise.device)[: side // 2 + 1]
    frequency = (rows**2 + columns**2).sqrt().clamp(min=1 / side)
    z = noise * (frequency**-decay)[:, :, None]
    if spectrum == 'code':
        z = torch.complex(z[:, 0], z[:, 1])  # (N, side // 2 + 1, 2): few columns are left
    else:
        z = torch.complex(z[..., 0], z[..., 1])
    mask: Tensor = torch.fft.irfft2(z, s=(side, side))
    return mask.unsqueeze(1)


def mix_amplitude(
    image: Tensor, style: Tensor, size: float = 0.01, degree: float | Tensor = 1.0
) -> Tensor:
    """Mix the low-frequency amplitudes of `style` into `image`, which keeps its phases.

    Inside a window of `2 floor(size min(H, W)) + 1` frequencies around 0 the amplitude becomes
    `(1 - degree) |image| + degree |style|`. Sources: FDA, https://arxiv.org/abs/2004.05498;
    MiDSS, https://arxiv.org/abs/2404.08951.

    Args:
        image: grey values (N, C, H, W), black at 0.
        style: grey values (N, C, H, W).
        size: half of the window as a part of the image's side.
        degree: how far to go, one number or (N, 1, 1, 1).

    Example:
        >>> image, style = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[5.0, 5.0]]]])
        >>> mix_amplitude(image, style, size=0)  # the mean alone
        tensor([[[[4., 6.]]]])
    """
    h, w = image.shape[-2:]
    b = math.floor(min(h, w) * size)
    rows, columns = (
        torch.fft.fftfreq(n, 1 / n, device=image.device).abs() < b + 0.5 for n in (h, w)
    )
    window = rows[:, None] & columns
    spectrum = torch.fft.fft2(image.float())
    amplitude, other = spectrum.abs(), torch.fft.fft2(style.float()).abs()
    mixed = torch.where(window, (1 - degree) * amplitude + degree * other, amplitude)
    back: Tensor = torch.fft.ifft2(torch.polar(mixed, spectrum.angle()))
    return back.real
