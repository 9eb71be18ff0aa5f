"""Jobs on Slurm, played by stand-ins, and on submitit's own local processes."""

import json
import os
import signal
import threading
import time
from dataclasses import replace

import pytest

submitit = pytest.importorskip('submitit')

from slurm_stub import write_slurm  # noqa: E402
from stub_tools import write_stubs  # noqa: E402

from mmssl.experiments import cluster  # noqa: E402
from mmssl.experiments.cluster import Sitting, Slurm  # noqa: E402
from mmssl.experiments.jobs import Job  # noqa: E402
from mmssl.experiments.runs import run_jobs  # noqa: E402


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The folder of a cluster's jobs."""
    watcher = submitit.SlurmJob.watcher  # its jobs have the numbers of those of other tests
    watcher.clear()
    watcher._registered.clear()
    monkeypatch.setattr('mmssl.experiments.runs.AGAIN', 0.05)
    return write_slurm(tmp_path, monkeypatch)


@pytest.fixture
def job(tmp_path):
    tools = write_stubs(tmp_path)

    def make(name='a', **options):
        options = {f'_fake.{key}': str(value) for key, value in options.items()}
        return Job(name, tools / 'runs' / name, str(tools / 'config.py'), options, tools=tools)

    return make


def go(executor, *jobs, **kwargs):
    said = []
    kwargs.setdefault('say', said.append)
    return run_jobs(jobs, executor, poll=0.05, **kwargs), said


def make(tmp_path, **kwargs):
    return Slurm(tmp_path / 'runs' / 'slurm', **kwargs)


def calls(job):
    return (job.folder / 'calls.txt').read_text().split('\n')[:-1]


def wait_for(path):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f'{path} never came'
        time.sleep(0.02)


def test_slurm_runs_what_this_machine_would(slurm, job, tmp_path):
    options = {'partition': 'gpu', 'cpus_per_task': 3}
    jobs = [job('a'), job('bad', fail=True)]
    failed, said = go(make(tmp_path, minutes=90, processes=2, options=options), *jobs)
    assert jobs[0].state() == 'done' and jobs[0].scores()[1]['mean']['DSC'] == 10.0
    assert list(failed) == ['bad'] and 'error: the disk is full' in failed['bad']
    assert calls(jobs[0])[0] == 'train 0,1', 'the GPUs are those that Slurm gave'
    assert any(line.startswith('[1/2] a: started as job 1 of the cluster') for line in said)
    script = (slurm / '1.sh').read_text()
    for word in ('--partition=gpu', '--cpus-per-task=3', '--gpus-per-node=2', '--time=90'):
        assert f'#SBATCH {word}\n' in script
    assert '#SBATCH --requeue\n' in script
    assert go(make(tmp_path), *jobs[:1])[1] == ['1 run: 1 done before, 0 to go on with, 0 to start']
    assert len(list(slurm.glob('*.sh'))) == 2


def test_the_same_code_runs_on_submitits_processes(job, tmp_path):
    jobs = [job('a'), job('b')]
    failed, _ = go(make(tmp_path, cluster='local'), *jobs)
    assert not failed, failed
    assert [one.state() for one in jobs] == ['done', 'done']


def test_a_preempted_run_goes_on_by_itself(slurm, job, tmp_path):
    endless, told = job(wait=60), []

    def preempt(line):
        if 'started' in line and not told:
            told.append(line)
            wait_for(endless.folder / 'half')
            os.kill(int((slurm / '1.pid').read_text()), signal.SIGUSR2)

    failed, _ = go(make(tmp_path, minutes=600), endless, say=preempt)
    assert not failed, failed
    assert endless.state() == 'done' and told
    assert calls(endless)[:3] == ['train 0', 'ctrl-c', 'train 0'], 'it ended cleanly and went on'
    assert len(list(slurm.glob('*.sh'))) == 1, 'Slurm has put it into its queue again'


