"""Mean Teacher against SSL4MIS (HiLab-git/SSL4MIS, commit 06df604), in 2D and in 3D."""

import json
from pathlib import Path

import numpy as np

from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from tests.parity import volumes
from tests.parity.float64 import TERM_RTOL
from tests.parity.ssl4mis_steps import compare, two_steps

DATA = Path(__file__).parent / 'data' / 'mean_teacher.npz'
HALVES = dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5)


def test_two_steps():
    reference = np.load(DATA)
    steps = two_steps(
        reference,
        'mean_teacher',
        type='MeanTeacher',
        teachers=['unet'],
        sup_loss=HALVES,
        start=1000,
    )
    compare(reference, steps, ['sup_unet', 'consistency_unet', 'weight', 'loss'])


def test_two_steps_on_patches():
    reference = np.load(DATA.with_name('mean_teacher_3d.npz'))
    model = volumes.make(
        str(reference['shapes']),
        dict(vnet='student', vnet_teacher='teacher'),
        type='MeanTeacher',
        teachers=['vnet'],
        sup_loss=HALVES,
    )
    batches = [volumes.views('mean_teacher_3d', i) for i in range(2)]
    terms, grads = volumes.train(model, batches, 15000, 30000, reference['lr'], EMATeacherHook())
    names = ('sup_vnet', 'consistency_vnet', 'weight', 'loss')
    found = [[step[name] for name in names] for step in terms]
    np.testing.assert_allclose(found, reference['terms'], rtol=TERM_RTOL)
    volumes.compare_gradients(grads[0], json.loads(str(reference['grads']))[0], 'vnet')
    final = json.loads(str(reference['final']))
    for networks, expected in zip((model.students, model.teachers), final, strict=True):
        volumes.compare_weights(networks['vnet'], expected)
