"""Loading processes: what they are told at their start, and how their end is explained."""

import atexit
import errno
import logging
import mmap
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.queues import Queue

import cv2
from mmengine.logging import print_log
from torch.utils.data import DataLoader

from mmssl.utils.machine import FEWER, free_shared_memory
from mmssl.utils.processes.children import die_with_parent
from mmssl.utils.processes.signals import ASKING

TIMEOUT = 300  # seconds that a batch may take, unless the config says otherwise
OPEN_FILES = 65536
FILES, FILES_OF_WORKER = 64, 32  # of a training, and of each process with two batches on their way
ROOM_OF_WORKER = 32e6  # bytes of shared memory below which it is worth a word
# Exit statuses of a loading process that could not hand a batch over.
NO_SHARED_MEMORY, NO_FILES, NOT_SENT = 81, 82, 83


def prepare_workers(loader: DataLoader) -> DataLoader:
    """Let the loading processes of a loader leave signals to the main one and end with it.

    A batch that a process cannot hand over would be lost and waited for: such a process ends with a
    status that `mmssl.utils.machine.loading_fault` explains. Every tensor on its way takes an open
    file, so their number is raised to what the system allows.

    Raises:
        ValueError: that is too few.
    """
    if loader.num_workers:
        raise_open_files()
        _check(loader.num_workers)
        context = loader.multiprocessing_context or multiprocessing
        forked = context.get_start_method() == 'fork'
        loader.worker_init_fn = partial(_start, loader.worker_init_fn, os.getpid(), forked)
    return loader


def raise_open_files() -> None:
    """Raise the number of files this process may open as far as it may raise it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):  # macOS has another limit besides
            pass


def _check(count: int) -> None:
    files, room = resource.getrlimit(resource.RLIMIT_NOFILE)[0], free_shared_memory()
    if files != resource.RLIM_INFINITY and files < FILES + FILES_OF_WORKER * count:
        raise ValueError(
            f'{count} loading processes need about {FILES + FILES_OF_WORKER * count} '
            f'open files, but {files} are allowed: raise the limit (ulimit -n 65536) '
            f'or {FEWER}'
        )
    if room is not None and room < ROOM_OF_WORKER * count:
        print_log(
            f'Shared memory (/dev/shm) has {room / 1e6:.0f} MB free for {count} loading '
            'processes: if it is too little, enlarge it (docker run --shm-size=8g) or '
            f'{FEWER}',
            'current',
            logging.WARNING,
        )


def _start(init: Callable[[int], None] | None, parent: int, forked: bool, worker_id: int) -> None:
    die_with_parent(parent)
    for number in ASKING:
        # Schedulers and terminals send theirs to all processes, and the main one may still need
        # this one, which it ends by SIGTERM.
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
        elif forked:
            signal.signal(number, _end_if_meant)
    cv2.setNumThreads(0)  # a fork has the main process's setting, another process has not
    Queue._on_queue_feeder_error = staticmethod(_give_up)  # type: ignore[attr-defined]  # no stub
    if init is not None:
        init(worker_id)


def _end_if_meant(number: int, frame) -> None:
    if _leaving[0]:
        os._exit(0)
    signal.signal(number, signal.SIG_DFL)  # a second one is


# One byte that forked processes share: whether the main one is at its end.
_leaving = mmap.mmap(-1, 1)


@atexit.register  # after multiprocessing was imported, so it is called before its own
def _leave() -> None:
    _leaving[0] = 1


def _give_up(error: BaseException, batch) -> None:
    text = str(error)
    if getattr(error, 'errno', None) == errno.EMFILE or 'Too many open files' in text:
        status = NO_FILES
    elif getattr(error, 'errno', None) == errno.ENOSPC or 'shared memory' in text:
        status = NO_SHARED_MEMORY
    else:
        status = NOT_SENT
        print(f'a loading process could not hand a batch over: {error!r}', file=sys.stderr)
    sys.stderr.flush()
    os._exit(status)
