"""SASSNet against the authors' code (kleinzcy/SASSnet, commit 1761aa8).

Two iterations of `train_gan_sdfloss.py`, a step of the V-Net and one of the discriminator each, on
made patches with a V-Net of 2 filters and a discriminator of 4, dropout off. `data/sass_net.npz`
holds the results; weights come from `recipe.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.models.volumetric.released_names import vnet_names
from tests.parity import volumes
from tests.parity.float64 import TERM_RTOL
from tests.parity.recipe import recipe
from tests.parity.test_dtc import batch, student
from tests.tiny import set_iter, set_phase

DATA = Path(__file__).parent / 'data' / 'sass_net.npz'


def name_of_judge(theirs: str) -> str:
    """Return our name of a tensor of the released discriminator."""
    layer, _, tensor = theirs.partition('.')
    ours = {'conv0': 'of_distances', 'conv1': 'of_image', 'classifier': 'classifier'}
    return f'{ours.get(layer) or f"convs.{int(layer[-1]) - 2}"}.{tensor}'


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


@pytest.fixture(scope='module')
def model(reference):
    name = vnet_names(json.loads(str(reference['shapes']))).__getitem__
    model = volumes.make(
        str(reference['shapes']),
        dict(vnet='sass_net'),
        student,
        name,
        type='SASSNet',
        label_space=dict(type='OverlappingParts'),
        sup_loss=dict(type='DiceBCELoss', bce_weight=0, eps=1e-5),
        ramp=dict(type='GaussianRamp', scale=0.01, stairs=40),
        discriminator=dict(widths=(4, 8, 16, 32), dropout=0.0),
    )
    model.students['vnet'].decode_head.conv_distance.weight.data *= volumes.SHARP
    shapes = json.loads(str(reference['judge_shapes']))
    model.discriminators['vnet'].load_state_dict(
        {name_of_judge(k): recipe(k, tuple(v), 'sass_net_judge') for k, v in shapes.items()}
    )
    return model


def norms_of_gradients(network) -> dict[str, float]:
    return {k: p.grad.norm().item() for k, p in network.named_parameters() if p.grad is not None}


def test_two_iterations_on_patches(reference, model):
    network, judge = model.students['vnet'], model.discriminators['vnet']
    optimizers = [
        torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=1e-4),
        torch.optim.Adam(judge.parameters(), 1e-4, betas=(0.9, 0.99)),
    ]
    terms, grads = [], []
    for i in range(2):
        set_iter(2900 + i, 6000)
        raw = dict(inputs=batch(i, 'sass_net'), data_samples=None)
        inputs = model.data_preprocessor(raw, True)['inputs']
        found = {}
        for phase, other in enumerate((judge, network)):
            set_phase(phase)
            model.zero_grad()
            step = model.loss(inputs)
            found = {**step, **found}
            step['loss'].backward()
            assert not norms_of_gradients(other), 'each learns in its own step'
            grads.append(norms_of_gradients((network, judge)[phase]))
            optimizers[phase].step()
        terms.append({k: v.item() for k, v in found.items()})
    names = ('sup', 'sup_distance', 'adversarial', 'weight', 'loss', 'discriminator')
    found = [[step[n if n in step else f'{n}_vnet'] for n in names] for step in terms]
    expected = reference['terms'] * np.array([1, 0.3, 1, 1, 1, 1])
    assert (expected > 1e-3).all(), 'the reference must exercise every term'
    np.testing.assert_allclose(found, expected, rtol=TERM_RTOL)
    name = vnet_names(json.loads(str(reference['shapes']))).__getitem__
    of_vnet = {f'vnet.{k}': v for k, v in grads[0].items()}
    volumes.compare_gradients(of_vnet, json.loads(str(reference['grads'])), 'vnet', name)
    of_judge = {f'vnet.{k}': v for k, v in grads[1].items()}
    expected = json.loads(str(reference['judge_grads']))
    volumes.compare_gradients(of_judge, expected, 'vnet', name_of_judge)
    volumes.compare_weights(network, json.loads(str(reference['final'])), name=name)
    volumes.compare_weights(judge, json.loads(str(reference['judge_final'])), name=name_of_judge)
