"""Names of the tensors in SynFoC's released code, and what they are called in mmssl.

Names on mmssl's side are those inside one student (`backbone.` and `decode_head.`): LoRAMedSAM
with adapters on q and v of every block and SAMMaskHead, or UNet and a 1 x 1 FCNHead.
"""

import re

import torch
from torch import Tensor

# Released name -> our name; every pair also reads from right to left.
_SAM = (
    (
        r'image_encoder\.blocks\.(\d+)\.attn\.qkv\.linear_(a|b)_(q|v)\.',
        lambda m: f'backbone.trunk.blocks.{m[1]}.attn.{m[3]}.lora_{m[2].upper()}.default.',
    ),
    (r'image_encoder\.(.*)\.rel_pos_([hw])$', r'backbone.trunk.\1.rel_pos.\2'),
    (r'image_encoder\.', 'backbone.trunk.'),
    (r'(prompt_encoder|mask_decoder)\.', r'decode_head.\1.'),
)
_SAM_BACK = (
    (
        r'backbone\.trunk\.blocks\.(\d+)\.attn\.(q|v)\.lora_(A|B)\.default\.',
        lambda m: f'image_encoder.blocks.{m[1]}.attn.qkv.linear_{m[3].lower()}_{m[2]}.',
    ),
    (r'backbone\.trunk\.(.*)\.rel_pos\.([hw])$', r'image_encoder.\1.rel_pos_\2'),
    (r'backbone\.trunk\.', 'image_encoder.'),
    (r'decode_head\.(prompt_encoder|mask_decoder)\.', r'\1.'),
)
_UNET = (
    (r'inc\.double_conv\.', 'backbone.stem.'),
    (
        r'down(\d)\.maxpool_conv\.1\.double_conv\.',
        lambda m: f'backbone.downs.{int(m[1]) - 1}.',
    ),
    (r'up(\d)\.up\.', lambda m: f'backbone.ups.{int(m[1]) - 1}.up.'),
    (r'up(\d)\.conv\.double_conv\.', lambda m: f'backbone.ups.{int(m[1]) - 1}.conv.'),
    (r'outc\.conv\.', 'decode_head.conv_seg.'),
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


def _rename(name: str, table: tuple) -> str:
    for pattern, new in table:
        renamed, count = re.subn(f'^{pattern}', new, name)
        if count:
            return renamed
    raise ValueError(f'"{name}" is not a tensor of SynFoC\'s networks')


def sam_from_released(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the released MedSAM branch's tensors under mmssl's names.

    Args:
        tensors: a state dict of the released LoRA network (names with or without the leading
            `sam.`) or the contents of its LoRA file (`w_a_000`, ..., where number 2 i is q and
            2 i + 1 is v of block i).

    Raises:
        ValueError: a name is none of the released code's.
    """
    result = {}
    for name, value in tensors.items():
        name = name.removeprefix('sam.')
        if match := re.fullmatch(r'w_([ab])_(\d+)', name):
            block, part = divmod(int(match[2]), 2)
            name = f'image_encoder.blocks.{block}.attn.qkv.linear_{match[1]}_{"qv"[part]}.weight'
        if match := re.fullmatch(r'image_encoder\.(.*)\.attn\.qkv\.qkv\.(weight|bias)', name):
            q, k, v = value.chunk(3)
            attn = f'backbone.trunk.{match[1]}.attn'
            result[f'{attn}.q.base_layer.{match[2]}'] = q
            result[f'{attn}.k.{match[2]}'] = k
            result[f'{attn}.v.base_layer.{match[2]}'] = v
        else:
            result[_rename(name, _SAM)] = value
    return result


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
            result[f'sam.{_rename(name, _SAM_BACK)}'] = value
    for name, rows in parts.items():
        result[name] = torch.cat([rows[part] for part in 'qkv'])
    return result


def unet_from_released(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the released U-Net's tensors under mmssl's names.

    Raises:
        ValueError: a name is none of the released code's.
    """
    return {_rename(name, _UNET): value for name, value in tensors.items()}


def unet_to_released(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a U-Net student's tensors under the released names."""
    return {_rename(name, _UNET_BACK): value for name, value in tensors.items()}
