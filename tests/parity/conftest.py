"""All comparisons with released code are made in float64, and with the levers that are asked for.

`MMSSL_PARITY_SPEED="channels_last=True fused=True" pytest tests/parity` makes them with these
levers of `mmssl.engine.speed`; `test_levers.py` does it for each.
"""

import functools
import os
from collections.abc import Iterator

import pytest
import torch

from mmssl.engine.speed import Speed
from mmssl.engine.speed.levers import can_be_fused
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.registry import MODELS
from mmssl.utils.config.options import parse_value
from tests.parity.float64 import float64


@pytest.fixture(autouse=True, scope='module')
def in_float64() -> Iterator[None]:
    """Compute in float64, where neither the CPU nor its threads decide."""
    with float64():
        yield


@pytest.fixture(autouse=True)
def levers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring the levers that the environment names to every method that is built."""
    words = os.environ.get('MMSSL_PARITY_SPEED', '').split()
    if not words:
        return
    pairs = (word.partition('=') for word in words)
    speed = Speed.of(dict(speed={key: parse_value(value) for key, _, value in pairs}))
    build = MODELS.build

    def with_levers(*args, **kwargs):
        model = build(*args, **kwargs)
        if isinstance(model, SemiSegmentor):
            speed.apply(model)
        return model

    monkeypatch.setattr(MODELS, 'build', with_levers)
    if speed.fused:
        for name in ('SGD', 'Adam', 'AdamW'):
            kind = getattr(torch.optim, name)
            assert can_be_fused(kind)
            init = functools.partialmethod(kind.__init__, fused=True)
            monkeypatch.setattr(kind, '__init__', init)
