"""UA-MT against SSL4MIS's form in 2D and, on tensors, against the authors' in 3D.

HiLab-git/SSL4MIS, commit 06df604, train_uncertainty_aware_mean_teacher_2D.py; yulequan/UA-MT,
commit 88ed29a, train_LA_meanteacher_certainty_unlabel.py (terms, ramps, moving average, and two
whole steps on 2 + 2 patches with 8 passes).
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from mmssl.models.losses import MSEConsistencyLoss
from mmssl.models.strategies.ramps import GaussianRamp
from mmssl.models.strategies.uncertainty import UncertaintyThreshold, entropy, monte_carlo_mean
from tests.parity import volumes
from tests.parity.float64 import TERM_RTOL
from tests.parity.ssl4mis_steps import compare, two_steps

DATA = Path(__file__).parent / 'data' / 'ua_mt.npz'
HALVES = dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5)


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA)


def test_two_steps(reference):
    steps = two_steps(reference, 'ua_mt', type='UAMT', teachers=['unet'], sup_loss=HALVES)
    compare(reference, steps, ['sup_unet', 'consistency_unet', 'weight', 'loss', 'mask_unet'])


def test_terms_and_ramps_of_the_code_in_3d(reference):
    preds, student, teacher = (
        torch.from_numpy(reference[f'la_{key}']).softmax(1).flatten(3)
        for key in ('preds', 'student', 'teacher')
    )
    passes = iter(preds.chunk(4))  # eight predictions of two images, two for each pass
    mean = monte_carlo_mean(lambda x: next(passes), torch.zeros(2, 1, 1, 1))
    uncertainty, threshold = entropy(mean), UncertaintyThreshold()
    ramp, loss = GaussianRamp(scale=0.1, stairs=40), MSEConsistencyLoss(channels=2)
    for iteration, weight, value, part, distance, level in reference['la']:
        mask = threshold(uncertainty, int(iteration), 6000)
        found = [
            ramp(int(iteration), 6000),
            threshold.value(int(iteration), 6000),
            mask.float().mean(),
            loss(student, teacher, mask),
            uncertainty.mean(),
        ]
        np.testing.assert_allclose(found, [weight, value, part, distance, level], rtol=1e-4)


@pytest.mark.parametrize('iteration', [0, 1, 50, 500])
def test_moving_average(reference, iteration):
    student, teacher = (torch.from_numpy(reference[f'ema_{k}']) for k in ('student', 'teacher'))
    moved = teacher.lerp(student, 1 - EMATeacherHook().alpha(iteration))
    np.testing.assert_allclose(moved, reference[f'ema_{iteration}'], rtol=1e-4, atol=1e-6)


def test_two_steps_on_patches():
    reference = np.load(DATA.with_name('ua_mt_la.npz'))
    model = volumes.make(
        str(reference['shapes']),
        dict(vnet='student', vnet_teacher='teacher'),
        type='UAMT',
        teachers=['vnet'],
        sup_loss=dict(HALVES, background=False),
        ramp=dict(type='GaussianRamp', scale=0.1, stairs=40),
    )
    batches = [volumes.views('ua_mt', i) for i in range(2)]
    terms, grads = volumes.train(model, batches, 3000, 6000, hook=EMATeacherHook())
    names = ('sup_vnet', 'consistency_vnet', 'weight', 'loss', 'mask_vnet')
    found = [[step[name] for name in names] for step in terms]
    assert 0.1 < reference['terms'][0, -1] < 0.9, 'the reference must have a mask'
    np.testing.assert_allclose(found, reference['terms'], rtol=TERM_RTOL)
    volumes.compare_gradients(grads[0], json.loads(str(reference['grads'])), 'vnet')
    for key, network in (('student', model.students), ('teacher', model.teachers)):
        volumes.compare_weights(network['vnet'], json.loads(str(reference[key])))
