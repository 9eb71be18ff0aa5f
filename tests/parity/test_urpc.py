"""URPC against the authors' code in 2D and in 3D (HiLab-git/SSL4MIS, commit 06df604).

Two training steps of `train_uncertainty_rectified_pyramid_consistency_2D.py` on generated images,
dropout and feature noise off; the attention-like drop by itself with a fixed share. `data/urpc.npz`
holds inputs and results; weights come from `recipe.py`.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.models.unet.feature_noise import drop_attended
from tests.parity import volumes
from tests.parity.float64 import GRAD_RTOL, TERM_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.parity.test_unimatch import our_name as unet_name
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'urpc.npz'
SIDES = {'dp3': 0, 'dp2': 1, 'dp1': 2}


def our_name(theirs: str) -> str | None:
    """Return our name of a tensor of the released network; None for the layer it does not use."""
    *_, layer, kind = theirs.split('.')
    if layer.startswith('out_conv_'):
        side = SIDES.get(layer.removeprefix('out_conv_'))
        return None if side is None else f'decode_head.sides.{side}.{kind}'
    return unet_name(theirs)


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module')
def steps(reference):
    """Return the terms of two steps, the first one's gradients, and the weights afterwards."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', dropout=(0,) * 5),
        decode_head=dict(type='UNetPyramidHead', num_classes=4, noise=(None,) * 3),
    )
    model = build(
        dict(
            type='URPC',
            students=dict(unet=network),
            parts=[[1], [2], [3]],
            sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
            ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
        )
    )
    unet, shapes = model.students['unet'], json.loads(str(reference['shapes']))
    unet.load_state_dict(
        {our_name(k): recipe(k, tuple(s), 'urpc') for k, s in shapes.items() if our_name(k)}
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    set_iter(24000, 30000)
    done = []
    for i in range(2):
        x, y = (torch.from_numpy(reference[f'in{i}_{key}']) for key in 'xy')
        inputs = dict(x_w=x[:2], y=y[:2], u_w=x[2:])
        terms = model.loss(model.data_preprocessor(dict(inputs=inputs), True)['inputs'])
        optimizer.zero_grad()
        terms['loss'].backward()
        done.append((terms, {k: p.grad.norm().item() for k, p in unet.named_parameters()}))
        optimizer.step()
        optimizer.param_groups[0]['lr'] = 0.01 * (1 - 24000 / 30000) ** 0.9  # as their code does
    return done, {k: v.float().norm().item() for k, v in unet.state_dict().items()}


@pytest.mark.parametrize('step', [0, 1])
def test_terms(reference, steps, step):
    found = [steps[0][step][0][k].item() for k in ('sup_unet', 'pyramid_unet', 'loss', 'weight')]
    assert (reference[f'it{step}'] > 0.01).all(), 'the reference must exercise every term'
    np.testing.assert_allclose(found, reference[f'it{step}'], rtol=TERM_RTOL)


def test_gradients_and_weights_after_two_steps(reference, steps):
    expected = json.loads(str(reference['grads']))
    largest = max(expected.values())
    tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)  # biases before a norm have none
    for theirs, norm in expected.items():
        assert steps[0][0][1][our_name(theirs)] == pytest.approx(norm, **tolerance), theirs
    for theirs, norm in json.loads(str(reference['final'])).items():
        if our_name(theirs):
            found = steps[1][our_name(theirs)]
            assert found == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), theirs


def test_the_dropped_pixels(reference):
    """The released code draws the share from [0.7, 0.9]; here it is 0.8."""
    found = drop_attended(torch.from_numpy(reference['f']), 0.8, 0.8)
    np.testing.assert_array_equal(found.numpy(), reference['dropped'])


def name_in_3d(theirs: str) -> str:
    """Return our name of a tensor of the released 3D U-Net."""
    if match := re.fullmatch(r'dsv(\d)\.(?:dsv\.0\.)?(\w+)', theirs):
        step = 4 - int(match[1])
        return f'decode_head.{"conv_seg" if step == 3 else f"sides.{step}"}.{match[2]}'
    match = re.fullmatch(r'(conv|center|up_concat)(\d?)\.(?:conv\.)?conv(\d)\.0\.(\w+)', theirs)
    part, level, layer = match[1], int(match[2] or 5), 3 * (int(match[3]) - 1)
    ours = (
        f'decode_head.convs.{4 - level}' if part == 'up_concat' else f'backbone.levels.{level - 1}'
    )
    return f'{ours}.{layer}.{match[4]}'


def pyramid():
    """Return the config of the 3D U-Net of few filters with a prediction from every step."""
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='UNet3DEncoder', widths=volumes.WIDTHS),
        decode_head=dict(
            type='UNet3DPyramidHead',
            in_channels=volumes.WIDTHS,
            num_classes=3,
            dropout=(0, 0, 0, 0),
        ),
    )


def test_two_steps_on_patches():
    reference = np.load(DATA.with_name('urpc_3d.npz'))
    model = volumes.make(
        str(reference['shapes']),
        dict(unet='urpc_3d'),
        pyramid,
        name_in_3d,
        type='URPC',
        parts=[[1], [2]],
        sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
        ramp=dict(type='GaussianRamp', scale=0.1, stairs=400, length=2),
    )
    batches = [volumes.views('urpc_3d', i) for i in range(2)]
    for batch in batches:
        batch['y'] = volumes.halves(batch['y'])
    terms, grads = volumes.train(model, batches, 15000, 30000, reference['lr'])
    names = ('sup_unet', 'pyramid_unet', 'weight', 'loss')
    found = [[step[name] for name in names] for step in terms]
    np.testing.assert_allclose(found, reference['terms'], rtol=TERM_RTOL)
    volumes.compare_gradients(grads[0], json.loads(str(reference['grads'])), 'unet', name_in_3d)
    final = json.loads(str(reference['final']))
    volumes.compare_weights(model.students['unet'], final, name=name_in_3d)
