"""Run jobs, on this machine or on a cluster; a repeated call goes on where it stopped."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, Protocol

from mmssl.experiments.jobs import Job
from mmssl.experiments.local import Local
from mmssl.utils.processes.children import signals_interrupt

AGAIN = 30.0  # seconds between two looks at a job that could not begin


class Run(Protocol):
    """A job under way.

    Attributes:
        job: the job.
        where: where it runs, in words, with a space before.
        error: once it is over: why it failed.
        again: once it is over: why it could not begin, or go on; it is looked at again later.
    """

    job: Job
    error: str
    again: str

    @property
    def where(self) -> str:
        """Where it runs."""

    def finished(self) -> bool:
        """Tell whether it is over; it goes on by being asked."""

    def seconds(self) -> float:
        """Return the time spent on the job so far."""


class Executor(Protocol):
    """Where jobs run: `Local`, or a cluster (`mmssl.experiments.cluster.Slurm`).

    Attributes:
        slots: how many run at a time.
    """

    slots: int

    def start(self, job: Job, overwrite: bool) -> Any:
        """Start a job and return its `Run`."""

    def ended(self, run: Any) -> None:
        """Take note of a run that is over."""

    def leave(self, running: Sequence[Any], say: Callable[[str], None]) -> None:
        """Leave runs that are under way when the caller is interrupted."""


def run_jobs(
    jobs: Sequence[Job],
    executor: Executor | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    on_done: Callable[[Job], None] = lambda job: None,
    poll: float = 0.2,
) -> dict[str, str]:
    """Train and test every job that is not done.

    A job that fails is reported, the others go on. One whose folder is in use is looked at again
    later, and counts as done where somebody else has finished it. Ctrl-C (or SIGTERM, or a closed
    terminal) ends what runs on this machine; called again, all go on from their newest checkpoints.

    Args:
        jobs: the jobs, in the order in which they are started.
        executor: where they run; None means one at a time on this machine.
        overwrite: empty folders of other settings.
        say: gets each line of the progress.
        on_done: called after each job that ended well.
        poll: seconds between two looks at the running jobs.

    Returns:
        Name of each failed job to the reason.

    Raises:
        ValueError: a job's folder belongs to other settings; nothing was started then.
        KeyboardInterrupt: interrupted; no job runs on on this machine.
    """
    if not overwrite:
        for job in jobs:
            job.check()
    executor = executor or Local()
    waiting = deque(job for job in jobs if job.state() != 'done')
    later: deque[tuple[float, Job]] = deque()
    progress = _Progress(jobs, executor.slots, say)
    running: list[Any] = []
    failed = {}
    with signals_interrupt():
        try:
            while waiting or running or later:
                while later and later[0][0] <= time.monotonic():
                    waiting.append(later.popleft()[1])
                while waiting and len(running) < executor.slots:
                    job = waiting.popleft()
                    if job.state() == 'done':  # by somebody else
                        progress.done(job, len(waiting) + len(later), running)
                        on_done(job)
                        continue
                    running.append(executor.start(job, overwrite))
                for run in [*running]:
                    over = run.finished()
                    if not run.again:
                        progress.started(run)
                    if not over:
                        continue
                    running.remove(run)
                    executor.ended(run)
                    if run.again:
                        later.append((time.monotonic() + AGAIN, run.job))
                        progress.put_off(run)
                        continue
                    if run.error:
                        failed[run.job.name] = run.error
                    progress.finished(run, [*waiting, *(job for _, job in later)], running)
                    if not run.error:
                        on_done(run.job)
                time.sleep(poll if running or later else 0)
        finally:
            executor.leave(running, say)
    return failed


class _Progress:
    """Say which run of how many is at work, and how long the others will take."""

    def __init__(self, jobs: Sequence[Job], slots: int, say: Callable[[str], None]) -> None:
        self.total, self.slots, self.say = len(jobs), slots, say
        self._said: dict[str, str] = {}  # why a run was put off, '' once it has started
        self._begun: set[str] = set()
        states = [job.state() for job in jobs]
        self.number = states.count('done')
        self.seconds = [job.seconds() for job, s in zip(jobs, states, strict=True) if s == 'done']
        self.seconds = [seconds for seconds in self.seconds if seconds]
        on = states.count('started') + states.count('trained')
        say(
            f'{self.total} run{"s" * (self.total != 1)}: {self.number} done before, '
            f'{on} to go on with, {self.total - self.number - on} to start'
        )

    def started(self, run: Run) -> None:
        """Announce a run, once."""
        if self._said.get(run.job.name, 'new'):
            self.number += run.job.name not in self._begun
            self._begun.add(run.job.name)
            self._said[run.job.name] = ''
            place = f'[{self.number}/{self.total}] {run.job.name}'
            self.say(f'{place}: started{run.where}, logs in {run.job.folder}')

    def put_off(self, run: Run) -> None:
        """Say why a run is looked at again later, once."""
        if self._said.get(run.job.name) != run.again:
            self._said[run.job.name] = run.again
            self.say(f'put off {run.job.name}: {run.again}. It is looked at again later')

    def done(self, job: Job, waiting: int, running: Sequence[Run]) -> None:
        """Report a run that somebody else has done."""
        self.say(f'done {job.name}, by somebody else; {waiting + len(running)} left')

    def finished(self, run: Run, waiting: Sequence[Job], running: Sequence[Run]) -> None:
        """Report the end of a run and the time left."""
        if run.error:
            self.say(f'FAILED {run.job.name}: {run.error}')
        else:
            self.seconds.append(run.job.seconds())
            self.say(f'done {run.job.name} in {duration(run.job.seconds())}')
        rest = len(waiting) + len(running)
        if rest:
            spent = [*(job.seconds() for job in waiting), *(other.seconds() for other in running)]
            self.say(f'{rest} left, {time_left(self.seconds, spent, self.slots)}')


def time_left(finished: Sequence[float], spent: Sequence[float], slots: int) -> str:
    """Estimate how long the other runs take, from those that finished.

    Args:
        finished: seconds that finished runs took.
        spent: seconds already spent on each of the others.
        slots: how many run at a time.

    Example:
        >>> time_left([60.0, 120.0], [30.0, 0.0, 0.0], slots=2)
        'about 2 min'
    """
    if not finished:
        return 'time unknown until a run is done'
    rest = [max(fmean(finished) - seconds, 0.0) for seconds in spent]
    return f'about {duration(max(sum(rest) / slots, max(rest)))}'


def duration(seconds: float) -> str:
    """Write a time in words.

    Example:
        >>> duration(50), duration(100), duration(7500)
        ('50 s', '2 min', '2 h 5 min')
    """
    if seconds < 60:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 60 else f'{minutes // 60} h {minutes % 60} min'
