"""Names of the tensors in released V-Nets, and what they are called in mmssl.

Names on mmssl's side are those inside one student: `VNetEncoder` and `VNetDecoderHead`, or
`VNetMultiDecoderHead` for `decoder2` and `decoder3`, `VNetDistanceHead` where there is `out_conv2`.
Known are the forms of UA-MT, SSL4MIS, CrossMatch, DTC and SASSNet (one module), of MC-Net
(`encoder`, `decoder1`, ...), and of SS-Net and BCP (`encoder`, `decoder`).
"""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

BLOCKS = ('one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
"""The released words: five blocks on the way down, four on the way up."""

BESIDE = ('projection_head.', 'prediction_head.', 'contrastive_class_selector_')
"""What SS-Net and BCP keep in the same module, and no prediction needs."""

_NAME = re.compile(
    r'(?:encoder\.|decoder(?P<decoder>\d?)\.)?'
    rf'(?:block_(?P<block>{"|".join(BLOCKS)})(?P<way>_dw|_up|)\.conv\.(?P<layer>\d)|out_conv(?P<second>2?))'
    r'\.(?P<tensor>\w+)'
)


def vnet_names(shapes: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Return released name to mmssl's name for the tensors of a released V-Net.

    Args:
        shapes: released name to shape; those in `BESIDE` are left out of the result.

    Raises:
        ValueError: a name is none of the released codes'.

    Example:
        >>> list(vnet_names({'decoder1.block_five_up.conv.0.weight': (8, 4, 2, 2, 2)}).values())
        ['decode_head.ups.0.conv.weight']
    """
    return {name: _name(name, shapes) for name in shapes if not name.startswith(BESIDE)}


def vnet_from_released(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a released V-Net's tensors under mmssl's names.

    Raises:
        ValueError: a name is none of the released codes'.
    """
    names = vnet_names({name: value.shape for name, value in tensors.items()})
    return {ours: tensors[theirs] for theirs, ours in names.items()}


def _name(theirs: str, shapes: Mapping[str, Sequence[int]]) -> str:
    match = _NAME.fullmatch(theirs)
    if match is None:
        raise ValueError(f'"{theirs}" is not a tensor of a released V-Net')
    decoder, tensor = int(match['decoder'] or 1), match['tensor']
    head = 'decode_head.' if decoder == 1 else f'decode_head.others.{decoder - 2}.'
    if match['block'] is None:
        # of two last convolutions, the first is that of the distances
        distance = 'out_conv2.weight' in shapes and not match['second']
        return f'{head}{"conv_distance" if distance else "conv_seg"}.{tensor}'
    level = BLOCKS.index(match['block'])
    if match['way'] == '_dw':
        return f'backbone.downs.{level}.{match["layer"]}.{tensor}'
    if match['way'] == '_up':  # the place of an interpolation shifts the numbers of the layers
        weight = shapes[f'{theirs.rpartition(".")[0]}.weight']
        return f'{head}ups.{level - 4}.{"conv" if len(weight) == 5 else "norm"}.{tensor}'
    part = f'backbone.levels.{level}' if level < 5 else f'{head}convs.{level - 5}'
    return f'{part}.{match["layer"]}.{tensor}'
