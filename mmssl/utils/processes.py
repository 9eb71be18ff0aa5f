"""Children that end with their parent."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping

PR_SET_PDEATHSIG = 1
# The process number of who starts a tool; set by launchers, job runners and the quickstart.
PARENT = 'MMSSL_PARENT'


def for_child(environment: Mapping[str, str] | None = None, **more: str) -> dict[str, str]:
    """Return the environment for a tool that is to end with this process."""
    return {**(os.environ if environment is None else environment), **more,
            PARENT: str(os.getpid())}  # fmt: skip


def end_with_launcher() -> None:
    """Let this process end with the one that started it, if that is a launcher or job runner."""
    parent = os.environ.pop(PARENT, '')
    if parent.isdecimal():
        die_with_parent(int(parent))
    elif 'TORCHELASTIC_RUN_ID' in os.environ:  # torchrun, called by hand
        die_with_parent()


def die_with_parent(parent: int | None = None, number: int = signal.SIGKILL) -> None:
    """Let this process get a signal when the one that started it ends.

    On Linux the kernel sends it; elsewhere a thread looks once a second.

    Args:
        parent: its process number, where the caller knows it: if it has gone already, this process
            ends at once.
        number: the signal.
    """
    if sys.platform.startswith('linux'):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
    else:
        threading.Thread(target=_watch, args=(os.getppid(), number), daemon=True).start()
    # One that lives, but is no parent, has started this process through a wrapper.
    if parent is not None and os.getppid() != parent and not _lives(parent):
        os.kill(os.getpid(), number)


def _watch(parent: int, number: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), number)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
