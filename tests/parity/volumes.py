"""What the references on volumes share: patches, the V-Net's weights, and a released step here.

Patches are made, not kept: a ball in noise, the same numbers on every CPU. Nets have few filters
and no dropout of their own; the last convolution's weights are enlarged so that some voxels are
sure.
"""

import json
import re

import torch
from torch import Tensor

from tests.parity.recipe import recipe
from tests.tiny import build

SIZE = (32, 16, 16)
WIDTHS = (2, 4, 8, 16, 32)
SHARP = 4.0
CORNERS = ((3, 1, 4), (9, 0, 2), (5, 5, 1))
"""Of BCP's cuboid in each of three steps."""

LEVELS = ('one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')


def patches(salt: str, count: int, size: tuple[int, ...] = SIZE) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, D, H, W) of unit scale and their labels (N, D, H, W), 1 in a ball."""
    ends = [torch.linspace(-1, 1, side, dtype=torch.float64) for side in size]
    grid = torch.stack(torch.meshgrid(*ends, indexing='ij'))
    centre = 0.3 * recipe(f'{salt}.centre.bias', (count, 3), 'volumes').double() / 0.05
    distance = ((grid[None] - centre.view(count, 3, 1, 1, 1)) ** 2).sum(1).sqrt()
    y = (distance < 0.6).long()
    noise = recipe(f'{salt}.noise.bias', (count, 1, *size), 'volumes').double() / 0.05
    return 2 * y[:, None] + 0.7 * noise - 0.3, y


def our_name(theirs: str) -> str:
    """Return our name of a tensor of the released V-Net, in any of its forms with one decoder."""
    theirs = re.sub(r'^(encoder|decoder)\.', '', theirs)
    if theirs.startswith('out_conv.'):
        return theirs.replace('out_conv', 'decode_head.conv_seg')
    block, _, layer, rest = theirs.split('.')
    _, level, *kind = block.split('_')
    i = LEVELS.index(level)
    if kind == ['dw']:
        return f'backbone.downs.{i}.{layer}.{rest}'
    if kind == ['up']:
        return f'decode_head.ups.{i - 4}.{("conv", "norm")[int(layer)]}.{rest}'
    part = f'backbone.levels.{i}' if i < 5 else f'decode_head.convs.{i - 5}'
    return f'{part}.{layer}.{rest}'


def vnet() -> dict:
    """Return the config of a V-Net of few filters without dropout."""
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='VNetEncoder', widths=WIDTHS, dropout=0),
        decode_head=dict(type='VNetDecoderHead', in_channels=WIDTHS, num_classes=2, dropout=0),
    )


def weights(shapes: dict[str, list[int]], salt: str) -> dict[str, Tensor]:
    """Return the weights of a released network under our names."""
    found = {our_name(k): recipe(k, tuple(shape), salt) for k, shape in shapes.items()}
    found['decode_head.conv_seg.weight'] *= SHARP
    return found


def make(shapes: str, salts: dict[str, str], **cfg):
    """Return a model of V-Nets with a reference's weights.

    Args:
        shapes: of the released network's tensors, in JSON.
        salts: student to the recipe's salt; of a teacher under `<student>_teacher`.
        **cfg: of the model.
    """
    students = {name: vnet() for name in salts if not name.endswith('_teacher')}
    preprocessor = dict(mean=0, std=1)
    model = build(dict(students=students, data_preprocessor=preprocessor, **cfg))
    for name, salt in salts.items():
        networks = model.teachers if name.endswith('_teacher') else model.students
        state = weights(json.loads(shapes), salt)
        networks[name.removesuffix('_teacher')].load_state_dict(state)
    return model


def views(salt: str, step: int, count: int = 2) -> dict[str, Tensor]:
    """Return the labelled and unlabelled patches of a step, as a collated batch has them."""
    x, y = patches(f'{salt}{step}.x', count)
    return dict(x_w=x, y=y, u_w=patches(f'{salt}{step}.u', count)[0])


def crossmatch_views(step: int) -> dict[str, Tensor]:
    """Return views of 2 labelled patches and of 2 pairs of unlabelled ones, with boxes."""
    batch = views('crossmatch', step)
    batch['u_w'] = patches(f'crossmatch{step}.pairs', 4)[0]
    for view, gain in (('u_s', 0.8), ('u_s2', 1.2)):
        noise = patches(f'crossmatch{step}.{view}', 4)[0]
        batch[view] = gain * batch['u_w'] + 0.1 * noise
    starts = {'box': (4, 2, 3), 'box2': (9, 5, 1)}
    for i, (key, start) in enumerate(starts.items()):
        box = torch.tensor([*start, 12 + i, 9, 8, *SIZE])
        batch[key] = torch.stack([box + torch.tensor([n, 0, 0] + 6 * [0]) for n in range(4)])
    return batch


def cuboid_mask(boxes: Tensor) -> Tensor:
    """Return masks (N, D, H, W) that are 1 in cuboids given by start, size and volume."""
    masks = torch.zeros(len(boxes), *SIZE)
    for mask, box in zip(masks, boxes.tolist(), strict=True):
        inside = [slice(start, start + side) for start, side in zip(box[:3], box[3:6], strict=True)]
        mask[tuple(inside)] = 1
    return masks
