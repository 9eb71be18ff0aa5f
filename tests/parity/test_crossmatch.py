"""CrossMatch against the authors' released code (AiEson/CrossMatch, commit 59772e0).

Two training steps of its ACDC code on the images of UniMatch's reference, and two of its Left
Atrium code on made patches; the networks' own dropout has rate 0 and the dropped channels are
drawn from the same seeds.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity import test_unimatch, volumes
from tests.parity.float64 import GRAD_RTOL, TERM_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data'
START, LENGTH = 7000, 14000
FOREGROUND = dict(type='DiceCELoss', background=False, mask_background=True, eps=1e-5)


def on_slices(reference):
    """Return the model and the batches of ACDC."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', dropout=(0,) * 5),
        decode_head=dict(type='UNetDecoderHead', num_classes=4),
    )
    model = build(
        dict(
            type='CrossMatch',
            students=dict(unet=network),
            threshold=dict(type='FixedThreshold', value=0.4, strict=False),
            sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-4),
            unsup_criterion=dict(type='DiceCELoss', ce_weight=0, mask_background=True, eps=1e-4),
        )
    )
    shapes = json.loads(str(reference['shapes']))
    model.students['unet'].load_state_dict(
        {test_unimatch.our_name(k): recipe(k, tuple(s), 'crossmatch') for k, s in shapes.items()}
    )
    arrays = np.load(DATA / 'unimatch.npz')
    return model, [test_unimatch.views(arrays, i) for i in range(2)], dict(nesterov=True)


def on_patches(reference):
    """Return the model and the batches of Left Atrium."""
    model = volumes.make(
        str(reference['shapes']),
        dict(vnet='crossmatch'),
        type='CrossMatch',
        threshold=dict(type='RisingThreshold', start=0.75, length=17 / 14),
        weights=dict(distil=0.5),
        sup_loss=dict(FOREGROUND, ce_weight=0.5, dice_weight=0.5),
        unsup_criterion=dict(FOREGROUND, ce_weight=0),
    )
    return model, [volumes.crossmatch_views(i) for i in range(2)], {}


FORMS = dict(
    crossmatch=(on_slices, test_unimatch.our_name, 'unet', 0.25),
    crossmatch_la=(on_patches, volumes.our_name, 'vnet', 0.5),
)


@pytest.fixture(scope='module', params=list(FORMS))
def run(request):
    """Return the reference, each step's terms, the first gradients and the network at the end."""
    reference = np.load(DATA / f'{request.param}.npz')
    make, our_name, student, distil = FORMS[request.param]
    model, batches, options = make(reference)
    network = model.students[student]
    optimizer = torch.optim.SGD(
        network.parameters(), 0.01, momentum=0.9, weight_decay=1e-4, **options
    )
    terms, grads = [], {}
    for i, views in enumerate(batches):
        set_iter(START - 1 + i, LENGTH)  # whose threshold the released code has an iteration later
        batch = model.data_preprocessor(dict(inputs=views, data_samples=None), True)
        torch.manual_seed(100 + i)
        found = model.loss(batch['inputs'])
        optimizer.zero_grad()
        found['loss'].backward()
        if i == 0:
            grads = {k: p.grad.norm().item() for k, p in network.named_parameters()}
        optimizer.param_groups[0]['lr'] = reference['lr'][i]
        optimizer.step()
        weights = dict(sup=0.5, image_u_s=0.125, image_u_s2=0.125, distil=distil, loss=1, mask=1)
        found = {k.replace(f'_{student}', ''): v.item() for k, v in found.items()}
        terms.append([found[name] / weight for name, weight in weights.items()])
    return reference, terms, grads, network.state_dict(), our_name


def test_terms_of_two_steps(run):
    reference, terms, *_ = run
    assert (reference['terms'] > 0.02).all(), 'the reference must exercise every term'
    np.testing.assert_allclose(terms, reference['terms'], rtol=TERM_RTOL)


def test_gradients_and_weights(run):
    reference, _, grads, state, our_name = run
    expected = json.loads(str(reference['grads']))
    largest = max(expected.values())
    for theirs, norm in expected.items():
        # a bias before a batch norm has no gradient but rounding
        tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)
        assert grads[our_name(theirs)] == pytest.approx(norm, **tolerance), theirs
    for theirs, norm in json.loads(str(reference['final'])).items():
        found = state[our_name(theirs)].double().norm().item()
        if not theirs.endswith('num_batches_tracked'):
            assert found == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), theirs
