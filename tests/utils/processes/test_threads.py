"""How many threads compute, and how they wait."""

import os

import pytest
import torch

from mmssl.utils.processes import threads


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make a machine of four cores with two threads each, all of them allowed."""
    monkeypatch.setattr(threads, 'CPUS', tmp_path / 'cpu')
    monkeypatch.setattr(threads, 'CGROUP', tmp_path / 'cgroup')
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(8)), raising=False)
    monkeypatch.delenv('SLURM_CPUS_PER_TASK', raising=False)
    for cpu in range(8):
        place = tmp_path / f'cpu/cpu{cpu}/topology'
        place.mkdir(parents=True)
        (place / 'thread_siblings_list').write_text(f'{cpu % 4},{cpu % 4 + 4}\n')
    (tmp_path / 'cgroup/cpu').mkdir(parents=True)
    return tmp_path


def test_cores_are_counted_and_not_their_threads(machine, monkeypatch):
    assert threads.usable_cores() == 4
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 4, 1})
    assert threads.usable_cores() == 2
    monkeypatch.setenv('SLURM_CPUS_PER_TASK', '1')
    assert threads.usable_cores() == 1


@pytest.mark.parametrize('files, cores', [
    ({'cpu.max': 'max 100000'}, 4),
    ({'cpu.max': '250000 100000'}, 3),
    ({'cpu.max': '50000 100000'}, 1),
    ({'cpu/cpu.cfs_quota_us': '-1', 'cpu/cpu.cfs_period_us': '100000'}, 4),
    ({'cpu/cpu.cfs_quota_us': '200000', 'cpu/cpu.cfs_period_us': '100000'}, 2),
])  # fmt: skip
def test_a_containers_quota(machine, files, cores):
    for name, text in files.items():
        (machine / 'cgroup' / name).write_text(text)
    assert threads.usable_cores() == cores


@pytest.mark.skipif(torch.cuda.is_available(), reason='is about machines without CUDA')
@pytest.mark.parametrize('variables, before, after', [
    (dict(), 8, 4),
    (dict(), 1, 1),  # set in Python
    (dict(OMP_NUM_THREADS='8'), 8, 8),
    (dict(OMP_NUM_THREADS='1', MMSSL_THREADS='auto', LOCAL_WORLD_SIZE='2'), 1, 2),
    (dict(OMP_NUM_THREADS='1', MMSSL_THREADS='auto', LOCAL_WORLD_SIZE='9'), 1, 1),
])  # fmt: skip
def test_cores_are_shared_by_the_ranks(machine, monkeypatch, variables, before, after):
    for name in ('OMP_NUM_THREADS', 'MMSSL_THREADS', 'LOCAL_WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    torch.set_num_threads(before)
    threads.share_cores()
    assert torch.get_num_threads() == after


def test_idle_threads_sleep_soon_unless_the_user_says_how(monkeypatch):
    for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('OMP_WAIT_POLICY', 'ACTIVE')
    threads.wait_quietly()
    assert not {'GOMP_SPINCOUNT', 'KMP_BLOCKTIME'} & set(os.environ)
    monkeypatch.delenv('OMP_WAIT_POLICY')
    monkeypatch.setenv('GOMP_SPINCOUNT', '5')
    threads.wait_quietly()
    assert os.environ['GOMP_SPINCOUNT'] == '5'
    assert os.environ.pop('KMP_BLOCKTIME') == threads.BLOCK
    monkeypatch.delenv('GOMP_SPINCOUNT')
    monkeypatch.setenv('KMP_BLOCKTIME', '7')
    threads.wait_quietly()
    assert os.environ.pop('GOMP_SPINCOUNT') == threads.SPIN
    assert os.environ['KMP_BLOCKTIME'] == '7'
