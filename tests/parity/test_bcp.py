"""BCP against the authors' released code (DeepMed-Lab-ECNU/BCP, commit 7879f98).

One step of pre-training and two of self-training on generated images, with the network's own
dropout at rate 0. `data/bcp.npz` holds inputs, the rectangles that were drawn and results; weights
come from `recipe.py`. The halves a and b of the reference are the even and odd images here. The
same of the code for Left Atrium, where a and b change places in the self-training, is in
`data/bcp_la.npz`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.engine.hooks import EMATeacherHook
from mmssl.models.strategies.mixing import box_mask
from tests.parity import volumes
from tests.parity.float64 import GRAD_RTOL, TERM_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.parity.test_unimatch import our_name
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'bcp.npz'
SIDE, STEPS = 32, 3


def interleave(x: np.ndarray) -> torch.Tensor:
    """Put the first half of the images at even positions, the second half at odd ones."""
    return torch.from_numpy(x).unflatten(0, (2, -1)).transpose(0, 1).flatten(0, 1)


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module')
def run(reference):
    """Return each step's terms, pseudo-labels and gradients, and the model at the end."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', dropout=(0,) * 5),
        decode_head=dict(type='UNetDecoderHead', num_classes=4),
    )
    model = build(
        dict(
            type='BCP',
            students=dict(unet=network),
            teachers=['unet'],
            parts=[[1], [2], [3]],
            pretrain=1 / STEPS,
            sup_loss=dict(
                type='DiceCELoss',
                ce_weight=0.5,
                dice_weight=0.5,
                mask_background=True,
                masked_mean=True,
            ),
        )
    )
    shapes = json.loads(str(reference['shapes']))
    unet = model.students['unet']
    unet.load_state_dict({our_name(k): recipe(k, tuple(s), 'bcp') for k, s in shapes.items()})
    optimizer = torch.optim.SGD(unet.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    hook = EMATeacherHook(momentum=0.99, warm_up=False, buffers='ema', mode='train')
    hook.pair(model)
    hook.set_mode()
    labels, steps = [], []
    pseudo_label = model.pseudo_label
    model.pseudo_label = lambda *args: labels.append(pseudo_label(*args)) or labels[-1]
    for t in range(STEPS):
        set_iter(t, STEPS)
        if t == model.pretrain_iters:
            model.start_from_pretrained()
        side = int(SIDE * 2 / 3)
        box = torch.tensor([[*reference[f'corner{t}'], side, side]])
        model.draw_box = lambda x, box=box: box_mask(box, x.shape[-1])
        inputs = dict(
            zip(
                ('x_w', 'y', 'u_w'),
                (interleave(reference[f'in{t}_{k}']) for k in 'xyu'),
                strict=True,
            )
        )
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=None), True)
        terms = model.loss(batch['inputs'])
        optimizer.zero_grad()
        terms['loss'].backward()
        grads = {k: p.grad.norm().item() for k, p in unet.named_parameters()}
        optimizer.step()
        hook.update(t)
        steps.append(({k: v.item() for k, v in terms.items()}, grads))
    return model, steps, labels


def test_loss_of_every_step(reference, run):
    for t, (terms, _) in enumerate(run[1]):
        dice, ce, loss = reference['terms'][t]
        assert dice > 0.1 and ce > 0.1, 'the reference must exercise both terms'
        assert terms['loss'] == pytest.approx(loss, rel=TERM_RTOL)
        assert sum(v for k, v in terms.items() if k.startswith(('sup', 'unsup'))) == pytest.approx(
            (dice + ce) / 2, rel=TERM_RTOL
        )
    assert 'unsup_unet' not in run[1][0][0] and 'unsup_unet' in run[1][1][0]


def test_pseudo_labels(reference, run):
    for t in (1, 2):
        found = torch.cat(run[2][2 * t - 2 : 2 * t])
        assert torch.equal(found, torch.from_numpy(reference[f'plab{t}']).long()), t


def test_gradients_and_weights_of_student_and_teacher(reference, run):
    model, steps, _ = run
    grads = json.loads(str(reference['grads']))
    largest = max(grads.values())
    for theirs, norm in grads.items():
        # a bias before a batch norm has a gradient of rounding, or of the border alone
        tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)
        assert steps[1][1][our_name(theirs)] == pytest.approx(norm, **tolerance), theirs
    for kind, network in (('student', model.students['unet']), ('teacher', model.teachers['unet'])):
        ours = {k: v.float().norm().item() for k, v in network.state_dict().items()}
        for theirs, norm in json.loads(str(reference[kind])).items():
            if not theirs.endswith('num_batches_tracked'):  # used by no network here
                found = ours[our_name(theirs)]
                assert found == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), theirs


@pytest.fixture(scope='module')
def on_patches():
    """Return the reference of Left Atrium, the model, terms, gradients and pseudo-labels."""
    reference = np.load(DATA.with_name('bcp_la.npz'))
    model = volumes.make(
        str(reference['shapes']),
        dict(vnet='bcp_la', vnet_teacher='bcp_la'),
        type='BCP',
        teachers=['vnet'],
        pretrain=1 / STEPS,
        joint_pretrain=True,
        sup_loss=dict(
            type='DiceCELoss',
            ce_weight=0.5,
            dice_weight=0.5,
            mask_background=True,
            masked_mean=True,
            squared=False,
            per_image=True,
            eps=1e-5,
        ),
    )
    labels, pseudo_label = [], model.pseudo_label
    model.pseudo_label = lambda *args: labels.append(pseudo_label(*args)) or labels[-1]
    boxes = iter(volumes.CORNERS)
    sides = [int(side * 2 / 3) for side in volumes.SIZE]
    model.draw_box = lambda x: box_mask(
        torch.tensor([[*next(boxes), *sides, *volumes.SIZE]]), volumes.SIZE
    )
    batches = []
    for i in range(STEPS):
        views = volumes.views('bcp', i, 4)
        first, second = slice(0, 2), slice(2, 4)
        order = (first, second) if i == 0 else (second, first)
        batches.append(
            {k: torch.stack([v[half] for half in order], 1).flatten(0, 1) for k, v in views.items()}
        )
    hook = EMATeacherHook(momentum=0.99, warm_up=False, buffers='keep', mode='train')
    terms, grads = volumes.train(model, batches[:1], 0, STEPS)
    model.start_from_pretrained()
    more = volumes.train(model, batches[1:], 1, STEPS, hook=hook)
    return reference, model, terms + more[0], grads + more[1], labels


def test_three_steps_on_patches(on_patches):
    reference, _, terms, grads, labels = on_patches
    assert terms[0]['loss'] == pytest.approx(reference['pretrain'][0], rel=TERM_RTOL)
    for i in (1, 2):
        assert terms[i]['loss'] == pytest.approx(reference['terms'][i - 1][2], rel=TERM_RTOL)
        theirs = np.unpackbits(reference[f'plab{i}']).reshape(2, 2, *volumes.SIZE)
        for half, label in zip(theirs[::-1], labels[2 * i - 2 : 2 * i], strict=True):
            assert np.array_equal(label, half), i
    for found, expected in zip(grads, json.loads(str(reference['grads'])), strict=False):
        volumes.compare_gradients(found, expected, 'vnet')


def test_student_and_teacher_on_patches(on_patches):
    reference, model, *_ = on_patches
    for key, networks in (('student', model.students), ('teacher', model.teachers)):
        # statistics depend on which of the two mixed images is seen first
        expected = json.loads(str(reference[key]))
        volumes.compare_weights(networks['vnet'], expected, skip='running')
