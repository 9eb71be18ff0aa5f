"""SS-Net against the authors' code in 2D and 3D (ycwu1997/SS-Net, commit c0a8bf6).

Two training steps of `train_ss_2d.py` on generated images: Dice, VAT with its random start from
the same seed, memory and both contrastive terms, dropout off. `data/ss_net.npz` holds inputs and
results, `data/ss_net_la.npz` those of two steps of `train_ss_3d.py` on made patches; weights come
from `recipe.py`.
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

DATA = Path(__file__).parent / 'data' / 'ss_net.npz'
LAYERS = ('first', 'norm', None, 'last')
UNUSED = ('contrastive_class_selector_memory', 'contrastive_class_selector_0')


def our_name(theirs: str) -> str | None:
    """Return our name of a tensor of the released network; None for what has no effect in it."""
    part, *rest = theirs.split('.')
    if part in ('encoder', 'decoder'):
        return f'students.unet.{unet_name(theirs)}'
    if part.startswith(UNUSED) or rest[-1] == 'num_batches_tracked':
        return None
    if part.endswith('_head'):
        ours = dict(projection_head='project', prediction_head='predict')[part]
    else:
        ours = f'scores.{int(part.rsplit("_", 1)[1]) - 1}'
    return f'contrast.unet.{ours}.{LAYERS[int(rest[0])]}.{rest[1]}'


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module')
def steps(reference):
    """Return terms and memory of two steps, gradients of the first, the weights afterwards."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='UNetEncoder', dropout=(0,) * 5),
        decode_head=dict(type='UNetDecoderHead', num_classes=4),
    )
    model = build(
        dict(
            type='SSNet',
            students=dict(unet=network),
            parts=[[1], [2], [3]],
            sup_loss=dict(type='DiceCELoss', ce_weight=0),
            ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
        )
    )
    shapes = json.loads(str(reference['shapes']))
    weights = {our_name(k): recipe(k, tuple(s), 'ss_net') for k, s in shapes.items() if our_name(k)}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert set(missing) == {'contrast.unet.memory', 'contrast.unet.filled'} and not unexpected
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    set_iter(24000, 30000)
    done = []
    for i in range(2):
        x, y = (torch.from_numpy(reference[f'in{i}_{key}']) for key in 'xy')
        inputs = dict(x_w=x[:2], y=y[:2], u_w=x[2:])
        torch.manual_seed(100 + i)
        terms = model.loss(model.data_preprocessor(dict(inputs=inputs), True)['inputs'])
        optimizer.zero_grad()
        terms['loss'].backward()
        contrast = model.contrast['unet']
        memory = contrast.memory.sum(1) / contrast.filled.sum(1, keepdim=True)
        done.append(
            (terms, {k: p.grad.norm().item() for k, p in model.named_parameters()}, memory.numpy())
        )
        optimizer.step()
    return done, {k: v.float().norm().item() for k, v in model.state_dict().items()}


@pytest.mark.parametrize('step', [0, 1])
def test_terms(reference, steps, step):
    expected = reference[f'it{step}'] * np.array([1, 1, 0.1, 0.1, 1, 1])
    assert (expected > 0.01).all(), 'the reference must exercise every term'
    names = ('sup_unet', 'vat_unet', 'contrast_unet_x_w', 'contrast_unet_u_w', 'loss', 'weight')
    found = [steps[0][step][0][name].item() for name in names]
    np.testing.assert_allclose(found, expected, rtol=TERM_RTOL)


@pytest.mark.parametrize('step', [0, 1])
def test_memory(reference, steps, step):
    """Its mean for each class; the background has none. One class has fewer features than fit."""
    np.testing.assert_allclose(steps[0][step][2], reference[f'memory{step}'][1:], atol=1e-5)


