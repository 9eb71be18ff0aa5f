"""The U-Net of guided-diffusion, and MCSD's two readings of it, as a network of diffusers."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from mmssl.registry import MODELS

# How MCSD's extractor runs, and how its yaml describes it (the flags of the LSUN-256 models).
VARIANTS = {
    'effective': dict(attention=(16, 8), num_heads=4, resblock_updown=False, dropout=0.0),
    'yaml': dict(attention=(32, 16, 8), head_channels=64, resblock_updown=True, dropout=0.1),
}
COMMON: dict[str, Any] = dict(
    num_heads=None, head_channels=None, scale_shift=True, num_res_blocks=2, norm_groups=32
)


def guided_diffusion_config(
    base_channels: int = 256,
    image_size: int = 256,
    multipliers: Sequence[int] = (1, 1, 2, 2, 4, 4),
    variant: str = 'effective',
    in_channels: int = 1,
    **options: Any,
) -> dict:
    """Return the arguments of the `UNet2DModel` that equals a guided-diffusion U-Net.

    Dhariwal and Nichol, 2021, https://github.com/openai/guided-diffusion, `unet.py`; without
    learned variances, so that there are as many output as input channels.

    Args:
        base_channels: channels of the highest level.
        image_size: side of the images in pixels.
        multipliers: channels of each level in units of `base_channels`.
        variant: 'effective' (attention at 16 and 8 px with 4 heads, plain convolutions between
            the levels) or 'yaml' (attention at 32, 16 and 8 px with 64 channels a head, residual
            blocks between the levels, dropout 0.1).
        in_channels: channels of the image.
        **options: replace what the variant says: `attention` (sides in pixels of the levels with
            attention), `num_heads` or `head_channels`, `resblock_updown`, `dropout`; further
            `scale_shift` (True), `num_res_blocks` (2), `norm_groups` (32).

    Raises:
        ValueError: unknown variant or option, or levels whose number of channels does not fit
            the heads (diffusers has one head width for all levels).
    """
    if variant not in VARIANTS:
        raise ValueError(f'variant is "{variant}"; known are {", ".join(VARIANTS)}')
    opt = {**COMMON, **VARIANTS[variant]}
    if unknown := sorted(set(options) - set(opt)):
        raise ValueError(f'unknown options {unknown}; known are {", ".join(opt)}')
    if 'num_heads' in options:
        opt['head_channels'] = None
    opt.update(options)
    channels = [base_channels * m for m in multipliers]
    sides = [image_size >> level for level in range(len(channels))]
    attends = [side in opt['attention'] for side in sides]
    plain = 'ResnetDownsampleBlock2D' if opt['resblock_updown'] else 'DownBlock2D'
    levels = ['AttnDownBlock2D' if attend else plain for attend in attends]
    return dict(
        sample_size=image_size,
        in_channels=in_channels,
        out_channels=in_channels,
        layers_per_block=opt['num_res_blocks'],
        block_out_channels=tuple(channels),
        down_block_types=tuple(levels),
        up_block_types=tuple(level.replace('Down', 'Up') for level in reversed(levels)),
        downsample_type='resnet' if opt['resblock_updown'] else 'conv',
        upsample_type='resnet' if opt['resblock_updown'] else 'conv',
        attention_head_dim=_head_width(opt, channels, attends),
        resnet_time_scale_shift='scale_shift' if opt['scale_shift'] else 'default',
        norm_num_groups=opt['norm_groups'],
        attn_norm_num_groups=opt['norm_groups'],
        dropout=opt['dropout'],
    )


def _head_width(opt: dict, channels: Sequence[int], attends: Sequence[bool]) -> int:
    """Return the channels of one attention head; the level at the bottom always attends."""
    widths = {c for c, attend in zip(channels, attends, strict=True) if attend} | {channels[-1]}
    if opt['head_channels']:
        head = opt['head_channels']
    else:
        if len(widths) > 1:
            raise ValueError(
                f'num_heads={opt["num_heads"]} at levels of {sorted(widths)} channels gives heads '
                'of several widths, which diffusers does not have; set head_channels instead'
            )
        head = channels[-1] // opt['num_heads']
    if any(width % head for width in widths) or head < 1:
        raise ValueError(
            f'heads of {head} channels do not divide levels of {sorted(widths)} channels'
        )
    return head


def build_unet(cfg: Mapping[str, Any]) -> nn.Module:
    """Return a `diffusers.UNet2DModel` with random weights from its arguments."""
    from diffusers import UNet2DModel

    unet: Any = UNet2DModel(**{k: v for k, v in cfg.items() if not k.startswith('_')})
    return unet


@MODELS.register_module(name='GuidedDiffusionUNet')
def guided_diffusion_unet(**options: Any) -> nn.Module:
    """Return a network from the arguments of `guided_diffusion_config`, for configs."""
    return build_unet(guided_diffusion_config(**options))
