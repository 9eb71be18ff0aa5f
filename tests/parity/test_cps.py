"""CPS against the authors' released code (HiLab-git/SSL4MIS, commit 06df604).

Two training steps of `train_cross_pseudo_supervision_2D.py` at 4/5 of the training on generated
images, with the networks' dropout at rate 0. `data/cps.npz` holds inputs and results; weights come
from `recipe.py`. Two steps of `train_cross_pseudo_supervision_3D.py` on patches: `cps_3d.npz`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity import volumes
from tests.parity.float64 import GRAD_RTOL, TERM_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.parity.test_unimatch import our_name
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data'
NAMES = ('unet', 'other')
FIRST, LAST = 24000, 30000


def run(reference, method: str, salt: str):
    """Return the terms and gradients of two steps, and the norms of all tensors afterwards."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', dropout=(0,) * 5),
        decode_head=dict(type='UNetDecoderHead', num_classes=4),
    )
    model = build(
        dict(
            type=method,
            students={name: network for name in NAMES},
            parts=[[1], [2], [3]],
            sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
            ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
        )
    )
    shapes = json.loads(str(reference['shapes']))
    for i, name in enumerate(NAMES):
        model.students[name].load_state_dict(
            {our_name(k): recipe(k, tuple(s), f'{salt}{i + 1}') for k, s in shapes.items()}
        )
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    done = []
    for t in range(2):
        set_iter(FIRST + t, LAST)
        optimizer.param_groups[0]['lr'] = 0.01 * (1 - (FIRST + t) / LAST) ** 0.9
        assert optimizer.param_groups[0]['lr'] == pytest.approx(float(reference[f'lr{t}']))
        x, y = (torch.from_numpy(reference[f'in{t}_{k}']) for k in 'xy')
        inputs = dict(x_w=x[:2], u_w=x[2:], y=y)
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=None), True)
        terms = model.loss(batch['inputs'])
        optimizer.zero_grad()
        terms['loss'].backward()
        grads = [
            {k: p.grad.norm().item() for k, p in model.students[n].named_parameters()}
            for n in NAMES
        ]
        optimizer.step()
        done.append(({k: v.item() for k, v in terms.items()}, grads))
    final = [
        {k: v.float().norm().item() for k, v in model.students[n].state_dict().items()}
        for n in NAMES
    ]
    return done, final


def compare(reference, result, step: int) -> None:
    """Compare the terms of one step, and after the last one gradients and weights."""
    terms = [f'{kind}_{name}' for kind in ('sup', 'cps') for name in NAMES] + ['loss', 'weight']
    done, final = result
    assert (reference[f'it{step}'] > 0.01).all(), 'the reference must exercise every term'
    found = [done[step][0][term] for term in terms]
    np.testing.assert_allclose(found, reference[f'it{step}'], rtol=TERM_RTOL)
    if step == 0:
        return
    for i, expected in enumerate(json.loads(str(reference['grads']))):
        largest = max(expected.values())
        for theirs, norm in expected.items():
            # a bias before a batch norm has no gradient but rounding
            tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)
            assert done[1][1][i][our_name(theirs)] == pytest.approx(norm, **tolerance), theirs
    for i, expected in enumerate(json.loads(str(reference['final']))):
        for theirs, norm in expected.items():
            found = final[i][our_name(theirs)]
            assert found == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), theirs


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA / 'cps.npz')


@pytest.fixture(scope='module')
def result(reference):
    return run(reference, 'CPS', 'cps')


@pytest.mark.parametrize('step', [0, 1])
def test_two_steps(reference, result, step):
    compare(reference, result, step)


def test_two_steps_on_patches():
    reference = np.load(DATA / 'cps_3d.npz')
    model = volumes.make(
        str(reference['shapes']),
        dict(a='cps1', b='cps2'),
        type='CPS',
        sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
        ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
    )
    batches = [volumes.views('cps_3d', i) for i in range(2)]
    terms, grads = volumes.train(model, batches, 15000, 30000, reference['lr'])
    names = ('sup_a', 'sup_b', 'cps_a', 'cps_b', 'loss')
    found = [[step[name] for name in names] for step in terms]
    np.testing.assert_allclose(found, reference['terms'], rtol=TERM_RTOL)
    of_networks = zip(
        'ab', *(json.loads(str(reference[k])) for k in ('grads', 'final')), strict=True
    )
    for name, gradients, final in of_networks:
        volumes.compare_gradients(grads[0], gradients, name)
        volumes.compare_weights(model.students[name], final)
