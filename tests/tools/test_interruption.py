"""Signals sent to a training: a checkpoint, one line, a status, and nothing that stays behind."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from test_train import command, run, toy  # noqa: F401

pytestmark = pytest.mark.slow


def start(*args, group=False, ignored=(), **environment):
    words, env = command(*args, **environment)

    def prepare():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` ignores it
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    return subprocess.Popen(
        words,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
        start_new_session=True,
    )


def wait_for(process, text):
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError(''.join(seen) + process.stderr.read())


def children(process):
    found = subprocess.run(['pgrep', '-P', str(process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def gone(pids, seconds=10.0):
    until = time.monotonic() + seconds
    while any(Path(f'/proc/{pid}').exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(Path(f'/proc/{pid}').exists() for pid in pids)


def slowly(folder, workers):
    return [
        '--work-dir',
        str(folder),
        '--cfg-options',
        'log_level=INFO',
        'train_dataloader.dataset.delay=0.2',
        f'train_dataloader.num_workers={workers}',
        f'train_dataloader.persistent_workers={workers > 0}',
    ]


def check_end(process, code, folder, how):
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert 'Traceback' not in errors and 'Error' not in errors, errors
    way_on = errors.partition('go on with: ')[2]
    assert how in errors and way_on.startswith('python ') and way_on.endswith(' --resume\n')
    assert 'tools/train.py ' in way_on
    number = int((folder / 'last_checkpoint').read_text().rpartition('_')[2].partition('.')[0])
    saved = torch.load(folder / f'iter_{number}.pth', weights_only=True)
    assert saved['meta']['iter'] == number >= 2 and 'optimizer' in saved
    left = {path.name for path in folder.iterdir() if path.name.startswith('.')}
    assert not left


@pytest.mark.parametrize(
    'number, code, workers',
    [
        (signal.SIGTERM, 75, 0),
        (signal.SIGTERM, 75, 2),
        (signal.SIGUSR1, 75, 2),
        (signal.SIGHUP, 75, 2),
        (signal.SIGINT, 130, 2),
    ],
)
def test_a_signal_to_all_processes_of_a_run(toy, tmp_path, number, code, workers):  # noqa: F811
    folder = tmp_path / 'work'
    process = start('tools/train.py', toy, *slowly(folder, workers))
    wait_for(process, 'Iter(train) [2/8]')
    workers = children(process)
    os.killpg(process.pid, number)
    check_end(process, code, folder, f'{signal.Signals(number).name}: ending after')
    assert gone(workers)


def test_nohup_goes_on(toy, tmp_path):  # noqa: F811
    process = start('tools/train.py', toy, *slowly(tmp_path / 'work', 2), ignored=[signal.SIGHUP])
    wait_for(process, 'Iter(train) [2/8]')
    os.killpg(process.pid, signal.SIGHUP)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_loading_processes_end_with_the_main_one(toy, tmp_path):  # noqa: F811
    process = start('tools/train.py', toy, *slowly(tmp_path / 'work', 2))
    wait_for(process, 'Iter(train) [2/8]')
    loading = children(process)
    assert len(loading) == 2
    process.kill()
    assert gone(loading)
    process.communicate(timeout=60)


def test_a_killed_loading_process_is_explained(toy, tmp_path):  # noqa: F811
    process = start('tools/train.py', toy, *slowly(tmp_path / 'work', 2))
    wait_for(process, 'Iter(train) [2/8]')
    os.kill(children(process)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and 'Traceback' not in errors, errors
    assert 'a loading process was ended' in errors and 'runs out of memory' in errors


@pytest.mark.parametrize('seconds', [1.0, 4.0])
def test_before_the_first_iteration(toy, tmp_path, seconds):  # noqa: F811
    process = start('tools/train.py', toy, *slowly(tmp_path / 'work', 0))
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    early = process.returncode == -signal.SIGTERM and seconds < 1  # not listening yet
    assert process.returncode == 75 or early, errors
    assert 'Traceback' not in errors and 'SyntaxError' not in errors


def test_a_second_run_in_the_folder_is_refused(toy, tmp_path):  # noqa: F811
    folder = tmp_path / 'work'
    process = start('tools/train.py', toy, *slowly(folder, 0), 'train_cfg.max_iters=9999')
    wait_for(process, ' 2/9999]')
    second = run('tools/train.py', toy, '--work-dir', folder, '--resume')
    assert second.returncode == 1 and 'Traceback' not in second.stderr
    last = second.stderr.strip().splitlines()[-1]
    assert last.startswith(f'error: Folder {folder} is in use: process {process.pid} on')
    reader = run('tools/test.py', toy, 'none', '--work-dir', folder)
    assert reader.returncode == 0, reader.stderr
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 75


@pytest.fixture
def two_ranks(toy, tmp_path):  # noqa: F811
    options = slowly(tmp_path / 'work', 2)
    options += ['train_cfg.max_iters=9999', 'env_cfg.dist_cfg.heartbeat=6']
    process = start('tools/dist_train.sh', toy, 2, *options)
    wait_for(process, ' 2/9999]')
    ranks = [
        pid
        for pid in children(process)
        if 'tools/train.py' in Path(f'/proc/{pid}/cmdline').read_text()
    ]
    assert len(ranks) == 2
    yield process, ranks
    process.kill()
    assert gone(ranks)


@pytest.mark.parametrize('one', [True, False])
def test_two_ranks_end_at_the_same_iteration(two_ranks, tmp_path, one):
    process, ranks = two_ranks
    os.kill(ranks[1] if one else process.pid, signal.SIGUSR1)
    _, errors = process.communicate(timeout=90)
    number = int((tmp_path / 'work/last_checkpoint').read_text().rpartition('_')[2].split('.')[0])
    saved = torch.load(tmp_path / 'work' / f'iter_{number}.pth', weights_only=True)
    assert 2 < number < 9999 and saved['meta']['iter'] == number, errors
    assert process.returncode == 75 and 'Traceback' not in errors, errors


def test_a_stopped_rank_is_noticed(two_ranks):
    process, ranks = two_ranks
    begin = time.monotonic()
    os.kill(ranks[1], signal.SIGSTOP)
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 1 and 'Traceback' not in errors, errors
    assert '[rank 0] error: rank 1 (process' in errors and 'no sign of life for 6 s' in errors
    assert time.monotonic() - begin < 120
