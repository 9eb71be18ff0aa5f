"""Images drawn from a diffusion model."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def ddim_sample(unet: nn.Module, noise: Tensor, schedule, steps: int) -> Tensor:
    """Turn noise into images with the deterministic sampler of DDIM (eta = 0).

    Song et al., Denoising Diffusion Implicit Models, ICLR 2021, https://arxiv.org/abs/2010.02502.

    Args:
        unet: network that predicts the noise.
        noise: standard normal (N, C, S, S).
        schedule: the schedule it was trained with.
        steps: number of time steps, evenly spaced.
    """
    from diffusers import DDIMScheduler

    sampler = DDIMScheduler.from_config(schedule.config)
    sampler.set_timesteps(steps, device=noise.device)
    x = noise
    for t in sampler.timesteps:
        x = sampler.step(unet(x, t).sample, t, x, eta=0.0).prev_sample
    return x
