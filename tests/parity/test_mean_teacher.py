"""Mean Teacher against SSL4MIS (HiLab-git/SSL4MIS, commit 06df604, train_mean_teacher_2D.py)."""

from pathlib import Path

import numpy as np

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
