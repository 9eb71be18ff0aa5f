"""Time one step, or two that take turns, and say how they compare."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mmssl.experiments.cost.iteration import Iteration
from mmssl.experiments.cost.work import WorkCounter


@dataclass
class Side:
    """A step that is measured, and what was found.

    Attributes:
        name: for the report.
        step: makes one training iteration.
        times: seconds of each iteration.
        worked: seconds of the processor in each, which other programs change little.
        work: what an iteration consists of.
        memory: largest number of bytes on a GPU, without what the other side keeps there; on other
            devices that of `work`.
        resident: bytes that it keeps on a GPU between two iterations.
        kernels: that an iteration launches, on a GPU.
    """

    name: str
    step: Callable[[], Any]
    times: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)
    work: WorkCounter | None = None
    memory: int = 0
    resident: int = 0
    kernels: int | None = None

    @property
    def median(self) -> float:
        """The middle of the times, in seconds."""
        return statistics.median(self.times)

    def count(self) -> None:
        """Make one iteration and count it.

        Raises:
            ValueError: a loss of it is no number.
        """
        if isinstance(self.step, Iteration):
            self.work = self.step.count()
            return
        with WorkCounter(getattr(self.step, 'parts', ())) as self.work:
            self.step()


def prepare(make: Callable[[], Side], warm_up: int, device: str) -> Side:
    """Build a side, count its work and run it as often as it takes to be warm."""
    before = torch.cuda.memory_allocated() if device == 'cuda' else 0
    side = make()
    side.count()
    if device != 'meta':
        for _ in range(max(warm_up, getattr(side.step, 'warm_up', 0))):
            check(side.step())
    if device == 'cuda':
        torch.cuda.synchronize()
        side.resident = torch.cuda.memory_allocated() - before
        side.kernels = kernels(side.step)
    assert side.work is not None
    side.memory = side.work.peak
    return side


def take_turns(sides: Sequence[Side], iters: int, device: str) -> None:
    """Time every side `iters` times, one after the other, so that a disturbance meets all."""
    cuda = device == 'cuda'
    resident = sum(side.resident for side in sides)
    for turn in range(iters):
        for side in sides:
            if cuda:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            start, processor = time.perf_counter(), time.process_time()
            losses = side.step()
            if cuda:
                torch.cuda.synchronize()
            side.times.append(time.perf_counter() - start)
            side.worked.append(time.process_time() - processor)
            if cuda:
                others = resident - side.resident
                peak = torch.cuda.max_memory_allocated() - others
                side.memory = max(side.memory, peak) if turn else peak
            check(losses)


def check(losses: Any) -> None:
    """Refuse losses that are no numbers, in which no time can be trusted.

    Raises:
        ValueError: one is NaN or infinite.
    """
    if not isinstance(losses, Mapping):
        return
    bad = [name for name, value in losses.items() if not torch.as_tensor(value).isfinite().all()]
    if bad:
        raise ValueError(f'{", ".join(bad)} became NaN or infinite on generated images')


def kernels(step: Callable[[], Any]) -> int:
    """Return how many kernels and copies a step makes the GPU run."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        step()
        torch.cuda.synchronize()
    return sum(event.device_type == DeviceType.CUDA for event in found.events())


def ratio(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Return the ratio of the medians of times, and the quartiles of that of the pairs."""
    pairs = [a / b for a, b in zip(one, other, strict=True)]
    low, _, high = statistics.quantiles(pairs, n=4) if len(pairs) > 1 else pairs * 3
    return statistics.median(one) / statistics.median(other), low, high
