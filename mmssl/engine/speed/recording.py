"""One recorded pass of a step, and the steps that may share recordings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmssl.engine.speed.traced import Situation, Trace
from mmssl.engine.speed.watch import Watch


class Recording(NamedTuple):
    """One recorded pass, and what it holds under."""

    replay: Callable[[], None]
    trace: Trace
    watch: Watch
    grads: list[tuple[nn.Parameter, Tensor]]
    names: list[str]
    values: Tensor

    def broken(self, now: Situation) -> str | None:
        """Say what is no longer as it was recorded; None if it can be repeated."""
        return self.trace.broken(now) or self.watch.changed()


@dataclass
class Form:
    """Steps that may share recordings: of one phase, on batches of one shape."""

    seen: int = 0
    tried: int = 0
    closed: bool = False
    rehearsed: list[tuple[Trace, Watch]] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    leaves: list[Any] = field(default_factory=list)


def kinds(leaves: list[Any]) -> tuple:
    """Return what has to be alike in two batches; one tensor may be several entries."""
    first: dict[int, int] = {}
    return tuple(
        (x.shape, x.dtype, x.device, first.setdefault(id(x), i))
        if isinstance(x, Tensor)
        else type(x)
        if isinstance(x, BaseDataElement)
        else repr(x)
        for i, x in enumerate(leaves)
    )


def copies_of(leaves: Any) -> list[Any]:
    """Return tensors for the entries of a batch, one for those that are one; None for others."""
    copies: dict[int, Tensor] = {}
    for x in leaves:
        if isinstance(x, Tensor) and id(x) not in copies:
            copies[id(x)] = torch.empty_like(x).copy_(x)
    return [copies.get(id(x)) for x in leaves]
