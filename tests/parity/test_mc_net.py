"""MC-Net and MC-Net+ against the authors' code (ycwu1997/MC-Net, commit fee453c).

Two training steps of `train_mcnet_2d.py` with `mcnet2d_v1` (MC-Net) and `mcnet2d_v2` (MC-Net+) on
generated images, and two of `train_mcnet_3d.py` with `MCNet3d_v2` on made patches, dropout off.
`data/mc_net.npz` and `mc_net_la.npz` hold the results; weights come from `recipe.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.models.volumetric.released_names import vnet_names
from tests.parity import volumes
from tests.parity.float64 import GRAD_RTOL, TERM_RTOL, WEIGHT_RTOL
from tests.parity.recipe import recipe
from tests.parity.test_unimatch import our_name as unet_name
from tests.tiny import build, set_iter

DATA = Path(__file__).parent / 'data' / 'mc_net.npz'
NETWORKS = {
    'MCNet2d_v1': ('bilinear', 'transposed'),
    'MCNet2d_v2': ('bilinear', 'transposed', 'nearest'),
}


def our_name(theirs: str) -> str:
    """Return our name of a tensor of the released networks."""
    part, *rest = theirs.split('.')
    decoder = int(part.removeprefix('decoder')) if part.startswith('decoder') else 0
    if rest[1:2] == ['up']:  # the transposed convolution
        name = f'decode_head.reduce.{int(rest[0].removeprefix("up")) - 1}.{rest[-1]}'
    else:
        name = unet_name('.'.join(['decoder' if decoder else part, *rest]))
    if decoder < 2:
        return name
    return name.replace('decode_head.', f'decode_head.others.{decoder - 2}.')


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module', params=list(NETWORKS))
def steps(reference, request):
    """Return the network's name, the terms of two steps, gradients, and weights afterwards."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', dropout=(0,) * 5),
        decode_head=dict(type='MultiDecoderHead', num_classes=4, upsample=NETWORKS[request.param]),
    )
    model = build(
        dict(
            type='MCNet',
            students=dict(unet=network),
            parts=[[1], [2], [3]],
            sup_loss=dict(type='DiceCELoss', ce_weight=0, dice_weight=0.5),
            ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
        )
    )
    unet = model.students['unet']
    shapes = json.loads(str(reference[f'{request.param}_shapes']))
    unet.load_state_dict({our_name(k): recipe(k, tuple(s), 'mc_net') for k, s in shapes.items()})
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
    final = {k: v.float().norm().item() for k, v in unet.state_dict().items()}
    return request.param, done, final


@pytest.mark.parametrize('step', [0, 1])
def test_terms(reference, steps, step):
    """Their Dice loss is half of ours, and 1/2 more for each decoder."""
    network, done, _ = steps
    terms, expected = done[step][0], reference[f'{network}_it{step}'].copy()
    expected[[0, 2]] -= 0.5 * len(NETWORKS[network])
    assert (expected > 0.01).all(), 'the reference must exercise every term'
    found = [terms[k].item() for k in ('sup_unet', 'mutual_unet', 'loss', 'weight')]
    np.testing.assert_allclose(found, expected, rtol=TERM_RTOL)


def test_gradients_and_weights_after_two_steps(reference, steps):
    network, done, final = steps
    expected = json.loads(str(reference[f'{network}_grads']))
    largest = max(expected.values())
    tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)  # biases before a norm have none
    for theirs, norm in expected.items():
        assert done[0][1][our_name(theirs)] == pytest.approx(norm, **tolerance), theirs
    for theirs, norm in json.loads(str(reference[f'{network}_final'])).items():
        assert final[our_name(theirs)] == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), theirs


def three_decoders():
    """Return the config of a V-Net of few filters with the decoders of MC-Net+."""
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='VNetEncoder', widths=volumes.WIDTHS, dropout=0),
        decode_head=dict(
            type='VNetMultiDecoderHead',
            in_channels=volumes.WIDTHS,
            num_classes=2,
            dropout=0,
            upsample=('transposed', 'trilinear', 'nearest'),
        ),
    )


def test_two_steps_on_patches():
    """Half of the Dice loss of the atrium, with plain sums, and a weight that grows to 1."""
    reference = np.load(DATA.with_name('mc_net_la.npz'))
    name = vnet_names(json.loads(str(reference['shapes']))).__getitem__
    model = volumes.make(
        str(reference['shapes']),
        dict(vnet='mc_net_la'),
        three_decoders,
        name,
        type='MCNet',
        parts=[[1]],
        sup_loss=dict(
            type='DiceCELoss',
            ce_weight=0,
            dice_weight=0.5,
            background=False,
            squared=False,
            eps=1e-8,
        ),
        ramp=dict(type='GaussianRamp', stairs=40, length=0.4),
    )
    batches = [volumes.views('mc_net_la', i) for i in range(2)]
    terms, grads = volumes.train(model, batches, 2900, 15000)
    names = ('sup_vnet', 'mutual_vnet', 'weight', 'loss')
    found = [[step[name] for name in names] for step in terms]
    expected = reference['terms'] * np.array([0.5, 1, 1, 1])
    assert (expected > 0.01).all(), 'the reference must exercise every term'
    np.testing.assert_allclose(found, expected, rtol=TERM_RTOL)
    volumes.compare_gradients(grads[0], json.loads(str(reference['grads'])), 'vnet', name)
    final = json.loads(str(reference['final']))
    volumes.compare_weights(model.students['vnet'], final, name=name)
