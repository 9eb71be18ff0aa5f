"""Jobs: settings, steps, repeats, failures, GPUs, interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from stub_tools import write_stubs

from mmssl.experiments.executors import slots
from mmssl.experiments.jobs import Job
from mmssl.experiments.local import Local
from mmssl.experiments.runs import run_jobs, time_left


@pytest.fixture
def tools(tmp_path):
    return write_stubs(tmp_path)


@pytest.fixture
def job(tools):
    def make(name='a', **options):
        options = {f'_fake.{key}': str(value) for key, value in options.items()}
        return Job(name, tools / 'runs' / name, str(tools / 'config.py'), options, tools=tools)

    return make


def go(*jobs, gpus=(None,), limit=None, **kwargs):
    said = []
    failed = run_jobs(jobs, Local(gpus, limit), say=said.append, poll=0.01, **kwargs)
    return failed, said


def calls(job):
    return (job.folder / 'calls.txt').read_text().split('\n')[:-1]


def test_a_job_is_trained_tested_and_not_done_again(job):
    assert job().state() == 'new'
    failed, said = go(job(), job('b'))
    assert failed == {} and job().state() == job('b').state() == 'done'
    assert said[0] == '2 runs: 0 done before, 0 to go on with, 2 to start'
    assert said[1].startswith('[1/2] a: started') and any('1 left, about' in s for s in said)
    student, scores, protocol = job().scores()
    assert (student, scores['mean']['DSC'], protocol) == ('unet', 10.0, 'per case')
    assert go(job())[1] == ['1 run: 1 done before, 0 to go on with, 0 to start']
    assert len(calls(job())) == 1
    assert 'iter_9.pth' in (job().folder / 'test.log').read_text()
    assert set(json.loads((job().folder / 'seconds.json').read_text())) == {'train', 'test'}


def test_cases_asked_for_later_repeat_the_test_alone(job):
    go(job())
    saving = replace(job(), save_cases=True)
    assert saving.state() == 'trained' and job().state() == 'done'
    words = saving.test_command()
    assert words[words.index('--save-cases') + 1] == str(saving.folder / 'cases')
    assert '--save-cases' not in job().test_command()
    (saving.folder / 'cases').mkdir()
    (saving.folder / 'cases/cases.json').write_text('{}')
    assert saving.state() == 'done'


def test_a_changed_setting_is_refused_and_nothing_is_started(job):
    go(job(x=1))
    with pytest.raises(ValueError, match=r'a was made with.*_fake.x is 1 there and 2 here.*overw'):
        go(job('b'), job(x=2))
    assert not job('b').folder.exists()
    with pytest.raises(ValueError, match='--amp is False there and True here'):
        go(replace(job(x=1), amp=True))
    failed, _ = go(job(x=2), overwrite=True)
    assert not failed and job(x=2).scores()[1]['mean']['DSC'] == 20.0
    assert len(calls(job())) == 1


def test_an_edited_config_is_another_setting(job, tools):
    go(job())
    text = (tools / 'config.py').read_text()
    for harmless in (('num_workers=2', 'num_workers=8'), ('interval=5', 'interval=50')):
        (tools / 'config.py').write_text(text.replace(*harmless))
        assert job().state() == 'done'
    (tools / 'config.py').write_text(text.replace('blocks=(2, 4)', 'blocks=(2, 6)'))
    assert job().state() == 'other'
    assert job().change() == 'model.neck.blocks is [2, 4] there and [2, 6] here'
    with pytest.raises(ValueError, match='other settings'):
        job().prepare()


def test_a_changed_test_repeats_the_test_alone(job, tools):
    go(job())
    text = (tools / 'config.py').read_text()
    (tools / 'config.py').write_text(text.replace("unit='pixel'", "unit='mm'"))
    assert job().state() == 'trained'
    go(job())
    assert job().state() == 'done' and len(calls(job())) == 1
    assert (job().folder / 'test.log').read_text().count('$') == 2


def test_a_folder_of_someone_else_is_not_touched(job):
    job().folder.mkdir(parents=True)
    (job().folder / 'thesis.txt').touch()
    with pytest.raises(ValueError, match=r'no readable settings\.json'):
        go(job())
    assert (job().folder / 'thesis.txt').exists()


def test_a_failed_run_shows_its_log_and_the_others_go_on(job):
    failed, said = go(job('bad', fail=True), job('good'))
    assert list(failed) == ['bad'] and job('good').state() == 'done'
    report = next(line for line in said if line.startswith('FAILED bad'))
    assert 'train ended with exit status 1' in report and 'bad/train.log' in report
    assert report.endswith('first line\n    error: the disk is full')
    go(job('bad', fail=True))
    assert len(calls(job('bad'))) == 2, 'a failed run is tried again'


def test_best_and_last_checkpoint_share_a_training(job):
    best = replace(job(), checkpoint='unet/DSC')
    go(job())
    assert best.state() == 'trained'
    go(best)
    assert best.state() == job().state() == 'done' and len(calls(job())) == 1
    assert best.result.name == 'result_best_unet_DSC.json'
    assert 'best_unet_DSC_iter_4.pth' in (best.folder / 'test.log').read_text()
    failed, _ = go(replace(job(), checkpoint='sam/DSC'))
    assert 'no best sam/DSC checkpoint' in failed['a']


def test_each_gpu_has_one_run_at_a_time(job):
    jobs = [job(name, meet=2) for name in 'abcd']  # the first two go on when both have begun
    failed, _ = go(*jobs, gpus=['3', '5'])
    assert not failed, failed
    assert sorted(calls(j)[0] for j in jobs) == ['train 3', 'train 3', 'train 5', 'train 5']


def holding(folder, name):
    """Start a process that keeps a folder: as a sweep does (`lock_file`) or as a training does."""
    program = f"""
