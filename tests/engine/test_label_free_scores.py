"""What is measured without labels, against values by hand."""

import math

import numpy as np
import pytest
import torch

from mmssl.engine.label_free import (
    UnlabelledImages,
    certainty,
    evenly,
    expected_dice,
    fit_temperature,
    mask_dice,
)
from mmssl.models.base.label_space import part_table

CUP_AND_DISC = part_table([[1], [1, 2]], 3)


def test_dice_of_masks_is_the_mean_over_the_parts():
    one, other = torch.zeros(4, 4).long(), torch.zeros(4, 4).long()
    one[:2], one[0, 0], other[0] = 2, 1, 2
    assert mask_dice(one, other, CUP_AND_DISC) == pytest.approx((0 + 2 * 4 / (8 + 4)) / 2)
    assert mask_dice(one, one, CUP_AND_DISC) == 1


def test_networks_that_predict_nothing_do_not_agree():
    nothing = torch.zeros(4, 4).long()
    assert mask_dice(nothing, nothing, CUP_AND_DISC) == 0
    certain = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 4, 4)
    assert expected_dice(certain, CUP_AND_DISC) == certainty(certain, CUP_AND_DISC) == 0


def test_certainty_is_that_inside_of_the_masks():
    prob = torch.full((3, 2, 2), 1 / 3)  # the first class where all are equal
    prob[:, 0, 0] = torch.tensor([0.0, 0.5, 0.5])
    prob[:, 0, 1] = torch.tensor([0.0, 0.0, 1.0])
    half = math.log(2) / math.log(3)
    expected = ((1 - half) + ((1 - half) + 1) / 2) / 2
    assert certainty(prob, CUP_AND_DISC) == pytest.approx(expected)


def test_masks_of_two_sizes_meet_at_the_larger():
    small = torch.tensor([[1, 0], [0, 0]])
    large = torch.zeros(4, 4).long()
    large[:2, :2] = 1
    assert mask_dice(small, large, part_table([[1]], 2)) == 1


def test_expected_dice_is_that_of_draws():
    """Of a large image, whose pixels are drawn by their probabilities."""
    generator = torch.Generator().manual_seed(0)
    p = 0.7 * torch.rand(200, 200, generator=generator)  # their sum is not the mask's
    truth = torch.rand(200, 200, generator=generator) < p
    mask = p > 0.5
    dice = 2 * (truth & mask).sum() / (truth.sum() + mask.sum())
    found = expected_dice(torch.stack([1 - p, p]), part_table([[1]], 2))
    assert found == pytest.approx(float(dice), abs=0.01)


@pytest.mark.parametrize('heat', [0.4, 3.0])
def test_temperature_is_found_again(heat):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 40000, generator=generator) * 2
    truth = torch.multinomial(scores.softmax(0).T, 1, generator=generator)[:, 0]
    assert fit_temperature(scores * heat, truth) == pytest.approx(heat, rel=0.05)
    certain = torch.nn.functional.one_hot(truth, 3).T.float()
    assert fit_temperature(certain, truth) == pytest.approx(1 / 20, rel=0.01), 'bounded'


def test_confidence_is_that_at_the_temperature_of_the_student():
    images = UnlabelledImages.__new__(UnlabelledImages)
    images.parts = [[1]]
    one, other = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    row = images._row({('a', False): one, ('b', False): other}, {'a': 4.0, 'b': 0.5})
    table = part_table([[1]], 2)
    assert row['a/confidence'] == expected_dice((one / 4).softmax(0), table)
    assert row['b/confidence'] == expected_dice((other * 2).softmax(0), table)
    assert row['a/confidence'] != expected_dice(one.softmax(0), table)
    assert (
        row['a/students'] == row['b/students'] == mask_dice(one.argmax(0), other.argmax(0), table)
    )


def test_images_come_evenly_from_each_domain():
    domains = ['A'] * 100 + ['B'] * 3 + ['C'] * 50
    chosen = evenly(domains, 12)
    assert len(chosen) == 12 and chosen == sorted(set(chosen))
    counts = [sum(domains[i] == name for i in chosen) for name in 'ABC']
    assert counts[1] == 3 and sorted(counts[::2]) == [4, 5]
    assert {0, 99, 103, 152} <= set(chosen)
    assert evenly(domains, 1) and math.isclose(np.mean(evenly(['A'] * 5, 3)), 2)
