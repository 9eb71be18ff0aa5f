"""DDIM, with a network that knows the answer."""

from types import SimpleNamespace

import pytest
import torch

from mmssl.models.diffusion.sampling import ddim_sample
from mmssl.models.diffusion.unet import noise_schedule


@pytest.mark.parametrize('steps', [1, 10])
def test_data_of_a_single_image_are_found(steps):
    schedule, image = noise_schedule(), torch.linspace(-1, 1, 16).view(1, 1, 4, 4)

    def knows(x_t, t):  # the noise that leads from `image` to x_t
        abar = schedule.alphas_cumprod[t]
        return SimpleNamespace(sample=(x_t - abar.sqrt() * image) / (1 - abar).sqrt())

    noise = torch.randn(3, 1, 4, 4)
    assert torch.allclose(ddim_sample(knows, noise, schedule, steps), image, atol=1e-3)
