"""The way back from mmssl's names of SynFoC's tensors to those of its released code."""

import re

import torch
from torch import Tensor

from mmssl.models.sam.released_names import rename

_SAM_BACK = (
    (
        r'backbone\.trunk\.blocks\.(\d+)\.attn\.(q|v)\.lora_(A|B)\.default\.',
        lambda m: f'image_encoder.blocks.{m[1]}.attn.qkv.linear_{m[3].lower()}_{m[2]}.',
    ),
    (r'backbone\.trunk\.(.*)\.rel_pos\.([hw])$', r'image_encoder.\1.rel_pos_\2'),
    (r'backbone\.trunk\.', 'image_encoder.'),
    (r'decode_head\.(prompt_encoder|mask_decoder)\.', r'\1.'),
)
_UNET_BACK = (
    (r'backbone\.stem\.', 'inc.double_conv.'),
    (
        r'backbone\.downs\.(\d)\.',
        lambda m: f'down{int(m[1]) + 1}.maxpool_conv.1.double_conv.',
    ),
    (r'backbone\.ups\.(\d)\.up\.', lambda m: f'up{int(m[1]) + 1}.up.'),
    (r'backbone\.ups\.(\d)\.conv\.', lambda m: f'up{int(m[1]) + 1}.conv.double_conv.'),
    (r'decode_head\.conv_seg\.', 'outc.conv.'),
)
_OUR_QKV = r'(backbone\.trunk\.blocks\.\d+\.attn)\.([qkv])(\.base_layer)?\.(weight|bias)'


def sam_to_released(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a MedSAM student's tensors under the released names (with the leading `sam.`).

    Args:
        tensors: any of the student's parameters, buffers or gradients by name; q, k and v of
            the trunk are fused where all three are there.
    """
    result, parts = {}, {}
    for name, value in tensors.items():
        if match := re.fullmatch(_OUR_QKV, name):
            attn = match[1].replace('backbone.trunk.', 'sam.image_encoder.')
            parts.setdefault(f'{attn}.qkv.qkv.{match[4]}', {})[match[2]] = value
        else:
            result[f'sam.{rename(name, _SAM_BACK)}'] = value
    for name, rows in parts.items():
        result[name] = torch.cat([rows[part] for part in 'qkv'])
    return result


def unet_to_released(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a U-Net student's tensors under the released names."""
    return {rename(name, _UNET_BACK): value for name, value in tensors.items()}
