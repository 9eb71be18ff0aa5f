"""Children that end with their parent, or before it, cleanly."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

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


def end(children: Sequence[subprocess.Popen], patience: float = 20.0) -> None:
    """End children: Ctrl-C first, which tools turn into a clean end, and the hard way if need be.

    Args:
        children: started with `start_new_session=True`; those that have ended are left alone.
        patience: seconds they have to end by themselves.
    """
    alive = [child for child in children if child.poll() is None]
    deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # the children inherited that
    try:
        for child in alive:
            child.send_signal(signal.SIGTERM if deaf else signal.SIGINT)
        until = time.monotonic() + patience
        for child in alive:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(until - time.monotonic(), 0))
    finally:
        for child in alive:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)  # with its loading processes
                child.wait()


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    old = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                old[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
