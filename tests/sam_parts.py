"""Small SAM networks and files shared by the tests of the networks."""

from functools import partial

import torch
from mmengine.registry import init_default_scope
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    TwoWayTransformer,
)
from torch import nn

ARCH = dict(embed_dims=32, depth=3, num_heads=2, global_blocks=(1,))


def original_sam(side: int, mask_tokens: int = 4) -> nn.ModuleDict:
    """Return segment-anything's own modules at `ARCH`, with noise in every tensor."""
    grid = (side // 16,) * 2
    sam = nn.ModuleDict(
        dict(
            image_encoder=ImageEncoderViT(
                img_size=side,
                patch_size=16,
                embed_dim=32,
                depth=3,
                num_heads=2,
                mlp_ratio=4,
                out_chans=256,
                qkv_bias=True,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=14,
                global_attn_indexes=(1,),
            ),
            prompt_encoder=PromptEncoder(256, grid, (side, side), 16),
            mask_decoder=MaskDecoder(
                transformer_dim=256,
                num_multimask_outputs=mask_tokens - 1,
                transformer=TwoWayTransformer(2, 256, 8, 2048),
            ),
        )
    )
    with torch.no_grad():
        for name, value in sam.named_parameters():
            if 'pos' in name or value.ndim == 1:
                value.add_(torch.randn_like(value) * 0.2)
    return sam.eval()


def save_sam(path, side: int = 128, mask_tokens: int = 4) -> nn.ModuleDict:
    """Write such a network as a checkpoint in SAM's naming and return it."""
    sam = original_sam(side, mask_tokens)
    torch.save(sam.state_dict(), path)
    return sam


def build(type_: str, **kwargs):
    """Build a registered network."""
    import mmssl.models  # noqa: F401
    from mmssl.registry import MODELS

    init_default_scope('mmssl')
    return MODELS.build(dict(type=type_, **kwargs))


def encoder(**kwargs):
    """Build a small LoRAMedSAM, read its trunk and give its adapters weight."""
    init = kwargs.pop('init', True)
    net = build('LoRAMedSAM', **{**dict(arch=ARCH, img_size=64, random_trunk_seed=0), **kwargs})
    if init:
        net.init_weights()
        wake(net)
    return net


def segmentor(**kwargs):
    """Build an EncoderDecoder of a small LoRAMedSAM and a SAM head with random weights."""
    backbone = {**dict(type='LoRAMedSAM', arch=ARCH, img_size=64, random_trunk_seed=0), **kwargs}
    head = dict(type='SAMMaskHead', arch=ARCH, img_size=64, num_classes=2, checkpoint=None)
    return build('mmseg.EncoderDecoder', backbone=backbone, decode_head=head)


@torch.no_grad()
def wake(net: nn.Module) -> None:
    """Put noise into the LoRA matrices B, which start at zero."""
    for name, value in net.named_parameters():
        if 'lora_B' in name:
            value.normal_(std=0.1)


def adapters(net: nn.Module) -> dict[str, torch.Tensor]:
    """Return the LoRA matrices by name."""
    return {name: value for name, value in net.named_parameters() if 'lora_' in name}
