"""Jobs on a Slurm cluster, through submitit."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmssl.experiments import commands
from mmssl.experiments.jobs import Job
from mmssl.experiments.local import LocalRun, hold
from mmssl.utils.io import write_atomic
from mmssl.utils.processes.folder_lock import InUseError

DAY = 24 * 60
POLL = 1.0  # seconds between two looks of a node at its training
LOOK = 20.0  # seconds between two questions whether a job that was ended is still in the queue
GRACE = 150.0  # seconds that Slurm may take to end a job whose training it has ended
SITTINGS = 100  # times that Slurm's time may run out for a run that gets further each time
PATIENCE = 75.0  # seconds for a checkpoint; submitit asks 90 s before Slurm ends a job
ENDED_FROM_OUTSIDE = ('PREEMPTED', 'NODE_FAIL', 'REQUEUED', 'REVOKED')


@dataclass
class Sitting:
    """What a node does with a job: the same as this machine, and a word about the end.

    Slurm's notice before the time is up, or before the node is given to others, ends the training
    with a checkpoint and puts the job into the queue again. One that got no further in all of its
    time hangs, and does not come back.

    Args:
        job: the job, with absolute paths.
        overwrite: empty a folder of other settings.
        report: file for the end: why the job failed, or could not begin.
        minutes: time of a sitting.
    """

    job: Job
    overwrite: bool
    report: Path
    minutes: int

    def __call__(self) -> None:
        """Train and test."""
        commands.PATIENCE = PATIENCE
        self.report.unlink(missing_ok=True)
        self._begin, self._start, self._hangs = self._progress(), time.monotonic(), ''
        self._run = LocalRun(self.job, None, self.overwrite)
        try:
            while not self._run.finished():
                time.sleep(POLL)
            if self._run.stopped:  # Slurm ends the whole job now, or gives the notice
                time.sleep(GRACE)
        except Exception as error:  # the job does not come back: submitit says why
            self._say(self._hangs or str(error), '')
            raise
        finally:
            self._stop()
        if self._run.stopped:
            self._say('', 'the training was stopped from outside')
        else:
            self._say(self._run.error, self._run.again)

    def checkpoint(self) -> Any:
        """End the training; return what submitit puts into the queue again, None if it hangs."""
        from submitit.helpers import DelayedSubmission

        self._stop()
        whole = time.monotonic() - self._start > 0.8 * 60 * self.minutes
        if whole and self._progress() == self._begin:
            self._hangs = (
                f'the run wrote no checkpoint in the {self.minutes} minutes of --time-limit; see '
                f'the logs in {self.job.folder}'
            )
            return None
        return DelayedSubmission(replace(self, overwrite=False))

    def _stop(self) -> None:
        if self._run.command is not None:
            self._run.command.end(PATIENCE)
        self._run.close()

    def _progress(self) -> tuple[str, bool]:
        """Return what changes when a job gets further."""
        pointer = self.job.folder / 'last_checkpoint'
        newest = pointer.read_text() if pointer.exists() else ''
        return newest, (self.job.folder / 'trained').exists()

    def _say(self, error: str, again: str) -> None:
        write_atomic(self.report, json.dumps({'error': error, 'again': again}))


@dataclass
class ClusterRun:
    """A job that the cluster has.

    Args:
        job: the job.
        task: submitit's handle of it.
        report: what the node says at the end.
    """

    job: Job
    task: Any
    report: Path
    error: str = ''
    again: str = ''
    _next_look: float = 0.0

    @property
    def where(self) -> str:
        """Where it runs, in words."""
        return f' as job {self.task.job_id} of the cluster'

    def finished(self) -> bool:
        """Tell whether it is over."""
        if self.again:
            return True
        if self.report.exists():
            said = json.loads(self.report.read_text())
            self.error, self.again = said['error'], said['again']
            return True
        done = self.task.done()
        if self.task.state.split()[0] in ENDED_FROM_OUTSIDE:
            if self._queued():
                return False
            self.again = f'the cluster ended job {self.task.job_id} ({self.task.state})'
        elif not done:
            return False
        elif not self.report.exists():  # it may have come meanwhile
            logs = self.task.paths.stderr
            self.error = (
                f'job {self.task.job_id} ended as {self.task.state} without a result; see {logs} '
                f'and the logs in {self.job.folder}'
            )
        return bool(self.again or self.error) or self.finished()

    def _queued(self) -> bool:
        """Tell whether Slurm is going to run it again; asked now and then."""
        if time.monotonic() < self._next_look:
            return True
        self._next_look = time.monotonic() + LOOK
        return in_queue(self.task.job_id)

    def seconds(self) -> float:
        """Return the time spent on the job in steps that are over."""
        return self.job.seconds()


class Slurm:
    """Give jobs to Slurm, each as a job of its own; those it has already are followed.

    Args:
        folder: for the files of submitit and the numbers of the jobs; all nodes see it.
        minutes: time asked for, of a sitting.
        processes: of a run; it gets a GPU for each, unless `options` say otherwise.
        options: further settings of submitit's Slurm executor, e.g. `partition`, `account`,
            `cpus_per_task`, `gpus_per_node`, `mem`.
        cluster: another executor of submitit, for trials.

    Raises:
        ValueError: submitit is not installed, Slurm is not there, or it has no such option.
    """

    slots = 1_000_000

    def __init__(
        self,
        folder: Path,
        minutes: int = DAY,
        processes: int = 1,
        options: Mapping[str, str | int] | None = None,
        cluster: str = 'slurm',
    ) -> None:
        try:
            import submitit
        except ImportError:
            raise ValueError(
                '--executor slurm needs submitit; install it with: python -m pip install submitit'
            ) from None
        self.folder, self.minutes = folder.resolve(), minutes
        asked: dict[str, Any] = {'gpus_per_node': processes, **(options or {})}
        try:
            self.executor = submitit.AutoExecutor(
                self.folder / '%j', cluster, slurm_max_num_timeout=SITTINGS
            )
            self.executor.update_parameters(
                name='mmssl',
                timeout_min=minutes,
                slurm_additional_parameters={'requeue': True},
                **{f'slurm_{key}': value for key, value in asked.items()},
            )
        except RuntimeError:
            raise ValueError(
                '--executor slurm: there is no srun on this machine; call it where Slurm is, or '
                'leave --executor out'
            ) from None
        except (NameError, AssertionError) as error:
            raise ValueError(f'--slurm: {" ".join(str(error).split())}') from None

    def start(self, job: Job, overwrite: bool) -> ClusterRun:
        """Follow a job that the cluster has, or submit it.

        Raises:
            ValueError: the cluster refuses it.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.helpers import clean_env

        record = self.folder / f'{job.folder.parent.name},{job.folder.name}.json'
        known = self._known(job, record)
        if known is not None:
            return known
        report = self.folder / f'{uuid.uuid4().hex}.json'
        try:
            hold(job).close()
        except InUseError as error:
            return ClusterRun(job, None, report, again=str(error))
        config = str(Path(job.config).resolve())
        there = replace(job, folder=job.folder.resolve(), tools=job.tools.resolve(), config=config)
        # an allocation in which this is called is another one
        inside = clean_env() if 'SLURM_JOB_ID' in os.environ else nullcontext()
        try:
            with inside:
                task = self.executor.submit(Sitting(there, overwrite, report, self.minutes))
        except (OSError, subprocess.SubprocessError, FailedJobError, FailedSubmissionError) as e:
            raise ValueError(f'the cluster does not take {job.name}: {e}') from None
        write_atomic(record, json.dumps({'id': task.job_id, 'report': str(report)}))
        return ClusterRun(job, task, report)

    def _known(self, job: Job, record: Path) -> ClusterRun | None:
        """Return the run of an earlier call, if the cluster still has it."""
        try:
            said = json.loads(record.read_text())
            number, report = str(said['id']), Path(said['report'])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if report.exists() or not in_queue(number):
            return None
        task = self.executor._executor.job_class(self.folder / '%j', number)
        return ClusterRun(job, task, report)

    def ended(self, run: ClusterRun) -> None:
        """Take note of a run that is over: nothing is kept of it."""

    def leave(self, running: Sequence[ClusterRun], say: Callable[[str], None]) -> None:
        """Leave the runs with the cluster."""
        if running:
            numbers = ' '.join(run.task.job_id for run in running)
            stay = '1 run stays' if len(running) == 1 else f'{len(running)} runs stay'
            say(
                f'{stay} with the cluster; the same command follows them, and '
                f'"scancel {numbers}" ends them'
            )


def in_queue(number: str) -> bool:
    """Tell whether Slurm has a job that waits or runs; yes, where it cannot be asked."""
    try:
        asked = subprocess.run(
            ['squeue', '--noheader', '--jobs', number, '--format', '%i'],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        return False
    except (OSError, subprocess.SubprocessError):
        return True
    if asked.returncode and 'nvalid job id' not in asked.stderr:
        return True
    return bool(asked.stdout.strip())
