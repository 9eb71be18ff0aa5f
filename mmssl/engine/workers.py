"""Loading processes: what they are told at their start, and how their end is explained."""

import errno
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.queues import Queue

from torch.utils.data import DataLoader

from mmssl.utils.processes import die_with_parent
from mmssl.utils.signals import ASKING

TIMEOUT = 300  # seconds that a batch may take, unless the config says otherwise
OPEN_FILES = 65536
# Exit statuses of a loading process that could not hand a batch over.
NO_SHARED_MEMORY, NO_FILES, NOT_SENT = 81, 82, 83


def prepare_workers(loader: DataLoader) -> DataLoader:
    """Let the loading processes of a loader leave signals to the main one and end with it.

    A batch that a process cannot hand over would be lost and waited for: such a process ends with a
    status that `mmssl.utils.machine.loading_fault` explains. Every tensor on its way takes an open
    file, so their number is raised to what the system allows.
    """
    if loader.num_workers:
        raise_open_files()
        loader.worker_init_fn = partial(_start, loader.worker_init_fn, os.getpid())
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


def _start(init: Callable[[int], None] | None, parent: int, worker_id: int) -> None:
    die_with_parent(parent)
    for number in ASKING:
        # Schedulers and terminals send theirs to all processes. The main one may still need this
        # one, and tells it when to end; SIGTERM is how, so its second one counts.
        signal.signal(number, _once if number == signal.SIGTERM else signal.SIG_IGN)
    Queue._on_queue_feeder_error = staticmethod(_give_up)
    if init is not None:
        init(worker_id)


def _once(number: int, frame) -> None:
    signal.signal(number, signal.SIG_DFL)


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
