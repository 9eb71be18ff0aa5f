"""Means of weights, statistics under them, and soups."""

import numpy as np
import pytest
import torch

from mmssl.engine.averaging import (
    average,
    equal_shares,
    fading_shares,
    greedy_soup,
    recompute_statistics,
)
from tests import tiny


def test_means_are_weighted_and_what_is_frozen_stays_bit_by_bit():
    frozen = torch.rand(50)
    states = [
        {'w': torch.full((2,), float(value)), 'trunk': frozen.clone(), 'seen': torch.tensor(value)}
        for value in (1, 2, 6)
    ]
    mean = average(iter(states), equal_shares([1, 2, 3]))
    assert mean['w'].tolist() == [3, 3] and mean['w'].dtype == torch.float32
    assert torch.equal(mean['trunk'], frozen) and mean['seen'] == 6, 'counters are the last ones'
    shares = fading_shares([0, 100, 200], memory=50)
    expected = np.exp([-4, -2, 0]) / np.exp([-4, -2, 0]).sum()
    assert shares == pytest.approx(expected.tolist())
    assert average(states, shares)['w'][0].item() == pytest.approx(expected @ [1, 2, 6])
    assert states[0]['w'].tolist() == [1, 1], 'and the states are left alone'


def test_states_of_different_models_have_no_mean():
    with pytest.raises(ValueError, match='different models'):
        average([{'w': torch.ones(2)}, {'w': torch.ones(3)}], [0.5, 0.5])


class Images:
    """Two batches for the networks of a model."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.batches = [
            {
                'sam': torch.randn(3, 1, 32, 32, generator=generator) * scale + 2,
                'unet': torch.randn(3, 1, 24, 24, generator=generator) * scale + 2,
            }
            for scale in (1, 3)
        ]

    def mixed(self):
        return iter(self.batches)

    def ask(self, model, samples, networks):
        return {n: model.predict_logits(samples, n[0], n[1]) for n in networks}


def test_statistics_are_those_of_the_images():
    model = tiny.build(tiny.synfoc())
    student, teacher = model.students['unet'], model.teachers['unet']
    images = Images()
    frozen = {k: v.clone() for k, v in model.students['sam'].state_dict().items()}
    seen = []
    layers = [m for m in student.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    handle = layers[0].register_forward_pre_hook(lambda m, x: seen.append(x[0].detach()))
    number = recompute_statistics(model, images)
    handle.remove()
    assert number == 2 * len(layers), 'of the student and its teacher'
    means = torch.stack([x.mean((0, 2, 3)) for x in seen])
    variances = torch.stack([x.var((0, 2, 3)) for x in seen])
    assert torch.allclose(layers[0].running_mean, means.mean(0), atol=1e-5)
    assert torch.allclose(layers[0].running_var, variances.mean(0), rtol=1e-4)
    assert layers[0].momentum == 0.1 and not any(m.training for m in model.modules())
    own = next(m for m in teacher.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert torch.allclose(own.running_mean, layers[0].running_mean, atol=1e-6)
    assert all(torch.equal(v, frozen[k]) for k, v in model.students['sam'].state_dict().items())


def test_layers_of_a_network_that_sees_nothing_keep_theirs():
    model = tiny.build(tiny.synfoc())
    images = Images()
    images.ask = lambda *_: None
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert recompute_statistics(model, images) == 0
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_soup_takes_what_makes_it_no_worse():
    tried = []

    def score(chosen):
        tried.append(tuple(chosen))
        return {(5,): 1, (5, 4): 2, (5, 4, 3): 1, (5, 4, 2): 2}[tuple(chosen)]

    assert greedy_soup([5, 4, 3, 2], score) == [5, 4, 2]
    assert tried == [(5,), (5, 4), (5, 4, 3), (5, 4, 2)]
