"""All comparisons with released code are made in float64."""

from collections.abc import Iterator

import pytest

from tests.parity.float64 import float64


@pytest.fixture(autouse=True, scope='module')
def in_float64() -> Iterator[None]:
    """Compute in float64, where neither the CPU nor its threads decide."""
    with float64():
        yield
