"""What the references on volumes share: patches, the V-Net's weights, and a released step here.

Patches are made, not kept: a ball in noise, the same numbers on every CPU. Nets have few filters
and no dropout of their own; the last convolution's weights are enlarged so that some voxels are
sure.
"""

import json
import re
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from mmssl.models.volumetric.released_names import vnet_names
from tests.parity.float64 import GRAD_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.tiny import build, set_iter

SIZE = (32, 16, 16)
WIDTHS = (2, 4, 8, 16, 32)
SHARP = 4.0
CORNERS = ((3, 1, 4), (9, 0, 2), (5, 5, 1))
"""Of BCP's cuboid in each of three steps."""


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
    layer = theirs.rpartition('.')[0]
    # of what doubles a map, the first layer is the convolution, the second its norm
    shape = (1,) * (5 if layer.endswith('.0') else 1)
    return vnet_names({theirs: shape, f'{layer}.weight': shape})[theirs]


def vnet() -> dict:
    """Return the config of a V-Net of few filters without dropout."""
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='VNetEncoder', widths=WIDTHS, dropout=0),
        decode_head=dict(type='VNetDecoderHead', in_channels=WIDTHS, num_classes=2, dropout=0),
    )


def weights(
    shapes: dict[str, list[int]], salt: str, name: Callable[[str], str] = our_name
) -> dict[str, Tensor]:
    """Return the weights of a released network under our names."""
    found = {name(k): recipe(k, tuple(shape), salt) for k, shape in shapes.items()}
    for key, value in found.items():
        if key.endswith('conv_seg.weight'):
            value *= SHARP
    return found


def make(
    shapes: str,
    salts: dict[str, str],
    student: Callable[[], dict] = vnet,
    name: Callable[[str], str] = our_name,
    **cfg,
):
    """Return a model of V-Nets with a reference's weights.

    Args:
        shapes: of the released network's tensors, in JSON.
        salts: student to the recipe's salt; of a teacher under `<student>_teacher`.
        student: makes the config of a network.
        name: from their names of its tensors to ours.
        **cfg: of the model.
    """
    students = {key: student() for key in salts if not key.endswith('_teacher')}
    preprocessor = dict(mean=0, std=1)
    model = build(dict(students=students, data_preprocessor=preprocessor, **cfg))
    for key, salt in salts.items():
        networks = model.teachers if key.endswith('_teacher') else model.students
        state = weights(json.loads(shapes), salt, name)
        networks[key.removesuffix('_teacher')].load_state_dict(state)
    return model


def views(salt: str, step: int, count: int = 2) -> dict[str, Tensor]:
    """Return the labelled and unlabelled patches of a step, as a collated batch has them."""
    x, y = patches(f'{salt}{step}.x', count)
    return dict(x_w=x, y=y, u_w=patches(f'{salt}{step}.u', count)[0])


def train(
    model,
    batches: Sequence[dict[str, Tensor]],
    start: int,
    max_iters: int,
    lr: Sequence[float] = (0.01, 0.01),
    hook: EMATeacherHook | None = None,
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Train as the scripts do; return every step's terms and the norms of its gradients.

    Args:
        model: from `make`.
        batches: views of each step, which has the seed of the generators.
        start: iteration of the first step.
        max_iters: length of the training.
        lr: rate of each step.
        hook: moves the teachers.
    """
    students = model.students
    optimizer = torch.optim.SGD(students.parameters(), momentum=0.9, weight_decay=1e-4)
    if hook:
        hook.pair(model)
        hook.set_mode()
    terms, grads = [], []
    for i, views_of_step in enumerate(batches):
        set_iter(start + i, max_iters)
        batch = model.data_preprocessor(dict(inputs=views_of_step, data_samples=None), True)
        torch.manual_seed(100 + i)
        found = model.loss(batch['inputs'])
        optimizer.zero_grad()
        found['loss'].backward()
        grads.append({k: p.grad.norm().item() for k, p in students.named_parameters()})
        optimizer.param_groups[0]['lr'] = float(lr[i])
        optimizer.step()
        if hook:
            hook.update(start + i)
        terms.append({k: v.item() for k, v in found.items()})
    return terms, grads


def compare_gradients(
    found: dict[str, float],
    expected: dict[str, float],
    student: str,
    name: Callable[[str], str] = our_name,
) -> None:
    """Compare the norms of the gradients of a student's parameters with the released ones."""
    largest = max(expected.values())
    for theirs, norm in expected.items():
        # a bias before a batch norm has no gradient but rounding
        tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)
        assert found[f'{student}.{name(theirs)}'] == pytest.approx(norm, **tolerance), theirs


def compare_weights(
    network: nn.Module,
    expected: dict[str, float],
    skip: str = '$',
    name: Callable[[str], str] = our_name,
) -> None:
    """Compare the norms of a network's tensors with the released ones.

    Args:
        network: ours.
        expected: of the released network, by its names.
        skip: pattern of the names that are not compared, beside the counts of batches.
        name: from their names to ours.
    """
    state = network.state_dict()
    for theirs, norm in expected.items():
        if not re.search(rf'num_batches_tracked|{skip}', theirs):
            found = state[name(theirs)].double().norm().item()
            assert found == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), theirs


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


def halves(y: Tensor) -> Tensor:
    """Return labels (N, D, H, W) whose ball has a class of its own in the first half of axis D."""
    return y * (1 + (torch.arange(y.shape[1]) < y.shape[1] // 2).long().view(-1, 1, 1))


def cuboid_mask(boxes: Tensor) -> Tensor:
    """Return masks (N, D, H, W) that are 1 in cuboids given by start, size and volume."""
    masks = torch.zeros(len(boxes), *SIZE)
    for mask, box in zip(masks, boxes.tolist(), strict=True):
        inside = [slice(start, start + side) for start, side in zip(box[:3], box[3:6], strict=True)]
        mask[tuple(inside)] = 1
    return masks