@pytest.mark.slow
def test_ctrl_c_leaves_the_runs_and_the_same_command_follows_them(slurm, job, tmp_path):
    slow, said = job(wait=3), []

    def interrupt(line):
        said.append(line)
        if 'started' in line:
            wait_for(slow.folder / 'half')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(make(tmp_path), slow, say=interrupt)
    assert said[-1] == (
        '1 run stays with the cluster; the same command follows them, and "scancel 1" ends them'
    )
    failed, _ = go(make(tmp_path), slow)
    assert not failed and slow.state() == 'done'
    assert len(list(slurm.glob('*.sh'))) == 1 and calls(slow) == ['train 0']


@pytest.mark.slow
def test_a_cancelled_run_has_failed_and_a_repeat_goes_on(slurm, job, tmp_path):
    endless = job(wait=60)

    def cancel(line):
        if 'started' in line:
            wait_for(endless.folder / 'half')
            os.system('scancel 1')

    failed, _ = go(make(tmp_path), endless, say=cancel)
    assert 'job 1 ended as CANCELLED by 0 without a result; see ' in failed['a']
    assert not go(make(tmp_path), endless)[0] and endless.state() == 'done'


@pytest.mark.slow
def test_a_run_whose_node_was_taken_is_submitted_again(slurm, job, tmp_path):
    endless, said = job(wait=60), []

    def take(line):
        said.append(line)
        if 'started' in line and not (slurm / '1.state.forced').exists():
            wait_for(endless.folder / 'half')
            os.kill(int((slurm / '1.pid').read_text()), signal.SIGKILL)
            (slurm / '1.state.forced').write_text('PREEMPTED')

    failed, _ = go(make(tmp_path), endless, say=take)
    assert not failed and endless.state() == 'done', failed
    assert any(line.startswith('put off a: the cluster ended job 1 (PREEMPTED)') for line in said)
    assert len(list(slurm.glob('*.sh'))) == 2


def test_a_run_without_progress_in_all_its_time_does_not_come_back(job, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, 'POLL', 0.01)
    hanging = job(wait=60)
    sitting = Sitting(hanging, False, tmp_path / 'report.json', minutes=0)

    def notice(number, frame):
        if sitting.checkpoint() is None:
            raise submitit.core.utils.UncompletedJobError('not requeued')

    def warn():
        wait_for(hanging.folder / 'half')
        os.kill(os.getpid(), signal.SIGUSR2)

    old = signal.signal(signal.SIGUSR2, notice)
    threading.Thread(target=warn, daemon=True).start()
    with pytest.raises(submitit.core.utils.UncompletedJobError):
        sitting()
    signal.signal(signal.SIGUSR2, old)
    error = json.loads((tmp_path / 'report.json').read_text())['error']
    assert 'wrote no checkpoint in the 0 minutes of --time-limit' in error
    assert calls(hanging) == ['train -', 'ctrl-c']
    sitting._begin = ('an older checkpoint', False)
    again = sitting.checkpoint().function
    assert again == replace(sitting, overwrite=False) and not hasattr(again, '_run')


def test_a_cluster_that_refuses_or_is_not_there_is_one_sentence(slurm, job, tmp_path, monkeypatch):
    (slurm / 'refuse').touch()
    with pytest.raises(ValueError, match='the cluster does not take a: .*invalid partition'):
        go(make(tmp_path), job())
    with pytest.raises(ValueError, match="--slurm: Unknown argument 'colour' for executor 'slurm'"):
        make(tmp_path, options={'colour': 'red'})
    monkeypatch.setenv('PATH', '/nowhere')
    with pytest.raises(ValueError, match='there is no srun on this machine'):
        make(tmp_path)
    monkeypatch.setitem(__import__('sys').modules, 'submitit', None)
    with pytest.raises(
        ValueError, match='needs submitit; install it with: python -m pip install submitit'
    ):
        make(tmp_path)
