"""KnowSAM against numbers of the authors' trainer, see `generate/know_sam.py`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity.float64 import float64
from tests.parity.know_sam_parts import batch_of, fill, network, our_name
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'know_sam.npz'
STUDENTS = ('unet', 'vnet', 'sam')
RTOL = 1e-5


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module', params=['first', 'second'])
def step(request, reference):
    """Return the name of an iteration, its terms, and the model with its gradients and maps."""
    with float64():
        model = build(
            dict(
                type='KnowSAM',
                parts=[[1], [2], [3]],
                students={name: network(name) for name in STUDENTS},
                exchange_start=6,
                ramp=dict(type='GaussianRamp', stairs=5),
                released_quirks=True,
            )
        )
        fill(model, json.loads(str(reference['shapes'])))
        set_iter(dict(first=4, second=8)[request.param], 10)
        seen = {}
        look = model.forward_students

        def keep(*args):
            seen.update(look(*args))
            return seen

        model.forward_students = keep
        terms = model.loss(batch_of(STUDENTS))
        terms['loss'].backward()
    set_iter(0, 1)
    return request.param, {k: v.item() for k, v in terms.items()}, model, seen


def expected_terms(theirs: dict) -> dict[str, float]:
    """Return what our terms are in theirs."""
    found = dict(sup_fusion=theirs['fusion_loss'], sup_sam=theirs['sam_sup_loss'])
    found['weight'] = theirs['consistency_weight']
    for own, name in (('unet', 'UNet'), ('vnet', 'VNet')):
        found[f'sup_{own}'] = theirs[f'{name}_sup_loss'] / 2
        found[f'distil_{own}'] = theirs[f'{name}_kd_loss'] / 2
        found[f'entropy_{own}'] = 0.9 * theirs[f'{name}_enp_loss'] / 2
        found[f'consistent_{own}'] = theirs[f'{name}_cons_loss'] / 2
    return found


def test_every_term_of_the_first_phase(reference, step):
    name, terms, *_ = step
    theirs = json.loads(str(reference[f'{name}_terms']))
    for key, value in expected_terms(theirs).items():
        assert terms[key] == pytest.approx(value, rel=RTOL), key


def test_terms_of_the_exchanged_images(reference, step):
    name, terms, *_ = step
    if name == 'first':
        assert not any('exchanged' in key or key.startswith('self') for key in terms)
        return
    theirs = json.loads(str(reference[f'{name}_terms']))
    assert terms['sup_exchanged_fusion'] == pytest.approx(theirs['fusion_mixed_loss'], rel=RTOL)
    for own, key in (('unet', 'UNet'), ('vnet', 'VNet')):
        plain = terms[f'sup_exchanged_{own}'] + terms[f'entropy_exchanged_{own}']
        ramped = terms[f'consistent_exchanged_{own}'] + terms[f'self_{own}']
        found = plain + terms['weight'] * ramped
        assert found == pytest.approx(theirs[f'{key}_sup_mixed_loss'] / 2, rel=RTOL), own


def test_the_sum(reference, step):
    """The released consistency of the second network has no gradient; here it is no summand."""
    name, terms, *_ = step
    theirs = json.loads(str(reference[f'{name}_terms']))
    idle = sum(v for k, v in terms.items() if k.startswith('consistent') and k.endswith('vnet'))
    found = terms['loss'] - terms['sup_sam'] + terms['weight'] * idle
    assert found == pytest.approx(theirs['SGDL_loss'], rel=RTOL)


def test_maps(reference, step):
    name, _, _, seen = step
    for key, part in (('fusion_map', 'fusion'), ('pred_sam', 'sam')):
        found = torch.cat([seen[part][view] for view in ('x_w', 'u_w')]).detach()[..., ::8, ::8]
        np.testing.assert_allclose(found, reference[f'{name}_{key}'], rtol=RTOL, atol=1e-9)


def test_gradients(reference, step):
    name, _, model, _ = step
    theirs = json.loads(str(reference[f'{name}_grads']))
    own = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    expected = {our_name(*key.split('.', 1)): value for key, value in theirs.items()}
    assert own.keys() == expected.keys()
    largest = max(expected.values())
    for key, value in expected.items():  # a bias before a norm has none but rounding
        assert own[key].norm().item() == pytest.approx(value, rel=RTOL, abs=1e-10 * largest), key
