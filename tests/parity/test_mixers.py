"""FMix and the mixed amplitudes against the authors' code, on the same random numbers.

ecs-vlc/FMix, commit e5991dc, fmix.py; YanchaoYang/FDA, commit b9a0cdf, utils/__init__.py (its numpy
form); MQinghe/MiDSS, commit fd76f81, train.py, which mixes by a degree.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmssl.models.strategies.frequency import low_frequency_image, mix_amplitude
from mmssl.models.strategies.mixers import brightest

DATA = Path(__file__).parent / 'data' / 'mixers.npz'


@pytest.fixture(scope='module')
def reference():
    return {key: torch.from_numpy(value) for key, value in np.load(DATA).items()}


def test_regions_of_fmix(reference):
    noise, expected = reference['fmix_noise'], reference['fmix']
    side = expected.shape[-1]
    part = expected.double().mean((1, 2))  # theirs rounds the number of pixels up or down
    assert (part * side**2 - reference['fmix_part'] * side**2).abs().max() < 1
    image = low_frequency_image(noise, (side, side), 3.0, 'code')
    assert torch.equal(brightest(image, part)[:, 0], expected.float())


@pytest.mark.parametrize('key', ['fda', 'ram'])
def test_mixed_amplitudes(reference, key):
    degree = 1.0 if key == 'fda' else reference['degree'].float().view(-1, 1, 1, 1)
    found = mix_amplitude(reference['image'], reference['style'], 0.1, degree)
    np.testing.assert_allclose(found, reference[key], rtol=1e-4, atol=1e-3)
