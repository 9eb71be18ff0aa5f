"""Double precision, in which no rounding decides: for the references and what is compared to them.

Gradients behind batch norms, ties of maxima and pixels at a threshold depend in float32 on the
instructions of the CPU and on the number of threads; in float64 they do not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch

# Relative errors allowed in terms, gradients and weights; both sides agree to 1e-12 or better where
# they add up in the same order.
TERM_RTOL, GRAD_RTOL, WEIGHT_RTOL = 1e-6, 1e-5, 1e-6


@contextmanager
def float64() -> Iterator[None]:
    """Compute in float64 what asks for float32: new tensors and modules, and `Tensor.float`."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(torch.Tensor, 'float', torch.Tensor.double):
            yield
    finally:
        torch.set_default_dtype(default)
