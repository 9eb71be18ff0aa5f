"""Signals that ask a run to end: noted while an iteration is under way, raised otherwise."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# "Stopped before its end, start the same command again": EX_TEMPFAIL of sysexits.h.
GO_ON = 75
# Ctrl-C, the end of a job, a closed terminal, and the notices of Slurm, Grid Engine and LSF.
ASKING = tuple(
    getattr(signal, name)
    for name in ('SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGXCPU')
    if hasattr(signal, name)
)
URGENT = (signal.SIGINT, signal.SIGTERM)  # a second one of these ends a run at once
# A terminal, `timeout` and torchrun each send what they got to processes that got it already.
ECHO, ECHO_OF_LAUNCHER = 0.3, 3.0


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end."""


class Signals:
    """What this process was asked, and what it is doing.

    The first signal ends the run: within `deferred()` it is only noted, and whoever is at work
    there looks at `asked` where it can stop; elsewhere it raises `Interrupted` at once. A second
    SIGINT or SIGTERM ends the process on the spot.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.raised = False
        self._deferred = 0
        self._since: float | None = None
        self._owner = 0

    def listen(self) -> None:
        """Install the handlers; what was ignored from outside stays so (`nohup`, `&`)."""
        self.__init__()  # type: ignore[misc]
        self._owner = os.getpid()
        for number in ASKING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._receive)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Note signals instead of raising."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1

    def exit_code(self) -> int:
        """Return the exit status of a run that was asked to end: 130 for Ctrl-C, else 75."""
        return 130 if self.asked in (None, signal.SIGINT) else GO_ON

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a child that has not set its own handlers yet
            return
        if number in URGENT:
            now = time.monotonic()
            echo = ECHO_OF_LAUNCHER if 'LOCAL_RANK' in os.environ else ECHO
            if self._since is not None and now - self._since > echo:
                _say(f'{_name(number)} again: ending at once')
                os._exit(128 + number)
            self._since = now if self._since is None else self._since
        if self.asked is not None:
            return
        self.asked = number
        if self._deferred:
            _say(f'{_name(number)}: ending after this iteration and a checkpoint (again: at once)')
            return
        self.raised = True
        raise Interrupted


def _name(number: int) -> str:
    return signal.Signals(number).name


def _say(text: str) -> None:
    try:
        os.write(2, f'\n{text}\n'.encode())  # print() must not be entered twice
    except OSError:
        pass


signals = Signals()
