"""Freed memory stays with the process."""

import os
import platform
import subprocess
import sys

import pytest

from mmssl.utils.processes import memory

FAULTS = """
import resource, sys
import numpy as np
from mmssl.utils.processes.memory import keep_freed_memory

done = keep_freed_memory() if sys.argv[1] == 'keep' else False
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(1 << 24)
before = faults()
for _ in range(3): np.ones(1 << 24)
print(int(done), faults() - before)
"""


def run(word, **environment):
    given = {key: value for key, value in os.environ.items() if key not in memory.CHOSEN}
    command = [sys.executable, '-c', FAULTS, word]
    done = subprocess.run(command, env={**given, **environment}, capture_output=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='another C library')
def test_large_blocks_are_used_again():
    done, faults = run('keep')
    assert done and faults < 100
    assert run('leave')[1] > 100  # 3 x 128 MiB are 98,304 pages of 4 KiB, 192 of 2 MiB


def test_the_environment_decides():
    assert run('keep', MALLOC_TRIM_THRESHOLD_='131072')[0] == 0
    assert run('keep', GLIBC_TUNABLES='glibc.malloc.arena_max=2')[0] == 0


def test_another_c_library_is_left_alone(monkeypatch):
    for name in memory.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(memory.ctypes, 'CDLL', lambda _: object())
    assert memory.keep_freed_memory() is False
