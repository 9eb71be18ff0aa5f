"""Names of the tensors in SynFoC's released code, and what they are called in mmssl.

Names on mmssl's side are those inside one student (`backbone.` and `decode_head.`): LoRAMedSAM
with adapters on q and v of every block and SAMMaskHead, or UNet and a 1 x 1 FCNHead.
"""

import re

from torch import Tensor

# Released name -> our name.
_SAM = (
    (
        r'image_encoder\.blocks\.(\d+)\.attn\.qkv\.linear_(a|b)_(q|v)\.',
        lambda m: f'backbone.trunk.blocks.{m[1]}.attn.{m[3]}.lora_{m[2].upper()}.default.',
    ),
    (r'image_encoder\.(.*)\.rel_pos_([hw])$', r'backbone.trunk.\1.rel_pos.\2'),
    (r'image_encoder\.', 'backbone.trunk.'),
    (r'(prompt_encoder|mask_decoder)\.', r'decode_head.\1.'),
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


def rename(name: str, table: tuple) -> str:
    """Return the name that a table of (pattern, new start) gives.

    Raises:
        ValueError: it has none.
    """
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
            result[rename(name, _SAM)] = value
    return result


def unet_from_released(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the released U-Net's tensors under mmssl's names.

    Raises:
        ValueError: a name is none of the released code's.
    """
    return {rename(name, _UNET): value for name, value in tensors.items()}
