"""Two ranks with half a batch each have the loss and gradients of one process with all of it."""

import pytest
import torch
from rank_cases import CASES, batch, run_rank, value_and_gradient

from mmssl.testing.two_processes import run_two


@pytest.fixture(scope='module')
def ranks(tmp_path_factory):
    """Return what two ranks found: with sums over both, and with sums of their own."""
    folder = tmp_path_factory.mktemp('ranks')
    run_two(run_rank, str(folder))
    return [torch.load(folder / f'{rank}.pth', weights_only=True) for rank in range(2)]


def joined(ranks, kind: int, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean loss, and the gradient that distributed training takes (their mean)."""
    found = [rank[kind][name] for rank in ranks]
    return torch.stack([value for value, _ in found]).mean(), torch.cat([g for _, g in found]) / 2


@pytest.mark.parametrize('name', CASES)
def test_halves_add_up_to_the_whole(ranks, name):
    value, grad = joined(ranks, 0, name)
    one, gradient = value_and_gradient(CASES[name], batch())
    torch.testing.assert_close(value, one, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', CASES)
def test_they_do_not_where_each_rank_sums_alone(ranks, name):
    """The control: the halves differ so much that a forgotten sum over the ranks is seen."""
    value, grad = joined(ranks, 1, name)
    one, gradient = value_and_gradient(CASES[name], batch())
    moved = (value - one).abs() > 1e-3 * one.abs()
    turned = (grad - gradient).norm() > 1e-2 * gradient.norm()
    assert moved or turned
