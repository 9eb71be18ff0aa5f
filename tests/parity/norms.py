"""Gradients and weights of two U-Nets compared by the norm of each tensor."""

from collections.abc import Callable, Mapping

import pytest
import torch

from tests.parity.float64 import GRAD_RTOL, WEIGHT_RTOL

Names = Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]]


def _ours(values: Mapping[str, float], names: Names) -> Mapping[str, torch.Tensor]:
    return names({key: torch.tensor(value) for key, value in values.items()})


def check_gradients(
    found: Mapping[str, float], released: Mapping[str, float], names: Names
) -> None:
    """Compare the norms of gradients; `names` brings the authors' names into ours."""
    largest = max(torch.tensor(value) for value in released.values()).item()
    for name, norm in _ours(released, names).items():
        # a bias before a batch norm has no gradient but rounding
        tolerance = dict(rel=GRAD_RTOL, abs=1e-8 * largest)
        assert found[name] == pytest.approx(norm.item(), **tolerance), name


def check_weights(
    model: torch.nn.Module,
    released: Mapping[str, Mapping[str, float]],
    names: Names,
    skip: Callable[[str, str], bool] = lambda role, name: False,
) -> None:
    """Compare the norms of the weights of student and teacher `unet`, but for what is skipped."""
    for role, networks in (('student', model.students), ('teacher', model.teachers)):
        state = networks['unet'].state_dict()
        for name, norm in _ours(released[role], names).items():
            if not skip(role, name):
                found = state[name].float().norm().item()
                expected = pytest.approx(norm.item(), rel=WEIGHT_RTOL, abs=1e-8)
                assert found == expected, f'{role} {name}'
