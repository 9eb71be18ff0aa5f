"""UniMatch V2 against the authors' released code (LiheYoung/UniMatch-V2, commit f6afb4d).

Two training steps of `unimatch_v2.py` on generated images, the network a small one in the place of
DINOv2 (`small_dpt.py`), the dropped channels drawn from the same seed, and the average after them.
`data/unimatch_v2.npz` holds inputs and results; weights come from `recipe.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from tests.parity import small_dpt  # noqa: F401  registers the network
from tests.parity.float64 import GRAD_RTOL, TERM_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'unimatch_v2.npz'
TERMS = ('sup_unet', 'image_unet_u_s', 'image_unet_u_s2', 'loss', 'mask_unet')
WEIGHTS = np.array([0.5, 0.25, 0.25, 1, 1])
VIEWS = dict(
    x_w='x', y='y', u_w='u_w', u_s='u_s1', u_s2='u_s2', box='box1', box2='box2'
)  # fmt: skip


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module')
def steps(reference):
    """Return terms and gradients of the two steps, and the model after them."""
    model = build(
        dict(
            type='UniMatchV2',
            students=dict(unet=dict(type='SmallDPT')),
            teachers=['unet'],
            parts=[[1], [2]],
            threshold=dict(type='FixedThreshold', value=0.4, strict=False),
        )
    )
    unet = model.students['unet']
    shapes = json.loads(str(reference['shapes']))
    unet.load_state_dict({k: recipe(k, tuple(s), 'unimatch_v2') for k, s in shapes.items()})
    model.teachers['unet'].load_state_dict(unet.state_dict())
    optimizer = torch.optim.AdamW(
        [dict(params=unet.backbone.parameters(), lr=0.001), dict(params=unet.head.parameters())],
        lr=0.004,
        weight_decay=0.01,
    )
    hook = EMATeacherHook(momentum=0.996, buffers='ema', mode='eval')
    hook.pair(model)
    set_iter(0, 100)
    done = []
    for i in range(2):
        inputs = {ours: torch.from_numpy(reference[f'in{i}_{key}']) for ours, key in VIEWS.items()}
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=None), True)
        hook.set_mode()
        torch.manual_seed(100 + i)
        terms = model.loss(batch['inputs'])
        optimizer.zero_grad()
        terms['loss'].backward()
        grads = {k: p.grad.norm().item() for k, p in unet.named_parameters()}
        optimizer.step()
        hook.update(i)
        done.append(({k: v.item() for k, v in terms.items()}, grads))
    return done, model


@pytest.mark.parametrize('step', [0, 1])
def test_terms(reference, steps, step):
    expected = reference[f'it{step}'] * WEIGHTS
    assert (expected > 0.01).all() and expected[-1] < 0.99, 'the reference must exercise every term'
    found = [steps[0][step][0][term] for term in TERMS]
    np.testing.assert_allclose(found, expected, rtol=TERM_RTOL)


def test_gradients(reference, steps):
    expected = json.loads(str(reference['grads']))
    assert steps[0][0][1] == pytest.approx(expected, rel=GRAD_RTOL)


@pytest.mark.parametrize('part', ['student', 'teacher'])
def test_weights_and_statistics_after_two_steps(reference, steps, part):
    network = (steps[1].students if part == 'student' else steps[1].teachers)['unet']
    expected = json.loads(str(reference[part]))
    found = {k: v.double().norm().item() for k, v in network.state_dict().items()}
    # an average of two counts, of which theirs is cut to a whole number
    del expected['head.norm.num_batches_tracked'], found['head.norm.num_batches_tracked']
    assert found == pytest.approx(expected, rel=WEIGHT_RTOL)
