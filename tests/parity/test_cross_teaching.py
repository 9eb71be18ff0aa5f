"""Cross teaching against the authors' released code (HiLab-git/SSL4MIS, commit 06df604).

Two training steps of `train_cross_teaching_between_cnn_transformer_2D.py` as in `test_cps.py`. A
second U-Net stands in for the transformer, whose architecture does not enter the loss.
"""

import numpy as np
import pytest

from tests.parity.test_cps import DATA, compare, run


@pytest.fixture(scope='module')
def reference():
    return np.load(DATA / 'cross_teaching.npz')


@pytest.fixture(scope='module')
def result(reference):
    return run(reference, 'CrossTeaching', 'cross')


@pytest.mark.parametrize('step', [0, 1])
def test_two_steps(reference, result, step):
    compare(reference, result, step)
