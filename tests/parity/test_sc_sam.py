"""SC-SAM against numbers of the authors' trainer, see `generate/sc_sam.py`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity.float64 import float64
from tests.parity.know_sam_parts import batch_of, fill, network, our_name
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'sc_sam.npz'
STUDENTS = ('unet', 'sam')
RTOL = 1e-5
TERMS = dict(
    sup_unet=('UNet_sup_loss', 1),
    follow_unet=('UNet_unsup_loss', 1),
    entropy_unet=('UNet_enp_loss', 0.9),
    sup_sam=('sam_sup_loss', 1),
    follow_sam=('sam_unsup_loss', 1),
    weight=('unsup_weight', 1),
)


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module')
def step(reference):
    """Return the terms, the model with its gradients, and SAM's logits."""
    coords, labels = (torch.from_numpy(reference[key]).long() for key in ('coords', 'labels'))
    with float64():
        students = {name: network(name) for name in STUDENTS}
        students['sam']['decode_head']['frozen'] = False
        model = build(
            dict(
                type='SCSAM',
                parts=[[1], [2], [3]],
                students=students,
                ramp=dict(type='GaussianRamp', length=6 / 10),
                transposed=True,
                released_quirks=True,
            )
        )
        fill(model, json.loads(str(reference['shapes'])))
        set_iter(4, 10)
        model.make_points = lambda *args: (coords, labels)  # row and column, as drawn there
        seen = {}
        look = model.forward_students

        def keep(*args):
            seen.update(look(*args))
            return seen

        model.forward_students = keep
        terms = model.loss(batch_of(STUDENTS))
        terms['loss'].backward()
    set_iter(0, 1)
    return {k: v.item() for k, v in terms.items()}, model, seen


def test_every_term(reference, step):
    theirs = json.loads(str(reference['terms']))
    assert set(step[0]) == {*TERMS, 'loss'}
    for name, (key, factor) in TERMS.items():
        assert step[0][name] == pytest.approx(factor * theirs[key], rel=RTOL), name
    total = theirs['UNet_loss'] + theirs['sam_loss']
    assert step[0]['loss'] == pytest.approx(total, rel=RTOL)


def test_sam_logits(reference, step):
    found = torch.cat(list(step[2]['sam'].values())).detach()[..., ::8, ::8]
    np.testing.assert_allclose(found, reference['pred_sam'], rtol=RTOL, atol=1e-9)


def test_gradients(reference, step):
    theirs = json.loads(str(reference['grads']))
    own = {k: p.grad for k, p in step[1].named_parameters() if p.grad is not None}
    expected = {our_name(*key.split('.', 1)): value for key, value in theirs.items()}
    frozen = expected.keys() - own.keys()  # the decoder's other masks, which nobody asks for
    assert own.keys() <= expected.keys() and not any(expected[name] for name in frozen)
    largest = max(expected.values())
    for key in own:  # a bias before a norm has none but rounding
        found = own[key].norm().item()
        assert found == pytest.approx(expected[key], rel=RTOL, abs=1e-10 * largest), key


def test_drawn_points_are_of_the_kind_that_ours_are(reference, step):
    """Inside and outside of the U-Net's classes, rows before columns."""
    model = step[1]
    labels = torch.from_numpy(reference['labels'])
    z = torch.cat(list(step[2]['unet'].values())).detach()
    xy, found = type(model).make_points(model, z, z.shape[-1], 'random')
    assert torch.equal(found, labels)
    for rows_columns in (xy.long(), torch.from_numpy(reference['coords']).long()):
        for n, c, p in np.ndindex(*labels.shape):
            row, column = rows_columns[n, c, p]
            inside = bool(z[n, :, row, column].argmax() == c)
            assert labels[n, c, p] == -1 or inside == bool(labels[n, c, p])
