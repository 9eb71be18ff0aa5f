import math

import pytest
import torch

from mmssl.models.strategies.uncertainty import (
    UncertaintyThreshold,
    add_noise,
    entropy,
    entropy_of_parts,
    monte_carlo_mean,
)
from mmssl.registry import THRESHOLDS


def test_noise_has_its_deviation_and_limit():
    torch.manual_seed(0)
    noise = add_noise(torch.full((1, 1, 200, 200), 0.5)) - 0.5
    assert noise.abs().max() <= 0.2 + 1e-6
    # a normal variable cut off at two deviations: 0.1 sqrt(1 - 8 phi(2) ... ) = 0.0960
    assert noise.std().item() == pytest.approx(0.0960, abs=1e-3)
    assert noise.mean().abs() < 2e-3


def test_samples_are_grouped_by_image():
    x = torch.tensor([1.0, 10.0]).view(2, 1, 1, 1)
    shapes = []

    def predict(images):
        shapes.append(len(images))
        return images * torch.tensor([1.0, 1, 3, 3]).view(4, 1, 1, 1)

    assert monte_carlo_mean(predict, x, samples=4).flatten().tolist() == [2, 20]
    assert shapes == [4, 4]
    with pytest.raises(ValueError, match='repeat must divide samples, found 3 and 8'):
        monte_carlo_mean(predict, x, 8, 3)


def test_monte_carlo_mean_has_no_gradient():
    weight = torch.ones(1, requires_grad=True)
    mean = monte_carlo_mean(lambda x: x * weight, torch.ones(1, 1, 2, 2))
    assert not mean.requires_grad


def test_entropy_is_largest_for_equal_probabilities():
    p = torch.full((1, 4, 1, 1), 0.25)
    assert entropy(p).item() == pytest.approx(math.log(4), abs=1e-4)
    assert entropy(torch.eye(4)[None, :, :1, None]).abs().item() < 1e-5
    assert entropy_of_parts(p).shape == p.shape


def test_entropy_of_a_part_is_that_of_yes_and_no():
    found = entropy_of_parts(torch.tensor([0.2, 0.8]).view(1, 2, 1, 1)).flatten().tolist()
    assert found == pytest.approx([-0.2 * math.log(0.2) - 0.8 * math.log(0.8)] * 2, abs=1e-5)


@pytest.mark.parametrize(('t', 'expected'), [(0, 0.75 + 0.25 * math.exp(-5)), (50, 0.75 + 0.25 *
                         math.exp(-1.25)), (100, 1.0)])  # fmt: skip
def test_threshold_rises_every_iteration(t, expected):
    threshold = UncertaintyThreshold(classes=4)
    assert threshold.value(t, 100) == pytest.approx(expected * math.log(4))


def test_a_pixel_at_the_threshold_does_not_count():
    largest = torch.tensor([math.log(2), math.log(2) - 1e-9], dtype=torch.double)
    assert UncertaintyThreshold(start=1.0)(largest, 0, 100).tolist() == [False, True]


def test_threshold_refuses_other_options():
    with pytest.raises(ValueError, match=r'start must lie in \[0, 1\], found 2'):
        THRESHOLDS.build(dict(type='UncertaintyThreshold', start=2))
    with pytest.raises(ValueError, match='classes must be at least 2, found 1'):
        THRESHOLDS.build(dict(type='UncertaintyThreshold', classes=1))
