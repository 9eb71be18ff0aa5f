"""ABD against the authors' released code (chy-upc/ABD, commit 4efd525).

Two training steps of each form on generated images, with the networks' own dropout at rate 0. In
the first one every image is displaced by the most similar patch, in the second one by the surest,
and no labelled one is. Over cross teaching a U-Net takes the transformer's place, and the second
step lies behind the first two thirds of the training. `data/abd_*.npz` hold inputs and results;
weights come from `recipe.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.engine.hooks import EMATeacherHook
from mmssl.models.strategies.mixing import box_mask
from tests.parity.float64 import GRAD_RTOL, TERM_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.parity.test_bcp import SIDE, interleave
from tests.parity.test_unimatch import our_name
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data'
NAMES = ('unet', 'unet2')
VIEWS = dict(x_w='x', y='y', u_w='u', x_s='xs', y_s='ys', u_s='us')


def load(form: str, salts: tuple[str, str], **options):
    """Return the reference, and the model with the reference's first weights."""
    reference = np.load(DATA / f'abd_{form}.npz')
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', dropout=(0,) * 5),
        decode_head=dict(type='UNetDecoderHead', num_classes=4),
    )
    model = build(
        dict(
            students=dict.fromkeys(NAMES, network), primary='unet', parts=[[1], [2], [3]], **options
        )
    )
    shapes = json.loads(str(reference['shapes']))
    for name, salt in zip(NAMES, salts, strict=True):
        model.students[name].load_state_dict(
            {our_name(k): recipe(k, tuple(s), salt) for k, s in shapes.items()}
        )
    return reference, model


def step(reference, model, optimizer, t: int, order) -> tuple[dict, dict]:
    """Train on the inputs of a step; return terms and norms of the gradients."""
    inputs = {view: order(reference[f'in{t}_{key}']) for view, key in VIEWS.items()}
    batch = model.data_preprocessor(dict(inputs=inputs, data_samples=None), True)
    terms = model.loss(batch['inputs'])
    optimizer.zero_grad()
    terms['loss'].backward()
    grads = {k: p.grad.norm().item() for k, p in model.students.named_parameters()}
    optimizer.step()
    return {k: v.item() for k, v in terms.items()}, grads


def sgd(model) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.students.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)


@pytest.fixture(scope='module')
def over_bcp():
    reference, model = load(
        'bcp',
        ('abd', 'abd'),
        type='ABDBCP',
        teachers=['unet'],
        pretrain=0,
        sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, masked_mean=True),
    )
    model.start_from_pretrained()
    hook, optimizer = EMATeacherHook(0.99, warm_up=False, buffers='ema'), sgd(model)
    hook.pair(model)
    hook.set_mode()
    steps = []
    for t, similar in enumerate((1.0, 0.0)):
        set_iter(t, 10)
        model.similar, side = similar, int(SIDE * 2 / 3)
        box = torch.tensor([[*reference[f'corner{t}'], side, side]])
        model.draw_box = lambda x, box=box: box_mask(box, x.shape[-1])
        steps.append(step(reference, model, optimizer, t, interleave))
        hook.update(t)
    return reference, model, steps


@pytest.fixture(scope='module')
def over_cross_teaching():
    reference, model = load(
        'cross_teaching',
        ('abd1', 'abd2'),
        type='ABDCrossTeaching',
        sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
        ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
    )
    optimizer, steps = sgd(model), []
    for t, move in enumerate((1.0, 0.0)):
        set_iter(int(reference['iters'][t]), 30000)
        model.trouble_prob = move
        steps.append(step(reference, model, optimizer, t, torch.from_numpy))
        for group in optimizer.param_groups:  # as their code does
            group['lr'] = 0.01 * (1 - int(reference['iters'][1]) / 30000) ** 0.9
    return reference, model, steps


def test_terms_over_bcp(over_bcp):
    reference, _, steps = over_bcp
    for (terms, _), expected in zip(steps, reference['terms'], strict=True):
        assert (expected > 0.1).all(), 'the reference must exercise every term'
        found = [terms[f'sup_{name}'] + terms[f'unsup_{name}'] for name in NAMES]
        found += [terms[f'{term}_{name}'] for term in ('cps', 'displaced') for name in NAMES]
        np.testing.assert_allclose([*found, terms['loss']], expected, rtol=TERM_RTOL)


def test_terms_over_cross_teaching(over_cross_teaching):
    reference, _, steps = over_cross_teaching
    kinds = ('sup', 'trouble', 'cps', 'displaced')
    for (terms, _), expected in zip(steps, reference['terms'], strict=True):
        found = [terms.get(f'{term}_{name}', 0) for term in kinds for name in NAMES]
        found += [terms['weight'], terms['loss']]
        np.testing.assert_allclose(found, expected, rtol=TERM_RTOL)
    assert 'trouble_unet' in steps[0][0] and 'trouble_unet' not in steps[1][0]


@pytest.mark.parametrize('form', ['over_bcp', 'over_cross_teaching'])
def test_gradients_and_weights(form, request):
    reference, model, steps = request.getfixturevalue(form)
    networks = [(name, model.students[name], key) for name, key in zip(NAMES, '12', strict=True)]
    networks += [(name, network, 'teacher') for name, network in model.teachers.items()]
    for name, network, key in networks:
        if key != 'teacher':
            grads = json.loads(str(reference[f'grads{key}']))
            largest = max(grads.values())
            for theirs, norm in grads.items():
                # a bias before a batch norm has a gradient of rounding, or of the border alone
                found = steps[0][1][f'{name}.{our_name(theirs)}']
                tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)
                assert found == pytest.approx(norm, **tolerance), (name, theirs)
        final = json.loads(str(reference[key if key == 'teacher' else f'final{key}']))
        ours = {k: v.float().norm().item() for k, v in network.state_dict().items()}
        for theirs, norm in final.items():
            if not theirs.endswith('num_batches_tracked'):  # used by no network here
                found = ours[our_name(theirs)]
                assert found == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), theirs