import sys, time
from mmssl.utils.processes.folder_lock import lock_file, lock_folder
with {name}:
    print('held', flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, '-c', program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'held\n'
    return process


@pytest.mark.parametrize('name', [
    "lock_file(sys.argv[1] + '/job', '--work-dir')", 'lock_folder(sys.argv[1])'])  # fmt: skip
def test_a_folder_in_use_is_looked_at_again_until_it_is_free(job, monkeypatch, name):
    monkeypatch.setattr('mmssl.experiments.runs.AGAIN', 0.02)
    go(job(x=3, fail=True))
    other = holding(job().folder, name)
    said = []

    def say(line):
        said.append(line)
        if line.startswith('done b') and other.poll() is None:
            assert len(calls(job())) == 1, 'nothing is started in a folder that is in use'
            other.communicate()

    failed = run_jobs([job(x=3, fail=True), job('b')], say=say, poll=0.01)
    put_off = [line for line in said if line.startswith('put off a: ')]
    assert len(put_off) == 1 and 'is in use' in put_off[0], 'said once, however often it looks'
    assert 'exit status 1' in failed['a'] and len(calls(job())) == 2
    assert said.index(put_off[0]) < next(i for i, s in enumerate(said) if s.startswith('FAILED a'))


def test_a_run_that_somebody_else_finishes_is_done(job, monkeypatch):
    monkeypatch.setattr('mmssl.experiments.runs.AGAIN', 0.02)
    other = holding(job().folder, 'lock_folder(sys.argv[1])')
    seen = []

    def finish(line):
        if line.startswith('put off'):
            other.communicate()
            assert not go(job())[0]

    assert run_jobs([job()], say=finish, poll=0.01, on_done=seen.append) == {}
    assert len(calls(job())) == 1 and seen == [job()]


def test_a_run_that_hangs_is_ended_and_the_others_go_on(job):
    failed, _ = go(job(wait=60), job('b'), limit=3.0)
    assert list(failed) == ['a'] and job('b').state() == 'done'
    assert 'train was ended: the run took longer than --time-limit 0.05 minutes' in failed['a']
    assert calls(job())[-1] == 'ctrl-c'
    assert go(job(wait=60), limit=60.0)[0] == {}, 'the next call goes on'


def test_gpus_are_those_that_this_process_was_given(monkeypatch):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    assert slots(None) == [None] and slots('0,0,3') == ['0', '0', '3']
    assert slots('0,1,2,3', 2) == ['0,1', '2,3']
    with pytest.raises(ValueError, match='gives 3 GPUs, .* --processes 2; give a multiple of 2'):
        slots('0,1,2', 2)
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.device_count', lambda: 4)
    assert slots('all', 2) == ['0,1', '2,3']
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,6,GPU-ab,-1,9')  # as Slurm may set it
    assert slots('all') == ['4', '6', 'GPU-ab'] and slots('1,0,GPU-ab') == ['6', '4', 'GPU-ab']
    assert slots(None) == [None], 'what was given is handed on'
    with pytest.raises(ValueError, match=r'no GPU 4, CUDA_VISIBLE_DEVICES gives .* 3 \("4,6,GPU'):
        slots('4')
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(ValueError, match='--gpus all: PyTorch finds no GPU here'):
        slots('all')


def test_several_processes_share_a_run_and_its_gpus(job):
    pair = replace(job(), processes=2)
    failed, _ = go(pair, gpus=['0,1'])
    assert not failed, failed
    ranks = sorted(line for line in calls(pair) if line.startswith('train'))
    assert ranks == ['train 0,1 rank 0', 'train 0,1 rank 1']
    with pytest.raises(ValueError, match='--processes is 2 there and not set here'):
        job().check()


def test_a_hook_sees_every_job_that_ended_well(job):
    seen = []
    go(job('bad', fail=True), job('good'), on_done=lambda done: seen.append(done.name))
    assert seen == ['good']


INTERRUPTED = """
import sys
from pathlib import Path
from mmssl.utils.cli import run
from mmssl.experiments.jobs import Job
from mmssl.experiments.local import Local
from mmssl.experiments.runs import run_jobs
tools = Path(sys.argv[1])
jobs = [Job(n, tools / 'runs' / n, str(tools / 'config.py'), {'_fake.wait': '60'}, tools=tools)
        for n in 'ab']
run(lambda: run_jobs(jobs, Local(['0', '1']), poll=0.01))
"""


def start_and_wait(tools, jobs):
    """Start the jobs in a process of their own, and wait until they are at work."""
    main = subprocess.Popen(
        [sys.executable, '-c', INTERRUPTED, str(tools)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 60
    while not all((j.folder / 'half').exists() for j in jobs) and time.monotonic() < until:
        time.sleep(0.02)
    return main


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_all_runs_and_a_repeat_goes_on(job, tools, sent):
    jobs = [job(name, wait=60) for name in 'ab']
    main = start_and_wait(tools, jobs)
    main.send_signal(sent)
    errors = main.communicate(timeout=30)[1]
    assert main.returncode == 130 and 'Traceback' not in errors
    assert [calls(j)[-1] for j in jobs] == ['ctrl-c', 'ctrl-c']
    assert [j.state() for j in jobs] == ['started', 'started']
    failed, said = go(*jobs)
    assert not failed and said[0] == '2 runs: 0 done before, 2 to go on with, 0 to start'
    assert [j.state() for j in jobs] == ['done', 'done']


def test_a_tool_ends_with_its_killed_sweep(job, tools):
    program = (tools / 'train.py').read_text()
    (tools / 'train.py').write_text(
        'from mmssl.utils.processes.children import end_with_launcher\n'
        'end_with_launcher()\n' + program
    )
    endless = job(wait=60)
    main = start_and_wait(tools, [endless])
    main.kill()
    main.communicate()
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            os.kill(int((endless.folder / 'pid').read_text()), 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError('the training outlived the sweep')


def test_a_run_that_will_not_end_is_killed(job, monkeypatch):
    monkeypatch.setattr('mmssl.experiments.commands.PATIENCE', 0.1)
    stubborn = job(wait=60)
    program = (stubborn.tools / 'train.py').read_text()
    (stubborn.tools / 'train.py').write_text(
        'import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n' + program
    )

    def interrupt_when_at_work(*args):
        if (stubborn.folder / 'half').exists():
            raise KeyboardInterrupt

    monkeypatch.setattr('mmssl.experiments.runs.time.sleep', interrupt_when_at_work)
    with pytest.raises(KeyboardInterrupt):
        go(stubborn)
    with pytest.raises(ProcessLookupError):
        os.kill(int((stubborn.folder / 'pid').read_text()), 0)


def test_time_left_counts_what_is_spent_and_the_slots():
    assert time_left([], [0.0], 1) == 'time unknown until a run is done'
    assert time_left([600, 600], [300, 0], slots=1) == 'about 15 min'
    assert time_left([600], [0, 0, 0, 0], slots=2) == 'about 20 min'
    assert time_left([600], [0], slots=4) == 'about 10 min'
