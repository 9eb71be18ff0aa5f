"""UniMatch against the authors' released code (LiheYoung/UniMatch, commit 0324f3d).

Two training steps of `more-scenarios/medical` on generated images, with the network's own dropout
at rate 0 and the dropped channels drawn from the same seed. `data/unimatch.npz` holds inputs and
results; weights come from `recipe.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity.float64 import GRAD_RTOL, TERM_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'unimatch.npz'
TERMS = ('sup_unet', 'image_unet_u_s', 'image_unet_u_s2', 'feature_unet', 'loss', 'mask')
WEIGHTS = np.array([0.5, 0.125, 0.125, 0.25, 1, 1])


def our_name(theirs: str) -> str:
    """Return our name of a tensor of the released U-Net."""
    part, block, *rest = theirs.split('.')
    if block == 'out_conv':
        return f'decode_head.conv_seg.{rest[0]}'
    level = int(block.removeprefix('down').removeprefix('up')) if block != 'in_conv' else 0
    tail = '.'.join(rest[-2:])
    if part == 'encoder':
        return f'backbone.levels.{level}.{tail}'
    kind = 'reduce' if rest[0] == 'conv1x1' else 'convs'
    return f'decode_head.{kind}.{level - 1}.{rest[-1] if kind == "reduce" else tail}'


def views(reference, step: int) -> dict[str, torch.Tensor]:
    """Return the views of a step, each u in front of its partner."""
    data = {
        k.split('_', 1)[1]: torch.from_numpy(reference[k])
        for k in reference
        if k.startswith(f'in{step}_')
    }

    def paired(u: str, partner: str) -> torch.Tensor:
        return torch.stack([data[u], data[partner]], 1).flatten(0, 1)

    return dict(
        x_w=data['x'],
        y=data['y'],
        u_w=paired('u_w', 'm_w'),
        u_s=paired('u_s1', 'm_s1'),
        u_s2=paired('u_s2', 'm_s2'),
        box=paired('box1', 'box1'),
        box2=paired('box2', 'box2'),
    )


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module')
def steps(reference):
    """Return the model's logged terms, gradients and parameters after each of the two steps."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', dropout=(0,) * 5),
        decode_head=dict(type='UNetDecoderHead', num_classes=4),
    )
    model = build(
        dict(
            type='UniMatch',
            students=dict(unet=network),
            parts=[[1], [2], [3]],
            threshold=dict(type='FixedThreshold', value=0.4, strict=False),
            sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
        )
    )
    shapes = json.loads(str(reference['shapes']))
    unet = model.students['unet']
    unet.load_state_dict({our_name(k): recipe(k, tuple(s), 'unimatch') for k, s in shapes.items()})
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    set_iter(0, 100)
    done = []
    for i in range(2):
        inputs = views(reference, i)
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=None), True)
        torch.manual_seed(100 + i)
        terms = model.loss(batch['inputs'])
        optimizer.zero_grad()
        terms['loss'].backward()
        grads = {k: p.grad.norm().item() for k, p in unet.named_parameters()}
        optimizer.step()
        done.append(({k: v.item() for k, v in terms.items()}, grads))
    final = {k: v.float().norm().item() for k, v in unet.state_dict().items()}
    return done, final


@pytest.mark.parametrize('step', [0, 1])
def test_terms(reference, steps, step):
    expected = reference[f'it{step}'] * WEIGHTS
    assert (expected[:4] > 0.01).all(), 'the reference must exercise every term'
    found = [steps[0][step][0][term] for term in TERMS]
    np.testing.assert_allclose(found, expected, rtol=TERM_RTOL)


def test_gradients_and_weights_after_two_steps(reference, steps):
    largest = max(json.loads(str(reference['grads'])).values())
    for theirs, norm in json.loads(str(reference['grads'])).items():
        # a bias before a batch norm has no gradient but rounding
        tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)
        assert steps[0][0][1][our_name(theirs)] == pytest.approx(norm, **tolerance), theirs
    for theirs, norm in json.loads(str(reference['final'])).items():
        assert steps[1][our_name(theirs)] == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), theirs
