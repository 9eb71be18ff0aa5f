"""Run jobs one after the other or over GPUs; a repeated call goes on where it stopped."""

import fcntl
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

from mmssl.experiments.jobs import Job
from mmssl.utils.processes.children import end, for_child, signals_interrupt

PATIENCE = 20.0  # seconds that a stopped run has to end by itself
TAIL = 12  # lines of a log that are shown when a run fails


def run_jobs(
    jobs: Sequence[Job],
    gpus: Sequence[str | None] = (None,),
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    on_done: Callable[[Job], None] = lambda job: None,
    poll: float = 0.2,
) -> dict[str, str]:
    """Train and test every job that is not done, at most one at a time on each GPU.

    A job that fails is reported, the others go on. Ctrl-C (or SIGTERM, or a closed terminal) ends
    all running jobs; called again, they go on from their newest checkpoints.

    Args:
        jobs: the jobs, in the order in which they are started.
        gpus: what `CUDA_VISIBLE_DEVICES` is set to, one slot each; None leaves it as it is.
        overwrite: empty folders of other settings.
        say: gets each line of the progress.
        on_done: called after each job that ended well.
        poll: seconds between two looks at the running jobs.

    Returns:
        Name of each failed job to the reason.

    Raises:
        ValueError: a job's folder belongs to other settings; nothing was started then.
        KeyboardInterrupt: interrupted; all jobs were stopped.
    """
    if not overwrite:
        for job in jobs:
            job.check()
    waiting = deque(job for job in jobs if job.state() != 'done')
    progress = _Progress(jobs, len(gpus), say)
    free, running, failed = deque(gpus), [], {}
    with signals_interrupt():
        try:
            while waiting or running:
                while waiting and free:
                    run = _Run(waiting.popleft(), free.popleft(), overwrite)
                    running.append(run)
                    progress.started(run)
                for run in [run for run in running if run.finished()]:
                    running.remove(run)
                    free.append(run.gpu)
                    if run.error:
                        failed[run.job.name] = run.error
                    progress.finished(run, [*waiting], running)
                    if not run.error:
                        on_done(run.job)
                time.sleep(poll if running else 0)
        finally:
            stop(running)
    return failed


class _Run:
    """A job under way on a device.

    Args:
        job: the job.
        gpu: what `CUDA_VISIBLE_DEVICES` is set to; None leaves it as it is.
        overwrite: empty a folder of other settings.
    """

    def __init__(self, job: Job, gpu: str | None, overwrite: bool = False) -> None:
        self.job, self.gpu, self.overwrite, self.error = job, gpu, overwrite, ''
        self.step, self.process, self.begin, self.lock = '', None, 0.0, None
        self.steps: Iterator = job.steps()

    def finished(self) -> bool:
        """Start the next step where one has ended; tell whether all are done or one failed."""
        code = self.process.poll() if self.process else 0
        if code is None:
            return False
        self.note_time()
        try:
            if code:
                raise ValueError(self._explain(code))
            if self.lock is None:
                self.lock = _lock(self.job.folder)
                self.job.prepare(self.overwrite)
            following = next(self.steps, None)
            if following is not None:
                self._start(*following)
                return False
            if not self.job.result.exists():
                raise ValueError(f'the test wrote no {self.job.result}')
        except (ValueError, OSError) as error:
            self.error = str(error)
        self.close()
        return True

    def _start(self, step: str, command: list[str]) -> None:
        self.step = step
        env = for_child(MMSSL_PROGRESS='0', PYTHONUNBUFFERED='1')
        if self.gpu is not None:
            env['CUDA_VISIBLE_DEVICES'] = self.gpu
        with self.log.open('a') as log:
            print('$', *command, file=log, flush=True)
            # The lock is open in the child too: it lasts as long as the child, whatever ends us.
            self.process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[self.lock],
            )
        self.begin = time.monotonic()

    @property
    def log(self) -> Path:
        """The log of the present step."""
        return self.job.folder / f'{self.step}.log'

    def _explain(self, code: int) -> str:
        lines = self.log.read_text(errors='replace').splitlines()[-TAIL:]
        how = f'signal {signal.Signals(-code).name}' if code < 0 else f'exit status {code}'
        return f'{self.step} ended with {how}; the end of {self.log}:\n    ' + '\n    '.join(lines)

    def note_time(self) -> None:
        """Add the time of the present step to the job's."""
        if self.begin:
            self.job.add_seconds(self.step, time.monotonic() - self.begin)
            self.begin = 0.0

    def seconds(self) -> float:
        """Return the time spent on the job so far."""
        return self.job.seconds() + (time.monotonic() - self.begin if self.begin else 0.0)

    def close(self) -> None:
        """Let the folder go."""
        self.note_time()
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def _lock(folder: Path) -> int:
    """Open the lock file of a folder and lock it, so that no two processes train in it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / '.lock', os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(f'another process is at work in {folder}; wait for it or end it') from None
    except OSError:  # a file system without locks: go on without
        pass
    return handle


def stop(running: Sequence[_Run]) -> None:
    """End runs, and let their folders go."""
    try:
        end([run.process for run in running if run.process], PATIENCE)
    finally:
        for run in running:
            run.close()


class _Progress:
    """Say which run of how many is at work, and how long the others will take."""

    def __init__(self, jobs: Sequence[Job], slots: int, say: Callable[[str], None]) -> None:
        self.total, self.slots, self.say = len(jobs), slots, say
        states = [job.state() for job in jobs]
        self.number = states.count('done')
        self.seconds = [job.seconds() for job, s in zip(jobs, states, strict=True) if s == 'done']
        self.seconds = [seconds for seconds in self.seconds if seconds]
        on = states.count('started') + states.count('trained')
        say(
            f'{self.total} run{"s" * (self.total != 1)}: {self.number} done before, '
            f'{on} to go on with, {self.total - self.number - on} to start'
        )

    def started(self, run: _Run) -> None:
        """Announce a run."""
        self.number += 1
        where = '' if run.gpu is None else f' on GPU {run.gpu}'
        self.say(
            f'[{self.number}/{self.total}] {run.job.name}: started{where}, logs in {run.job.folder}'
        )

    def finished(self, run: _Run, waiting: Sequence[Job], running: Sequence[_Run]) -> None:
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
