"""How many iterations fit into a limit of time, from iterations measured on this machine."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mmssl.utils.io import write_atomic
from mmssl.utils.processes.threads import usable_cores

FEWEST = 20  # iterations below which a run is not shortened
SPARE = 0.95  # part of the time left that is planned for


@dataclass(frozen=True)
class Cost:
    """What a training and its test cost on this machine.

    Args:
        iterations: of the whole training.
        seconds: of one iteration.
        around: seconds besides: starting the processes.
        further: what evaluations and pictures cost, in iterations.
    """

    iterations: int
    seconds: float
    around: float = 0.0
    further: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The iterations of each training of a job.

    Args:
        iterations: by name.
        asked: the iterations of a whole job, by name.
        minutes: what the job takes in all.
        whole: minutes that the whole job would take; None if nothing was measured.
        limit: the limit in minutes; None without one.
        seconds: of an iteration, by name.
    """

    iterations: dict[str, int]
    asked: dict[str, int]
    minutes: float = 0.0
    whole: float | None = None
    limit: float | None = None
    seconds: dict[str, float] | None = None

    @property
    def shortened(self) -> bool:
        """Whether there are fewer iterations than asked."""
        return self.iterations != self.asked

    def note(self) -> str:
        """Say how the job was shortened; nothing if it was not."""
        if not self.shortened:
            return ''
        parts = ', '.join(
            f'{name} {count} of {self.asked[name]}' for name, count in self.iterations.items()
        )
        return (
            f'Shortened iterations ({parts}): the whole would have taken about '
            f'{self.whole:.0f} minutes on this machine, the limit was {self.limit:g} '
            '(--minutes; --iters sets the iterations). Scores are lower for it.'
        )

    def announce(self) -> str:
        """Say how long the job takes, and why."""
        if self.whole is None or self.seconds is None:
            return ''
        speed = ', '.join(f'{name} {seconds:.2f} s' for name, seconds in self.seconds.items())
        lines = [
            f'an iteration takes, measured just now: {speed}',
            f'all steps take about {self.minutes:.0f} minutes',
        ]
        if self.shortened:
            lines.append(self.note())
        return '\n   '.join(lines)

    def write(self, path: Path) -> None:
        """Keep the plan in a file."""
        write_atomic(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> 'Plan | None':
        """Return the plan of a file; None if there is none that can be read."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def make_plan(costs: Mapping[str, Cost], spent: float, limit: float | None) -> Plan:
    """Shorten all trainings of a job by the same factor where it would exceed a limit.

    Args:
        costs: of each training, by name.
        spent: seconds that have passed already.
        limit: minutes; None never shortens.
    """
    around = spent + sum(c.around + c.further * c.seconds for c in costs.values())
    whole = sum(cost.iterations * cost.seconds for cost in costs.values())
    part = 1.0
    if limit is not None and around + whole > 60 * limit:
        part = max(0.0, (60 * limit * SPARE - around) / whole)
    iterations = {name: _fewer(cost.iterations, part) for name, cost in costs.items()}
    seconds = around + sum(iterations[n] * cost.seconds for n, cost in costs.items())
    return Plan(
        iterations, {n: c.iterations for n, c in costs.items()}, round(seconds / 60, 2),
        round((around + whole) / 60, 2), limit, {n: round(c.seconds, 4) for n, c in costs.items()},
    )  # fmt: skip


def _fewer(iterations: int, part: float) -> int:
    """Return a part of a number of iterations, in tens."""
    if part >= 1:
        return iterations
    return min(iterations, max(FEWEST, int(iterations * part) // 10 * 10))


def load_of_others() -> str:
    """Say how much of the machine other programs take; nothing if it is little."""
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.0
    cores = usable_cores()
    if load < 0.5 * cores:
        return ''
    return (
        f'Other programs keep about {load:.0f} of {cores} cores busy: everything takes longer '
        'than on a free machine.'
    )
