"""FixMatch with a teacher against the parts of MiDSS's code (MQinghe/MiDSS, commit fd76f81).

No script of this baseline is public. The reference puts together what `code/train.py` has: its
U-Net's blocks (here at width 6 and depth 2), the teacher's label and mask, the masked loss on the
strong view, the weight of the consistency and the moving average, without copy-paste. Two training
steps from the middle of a training on generated images of three classes, with a threshold of 0.6
and the head's weights 3 times as large. `data/fixmatch_midss.npz` holds inputs and results; weights
come from `recipe.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from mmssl.models.sam.released_names import unet_from_released
from tests.parity.recipe import recipe
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'fixmatch_midss.npz'
START, ITERS, WIDTH, CLASSES = 60, 100, 6, 3


def weights(shapes: dict[str, list[int]], role: str) -> dict[str, torch.Tensor]:
    """Return the recipe's weights of the student, or of the `_teacher`."""
    found = {k: recipe(k, tuple(shape), f'fixmatch_midss{role}') for k, shape in shapes.items()}
    found['outc.conv.weight'] *= 3
    return unet_from_released(found)


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module')
def run(reference):
    """Return the model, and both steps' terms, part of pixels that count, and gradients."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNet', in_channels=1, base_channels=WIDTH, depth=2),
        decode_head=dict(type='FCNHead', num_convs=0, in_channels=WIDTH, channels=WIDTH,
                         concat_input=False, dropout_ratio=0, init_cfg=None, num_classes=CLASSES),
    )  # fmt: skip
    model = build(dict(
        type='FixMatch', students=dict(unet=network), teachers=['unet'], parts=[[1], [2]],
        threshold=dict(type='FixedThreshold', value=0.6),
        ramp=dict(type='GaussianRamp', stairs=200),
    ))  # fmt: skip
    shapes, masks = json.loads(str(reference['shapes'])), []
    model.students['unet'].load_state_dict(weights(shapes, ''))
    model.teachers['unet'].load_state_dict(weights(shapes, '_teacher'))
    target = model.target
    model.target = lambda q: masks.append(target(q)[1].mean().item()) or target(q)
    hook = EMATeacherHook(momentum=0.99, buffers='keep', mode='train')
    hook.pair(model)
    hook.set_mode()
    optimizer = torch.optim.SGD(model.students.parameters(), 0.03, momentum=0.9, weight_decay=1e-4)
    steps = []
    for i in range(2):
        set_iter(START + i, ITERS)
        inputs = {
            view: torch.from_numpy(reference[f'in{i}_{view}'])
            for view in ('x_w', 'y', 'u_w', 'u_s')
        }
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=None), True)
        terms = model.loss(batch['inputs'])
        optimizer.param_groups[0]['lr'] = float(reference[f'terms{i}'][4])
        optimizer.zero_grad()
        terms['loss'].backward()
        grads = {k: p.grad.norm().item() for k, p in model.students['unet'].named_parameters()}
        optimizer.step()
        hook.update(START + i)
        steps.append(({k: v.item() for k, v in terms.items()}, masks[-1], grads))
    return model, steps


@pytest.mark.parametrize('step', [0, 1])
def test_terms(reference, run, step):
    *expected, weight, _, mask = reference[f'terms{step}']
    assert min(expected) > 0.5 and 0.1 < mask < 0.9, 'the reference must exercise every term'
    terms, found, _ = run[1][step]
    np.testing.assert_allclose(
        [terms[k] for k in ('sup_unet', 'unsup_unet', 'loss', 'weight')],
        [*expected, weight],
        rtol=1e-4,
    )
    assert found == pytest.approx(mask, rel=1e-4)


@pytest.mark.parametrize('step', [0, 1])
def test_gradients(reference, run, step):
    expected = json.loads(str(reference[f'grads{step}']))
    largest = max(expected.values())
    expected = unet_from_released({k: torch.tensor(v) for k, v in expected.items()})
    for name, norm in expected.items():
        # a bias before a batch norm has no gradient but rounding
        tolerance = dict(rel=1e-3, abs=1e-6 * largest)
        assert run[1][step][2][name] == pytest.approx(norm.item(), **tolerance), name


def test_student_and_teacher_after_two_steps(reference, run):
    final = json.loads(str(reference['final']))
    for role, network in (('student', run[0].students), ('teacher', run[0].teachers)):
        state = network['unet'].state_dict()
        expected = unet_from_released({k: torch.tensor(v) for k, v in final[role].items()})
        for name, norm in expected.items():
            found = state[name].float().norm().item()
            assert found == pytest.approx(norm.item(), rel=1e-4, abs=1e-6), f'{role} {name}'
