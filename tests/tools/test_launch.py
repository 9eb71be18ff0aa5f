"""The launchers: values from outside, ports, and the command that goes on."""

import os
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmssl.utils.command import command_to_go_on

ROOT = Path(__file__).parents[2]
SHOW = """#!/bin/sh
if [ "$1" = - ]; then exec REAL "$@"; fi
for word in "$@"; do echo "WORD $word"; done
env | grep MMSSL_
"""


@pytest.fixture
def place(tmp_path):
    """Make an interpreter and an srun that show their words and variables."""
    for name in ('python', 'srun'):
        (tmp_path / name).write_text(SHOW.replace('REAL', sys.executable))
        (tmp_path / name).chmod(0o755)
    return tmp_path


def launch(place, script, *words, **env):
    env = {'PATH': f'{place}:{os.environ["PATH"]}', 'PYTHON': str(place / 'python'), **env}
    done = subprocess.run(
        ['bash', str(ROOT / 'tools' / script), *map(str, words)],
        env=env, cwd=place, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done, [line[5:] for line in done.stdout.splitlines() if line.startswith('WORD ')]


DIST = ('dist_train.sh', 'a.py', '2'), ('dist_test.sh', 'a.py', 'b.pth', '2')
SLURM = ('slurm_train.sh', 'part', 'job', 'a.py'), ('slurm_test.sh', 'part', 'job', 'a.py', 'b.pth')
BAD = ('a[$(touch owned)]', 'x=1', '-1', '1.5', 'two', '2 2', '99999999')


@pytest.mark.parametrize('value', BAD)
@pytest.mark.parametrize('words, name', [
    *((words, name) for words in DIST for name in ('GPUS', 'NNODES', 'NODE_RANK', 'PORT')),
    *((words, name) for words in SLURM
      for name in ('GPUS', 'GPUS_PER_NODE', 'NNODES', 'CPUS_PER_TASK', 'PORT')),
])  # fmt: skip
def test_numbers_from_outside_are_checked_and_never_evaluated(place, words, name, value):
    if words in DIST and name == 'GPUS':
        done, _ = launch(place, *words[:-1], value)
    else:
        done, _ = launch(place, *words, **{name: value})
    assert done.returncode == 1 and not (place / 'owned').exists()
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'error: {name} is "{value}"; give a whole number')


def test_numbers_are_decimal(place):
    _, words = launch(place, *SLURM[0], GPUS='010', GPUS_PER_NODE='08')
    assert '--ntasks=010' in words and '--ntasks-per-node=08' in words


def test_srun_arguments_are_words_and_no_patterns(place):
    (place / 'file').touch()
    _, words = launch(place, *SLURM[0], SRUN_ARGS='--exclusive  --comment=*')
    at = words.index('--kill-on-bad-exit=1')
    assert words[at + 1 : at + 3] == ['--exclusive', '--comment=*']


def test_a_free_port_unless_one_is_given(place):
    _, words = launch(place, *DIST[0])
    assert '--standalone' in words and not any('port' in word for word in words)
    _, words = launch(place, *DIST[0], PORT='29999')
    assert '--master_port=29999' in words and '--standalone' not in words
    _, words = launch(place, *DIST[0], NNODES='2', MASTER_ADDR='node0', NODE_RANK='1')
    assert '--master_addr=node0' in words and '--master_port=29500' in words


@pytest.mark.parametrize('words', DIST)
def test_a_port_in_use_is_one_line(place, words):
    with socket.create_server(('', 0)) as server:
        port = str(server.getsockname()[1])
        done, words_ = launch(place, *words, PORT=port)
        # of another machine's, nothing is known here
        _, other = launch(place, *words, PORT=port, NNODES='2', NODE_RANK='1')
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and not words_ and other
    assert line.startswith(f'error: PORT {port} cannot be used (Address already in use); leave')
    done, words_ = launch(place, *words, PORT='99999')
    assert 'PORT 99999 cannot be used (it is too large)' in done.stderr and not words_


def test_threads_are_shared_unless_set(place):
    assert 'MMSSL_THREADS=auto' in launch(place, *DIST[0])[0].stdout
    assert 'MMSSL_THREADS' not in launch(place, *DIST[0], OMP_NUM_THREADS='3')[0].stdout


HARD = ["o'neil, \"x\" [1]/a b.py", '--amp', '--work-dir', 'my dir', '--cfg-options', 'a.b=x, $y',
        'c=*']  # fmt: skip


@pytest.mark.parametrize('before, variables', [
    (('dist_train.sh', 'CONFIG', '2'), dict(PORT='29998')),
    (('slurm_train.sh', 'my part', 'a job', 'CONFIG'), dict(GPUS='4', SRUN_ARGS='--x --y')),
])  # fmt: skip
def test_the_command_to_go_on_is_the_launchers(place, before, variables):
    typed = ['bash', str(ROOT / 'tools' / before[0]), *before[1:]]
    typed[typed.index('CONFIG')] = HARD[0]
    done, words = launch(place, *typed[1:], *HARD[1:], **variables)
    tool = next(i for i, word in enumerate(words) if word.endswith('/train.py'))
    env = dict(line.split('=', 1) for line in done.stdout.splitlines() if line.startswith('MMSSL_'))
    again = command_to_go_on(words[tool:], env)
    shown = subprocess.run(
        ['bash', '-c', f'bash() {{ printf "%s\\n" bash "$@"; env; }}; {again}'],
        capture_output=True, text=True, check=True, env={'PATH': os.environ['PATH']},
    ).stdout.splitlines()  # fmt: skip
    expected = [*typed, *HARD[1:], '--resume']
    expected[1] = str(ROOT / 'tools' / before[0])
    assert shown[: len(expected)] == expected
    assert all(f'{name}={value}' in shown for name, value in variables.items())


@pytest.mark.parametrize('given', [['--resume'], ['--resume', 'old.pth'], ['--resu=old.pth'], []])
def test_the_command_to_go_on_resumes_from_the_newest(given):
    argv = ['tools/train.py', HARD[0], *given, *HARD[1:]]
    expected = ['python', 'tools/train.py', *HARD, '--resume']
    assert shlex.split(command_to_go_on(argv, {})) == expected


@pytest.mark.slow
def test_the_ranks_end_with_their_launcher(tmp_path):
    sys.path.insert(0, str(ROOT / 'tests/engine'))
    from engine_toy import config

    cfg = config(tmp_path / 'run', max_iters=100000)
    cfg.train_dataloader.dataset.delay = 0.2
    cfg.dump(tmp_path / 'toy.py')
    env = dict(os.environ, PYTHONPATH=str(ROOT / 'tests/engine'), PYTHON=sys.executable)
    launcher = subprocess.Popen(
        ['bash', str(ROOT / 'tools/dist_train.sh'), str(tmp_path / 'toy.py'), '2',
         '--work-dir', str(tmp_path / 'run')], env=env, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        ranks = wait_for(lambda: len(children(launcher.pid)) == 2 and (tmp_path / 'run').exists()
                         and children(launcher.pid), 120)  # fmt: skip
    finally:
        launcher.kill()
        launcher.wait()
    assert wait_for(lambda: not any(map(alive, ranks)), 20)


def wait_for(condition, seconds):
    """Return what a condition gives once it holds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f'not within {seconds} s')


def children(process):
    found = Path(f'/proc/{process}/task/{process}/children').read_text().split()
    return [int(child) for child in found]


def alive(process):
    try:
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False
