"""A random denoiser of a hundred thousand parameters, for images of 16 px."""

import torch

from mmssl.models.diffusion.unet import build_unet, save_unet

SIZE = 16
CONFIG = dict(
    sample_size=SIZE, in_channels=1, out_channels=1, layers_per_block=1,
    block_out_channels=(16, 16), norm_num_groups=8, attention_head_dim=8,
    down_block_types=('DownBlock2D', 'AttnDownBlock2D'),
    up_block_types=('AttnUpBlock2D', 'UpBlock2D'),
)  # fmt: skip
# Activations of 16 channels: block 0 at 8 px, block 1 ends with an up-sampler, at 16 px.
STEPS, BLOCKS, SHAPES = (5, 40), (0, 1), ((16, 8, 8), (16, 16, 16))
OPTIONS = dict(steps=STEPS, blocks=BLOCKS, out_dim=4)


def write_model(folder, seed=0, extra=None, **options):
    """Write a model and return its folder."""
    torch.manual_seed(seed)
    save_unet(build_unet({**CONFIG, **options}), folder, extra or {})
    return str(folder)


def images(count=2, channels=1, size=SIZE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, size, size, generator=generator)