def test_gradients_and_weights_after_two_steps(reference, steps):
    expected = {our_name(k): v for k, v in json.loads(str(reference['grads'])).items()}
    largest = max(expected.values())
    tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)  # biases before a norm have none
    for name, found in steps[0][0][1].items():
        assert found == pytest.approx(expected[name], **tolerance), name
    final = {our_name(k): v for k, v in json.loads(str(reference['final'])).items()}
    for name in expected.keys() - {None}:
        assert steps[1][name] == pytest.approx(final[name], rel=WEIGHT_RTOL, abs=1e-8), name


WIDTHS_3D = (16, 32, 64, 128, 256)


def names_in_3d(shapes: dict) -> dict[str, str | None]:
    """Return our names of the tensors of the released V-Net and of the heads beside it."""
    of_network = vnet_names(shapes)
    return {
        theirs: f'students.vnet.{of_network[theirs]}'
        if theirs in of_network
        else (our_name(theirs) or '').replace('.unet.', '.vnet.') or None
        for theirs in shapes
    }


def test_two_steps_on_patches():
    """One Dice distance over both classes in VAT, and the foreground's in the supervised term."""
    reference = np.load(DATA.with_name('ss_net_la.npz'))
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='VNetEncoder', widths=WIDTHS_3D, dropout=0),
        decode_head=dict(type='VNetDecoderHead', in_channels=WIDTHS_3D, num_classes=2, dropout=0),
    )
    plain = dict(background=False, squared=False, eps=1e-8)
    model = build(
        dict(
            type='SSNet',
            students=dict(vnet=network),
            parts=[[1]],
            sup_loss=dict(type='DiceCELoss', ce_weight=0, **plain),
            ramp=dict(type='GaussianRamp', stairs=40, length=0.4),
            vat=dict(eps=10.0, plain=True, smooth=1e-8),
            data_preprocessor=dict(mean=0, std=1),
        )
    )
    shapes = json.loads(str(reference['shapes']))
    names = names_in_3d(shapes)
    weights = {ours: recipe(k, tuple(shapes[k]), 'ss_net_la') for k, ours in names.items() if ours}
    weights['students.vnet.decode_head.conv_seg.weight'] *= volumes.SHARP
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert {k for k in missing if not k.endswith('num_batches_tracked')} == {
        'contrast.vnet.memory',
        'contrast.vnet.filled',
    }
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    set_iter(2900, 15000)
    terms = ('sup_vnet', 'vat_vnet', 'contrast_vnet_x_w', 'contrast_vnet_u_w', 'loss', 'weight')
    grads: dict[str, float] = {}
    for i in range(2):
        views = volumes.views('ss_net_la', i)
        torch.manual_seed(100 + i)
        found = model.loss(model.data_preprocessor(dict(inputs=views), True)['inputs'])
        expected = reference['terms'][i] * np.array([1, 1, 0.1, 0.1, 1, 1])
        assert (expected > 1e-4).all(), 'the reference must exercise every term'
        np.testing.assert_allclose([found[k].item() for k in terms], expected, rtol=TERM_RTOL)
        optimizer.zero_grad()
        found['loss'].backward()
        grads = grads or {k: p.grad.norm().item() for k, p in model.named_parameters()}
        contrast = model.contrast['vnet']
        memory = contrast.memory.sum(1) / contrast.filled.sum(1, keepdim=True)
        np.testing.assert_allclose(memory, reference['memory'][i][1:], atol=1e-5)
        optimizer.step()
    released = json.loads(str(reference['grads']))
    tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * max(released.values()))
    for theirs, norm in released.items():
        if names[theirs]:
            assert grads[names[theirs]] == pytest.approx(norm, **tolerance), theirs
    state = model.state_dict()
    for theirs, norm in json.loads(str(reference['final'])).items():
        if names[theirs] and not theirs.endswith('num_batches_tracked'):
            found = state[names[theirs]].double().norm().item()
            assert found == pytest.approx(norm, rel=WEIGHT_RTOL, abs=1e-8), theirs
