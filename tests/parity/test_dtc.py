"""DTC against the authors' code (HiLab-git/DTC, commit 2525b9c).

Two training steps of `train_la_dtc.py` on made patches with a V-Net of 2 filters, dropout off.
`data/dtc.npz` holds the results; weights come from `recipe.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.datasets.transforms.distance import SignedDistance
from mmssl.models.volumetric.released_names import vnet_names
from tests.parity import volumes
from tests.parity.float64 import TERM_RTOL
from tests.parity.volumes import SHARP

DATA = Path(__file__).parent / 'data' / 'dtc.npz'


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


def batch(step, salt='dtc'):
    """Return the views of a step, with the distances of its labels."""
    views = volumes.views(salt, step)
    transform = SignedDistance(parts=[[1]])
    maps = [transform(dict(gt=y.numpy().astype(np.uint8)))['maps'] for y in views['y']]
    return dict(views, x_maps=torch.from_numpy(np.stack(maps)))


def student():
    head = dict(type='VNetDistanceHead', in_channels=volumes.WIDTHS, num_classes=1, dropout=0)
    return dict(volumes.vnet(), decode_head=head)


@pytest.mark.parametrize('step', [0, 1])
def test_distances(reference, step):
    expected = reference['distances'][step]
    assert expected.min() == -1 and expected.max() == 1
    np.testing.assert_allclose(batch(step)['x_maps'][:, 0].numpy(), expected, atol=1e-6)


def test_two_steps_on_patches(reference):
    shapes = json.loads(str(reference['shapes']))
    name = vnet_names(shapes).__getitem__
    model = volumes.make(
        str(reference['shapes']),
        dict(vnet='dtc'),
        student,
        name,
        type='DTC',
        label_space=dict(type='OverlappingParts'),
        sup_loss=dict(type='DiceBCELoss', bce_weight=0, eps=1e-5),
        ramp=dict(type='GaussianRamp', scale=1.0, stairs=40),
    )
    model.students['vnet'].decode_head.conv_distance.weight.data *= SHARP
    terms, grads = volumes.train(model, [batch(i) for i in range(2)], 2900, 6000)
    names = ('sup_vnet', 'sup_distance_vnet', 'consistency_vnet', 'weight', 'loss')
    found = [[step[name] for name in names] for step in terms]
    expected = reference['terms'] * np.array([1, 0.3, 1, 1, 1])
    assert (expected > 0.01).all(), 'the reference must exercise every term'
    np.testing.assert_allclose(found, expected, rtol=TERM_RTOL)
    volumes.compare_gradients(grads[0], json.loads(str(reference['grads'])), 'vnet', name)
    final = json.loads(str(reference['final']))
    volumes.compare_weights(model.students['vnet'], final, name=name)
