"""FixMatch without a teacher against SSL4MIS (HiLab-git/SSL4MIS, commit 06df604).

Two steps of train_fixmatch_standard_augs.py; cross-entropy and Dice of its unsupervised loss are
one term here, the negative learning another. The FixMatch of the mixed-domain tables has no
published script; its parts are compared in `test_fixmatch_midss.py`.
"""

from pathlib import Path

import numpy as np

from tests.parity.ssl4mis_steps import compare, two_steps

DATA = Path(__file__).parent / 'data' / 'fixmatch.npz'


def test_two_steps():
    reference = np.load(DATA)
    steps = two_steps(
        reference,
        'fixmatch',
        type='FixMatchSSL4MIS',
        sup_loss=dict(type='DiceCELoss', eps=1e-5),
        ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
        threshold=dict(type='FixedThreshold', value=0.8),
        negative=dict(type='NegativeLearningLoss'),
    )
    names = ['sup_unet', 'unsup_unet', 'negative_unet', 'weight', 'loss']
    compare(reference, steps, names)
