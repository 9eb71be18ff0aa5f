"""How many threads compute on a CPU, and how they wait for each other."""

import math
import os
from pathlib import Path

CPUS = Path('/sys/devices/system/cpu')
CGROUP = Path('/sys/fs/cgroup')
# Rounds that a thread of libgomp waits before it sleeps, a fraction of a millisecond. libgomp's own
# default is 30 times that: beside another busy program the waiting threads then take the cores from
# those they wait for.
SPIN = '10000'
BLOCK = '1'  # the same for Intel's library and LLVM's, in ms; their default is 200


def wait_quietly() -> None:
    """Let idle threads give their core away soon; has to come before PyTorch is imported."""
    if not {'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'} & set(os.environ):
        os.environ['GOMP_SPINCOUNT'] = SPIN
    if not {'OMP_WAIT_POLICY', 'KMP_BLOCKTIME'} & set(os.environ):
        os.environ['KMP_BLOCKTIME'] = BLOCK


def share_cores() -> None:
    """Give PyTorch the cores that this process may use, divided by the ranks of this machine.

    `OMP_NUM_THREADS`, where a user set it, decides; a number set in Python is never raised.
    """
    import torch

    chosen = os.environ.get('OMP_NUM_THREADS') and os.environ.get('MMSSL_THREADS') != 'auto'
    if chosen or torch.cuda.is_available():
        return
    ranks = int(os.environ.get('LOCAL_WORLD_SIZE', '1'))
    threads = max(1, usable_cores() // ranks)
    if os.environ.get('MMSSL_THREADS') != 'auto':
        threads = min(threads, torch.get_num_threads())
    torch.set_num_threads(threads)


def usable_cores() -> int:
    """Return how many physical cores this process may keep busy.

    Of the cores that the scheduler, a container's quota and Slurm allow.
    """
    if hasattr(os, 'sched_getaffinity'):
        allowed = os.sched_getaffinity(0)
    else:
        allowed = set(range(os.cpu_count() or 1))
    limits = [len({_siblings(cpu) for cpu in allowed}), _quota()]
    task = os.environ.get('SLURM_CPUS_PER_TASK', '')
    if task.isdecimal() and int(task):
        limits.append(int(task))
    return max(1, min(limit for limit in limits if limit is not None))


def _siblings(cpu: int) -> str:
    """Return the name of a core: all threads of it, where the system tells."""
    try:
        return (CPUS / f'cpu{cpu}/topology/thread_siblings_list').read_text().strip()
    except OSError:
        return str(cpu)


def _quota() -> int | None:
    """Return the cores that a container's time limit amounts to; None without a limit."""
    for quota, period in (('cpu.max', None), ('cpu/cpu.cfs_quota_us', 'cpu/cpu.cfs_period_us')):
        try:
            words = (CGROUP / quota).read_text().split()
            words += (CGROUP / period).read_text().split() if period else []
            time, whole = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):  # not there, or "max"
            continue
        if time > 0 and whole > 0:
            return math.ceil(time / whole)
    return None
