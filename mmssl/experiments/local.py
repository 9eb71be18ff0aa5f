"""Jobs as processes of this machine."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from mmssl.experiments import commands
from mmssl.experiments.commands import Command
from mmssl.experiments.jobs import Job
from mmssl.utils.processes.children import end
from mmssl.utils.processes.folder_lock import InUseError, lock_file, lock_folder
from mmssl.utils.processes.signals import GO_ON


def hold(job: Job) -> ExitStack:
    """Keep the folder of a job for this process.

    Raises:
        InUseError: another process runs the job, or a training that outlived its sweep does.
    """
    with ExitStack() as kept:
        kept.enter_context(lock_file(job.folder / 'job', '--work-dir'))
        with lock_folder(job.folder):
            return kept.pop_all()


class LocalRun:
    """A job under way on this machine.

    Args:
        job: the job.
        gpu: what `CUDA_VISIBLE_DEVICES` is set to; None leaves it as it is.
        overwrite: empty a folder of other settings.
        limit: seconds that the job may take in this sitting; None means any time.
        screen: is told of each command (see `mmssl.experiments.steps.Screen`), whose progress then
            goes to the screen.

    Attributes:
        error: why it failed.
        again: why it could not begin; the job is to be looked at again later.
    """

    def __init__(
        self,
        job: Job,
        gpu: str | None = None,
        overwrite: bool = False,
        limit: float | None = None,
        screen: Any = None,
    ) -> None:
        self.job, self.gpu, self.overwrite, self.limit = job, gpu, overwrite, limit
        self.screen, self.error, self.again = screen, '', ''
        self.step, self.stopped = '', False
        self.command: Command | None = None
        self.begin = time.monotonic()
        self.steps: Iterator[tuple[str, list[str]]] = job.steps()
        self.kept: ExitStack | None = None

    @property
    def where(self) -> str:
        """Where it runs, in words."""
        return '' if self.gpu is None else f' on GPU {self.gpu}'

    def finished(self) -> bool:
        """Start the next step where one has ended; tell whether all are done or one failed."""
        try:
            if self.command is not None and not self._ended(self.command):
                return False
            if self.kept is None:
                self.kept = hold(self.job)
                self.job.prepare(self.overwrite)
            following = next(self.steps, None)
            if following is not None:
                self._start(*following)
                return False
            if not self.job.result.exists():
                raise ValueError(f'the test wrote no {self.job.result}')
        except InUseError as error:
            self.again = str(error)
        except (ValueError, OSError) as error:
            self.error = str(error)
        self.close()
        return True

    def _ended(self, command: Command) -> bool:
        """Tell whether the present step is over.

        Raises:
            ValueError: it failed, or the job took too long.
        """
        if command.code() is None:
            if self.limit is None or time.monotonic() - self.begin < self.limit:
                return False
            command.end()
            raise ValueError(
                f'{self.step} was ended: the run took longer than --time-limit '
                f'{self.limit / 60:g} minutes; see {command.log}. It goes on from its newest '
                'checkpoint'
            )
        self.note_time()
        if command.code():
            self.stopped = command.code() == GO_ON
            raise ValueError(f'{self.step} {command.explain()}')
        if self.screen is not None:
            self.screen.ended(command)
        return True

    def _start(self, step: str, words: list[str]) -> None:
        self.step, log = step, self.job.folder / f'{step}.log'
        env: dict[str, str] = {}
        if self.gpu is not None:
            env['CUDA_VISIBLE_DEVICES'] = self.gpu
        if self.job.processes > 1 and not os.environ.get('OMP_NUM_THREADS'):
            env.update(OMP_NUM_THREADS='1', MMSSL_THREADS='auto')  # they share the cores
        if self.screen is not None:
            env.update(self.screen.started(f'{step} {self.job.name}', words, log))
        self.command = Command(words, log, None, self.screen is not None, **env)

    def note_time(self) -> None:
        """Add the time of the present step to the job's."""
        if self.command is not None:
            self.job.add_seconds(self.step, self.command.seconds())
            self.command = None

    def seconds(self) -> float:
        """Return the time spent on the job so far."""
        return self.job.seconds() + (self.command.seconds() if self.command else 0.0)

    def close(self) -> None:
        """Let the folder go."""
        self.note_time()
        if self.kept is not None:
            self.kept.close()


class Local:
    """Run jobs as processes of this machine, which end with this one.

    Args:
        gpus: what `CUDA_VISIBLE_DEVICES` is set to for a run, one run at a time for each; None
            leaves it as it is (see `mmssl.experiments.devices.slots`).
        limit: seconds that a run may take in one sitting; None means any time.
        screen: as `LocalRun`; for one run at a time.
    """

    def __init__(
        self,
        gpus: Sequence[str | None] = (None,),
        limit: float | None = None,
        screen: Any = None,
    ) -> None:
        self.free, self.slots, self.limit, self.screen = deque(gpus), len(gpus), limit, screen

    def start(self, job: Job, overwrite: bool) -> LocalRun:
        """Start a job."""
        return LocalRun(job, self.free.popleft(), overwrite, self.limit, self.screen)

    def ended(self, run: LocalRun) -> None:
        """Take the place of a run that is over back."""
        self.free.append(run.gpu)

    def leave(self, running: Sequence[LocalRun], say: Callable[[str], None]) -> None:
        """End runs, and let their folders go."""
        try:
            alive = [run.command.process for run in running if run.command]
            end(alive, commands.PATIENCE)
        finally:
            for run in running:
                run.close()
