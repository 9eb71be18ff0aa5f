"""Commands that a job or the quickstart starts: logged, timed, and ended with their starter."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from mmssl.utils.processes.children import end, for_child

PATIENCE = 20.0  # seconds that a stopped command has to end by itself
TAIL = 12  # lines of a log that are shown when a command fails


class Command:
    """A command under way; its output goes to a log, and it ends with this process.

    Args:
        words: program and arguments.
        log: its log file, written on.
        cwd: folder in which it runs; None means here.
        show: leave its messages and its progress on the screen.
        **environment: variables on top of those of this process.
    """

    def __init__(
        self,
        words: Sequence[str],
        log: Path,
        cwd: Path | None = None,
        show: bool = False,
        **environment: str,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.words, self.log, self.begin = list(words), log, time.monotonic()
        self._start = log.stat().st_size if log.exists() else 0
        progress = '1' if show else '0'
        with log.open('a') as file:
            print('$', shlex.join(words), file=file, flush=True)
            # Ctrl-C reaches this process alone, which passes it on once.
            self.process = subprocess.Popen(
                self.words,
                cwd=cwd,
                env=for_child(None, MMSSL_PROGRESS=progress, PYTHONUNBUFFERED='1', **environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=None if show else file,
                start_new_session=True,
            )

    def code(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self.process.poll()

    def wait(self) -> int:
        """Wait for the end and return the exit status; an interruption ends the command."""
        try:
            return self.process.wait()
        finally:
            self.end()

    def seconds(self) -> float:
        """Return the time since its start."""
        return time.monotonic() - self.begin

    def said(self) -> str:
        """Return what it has written into its log."""
        with self.log.open('rb') as file:
            file.seek(self._start, os.SEEK_SET)
            return file.read().decode(errors='replace')

    def explain(self) -> str:
        """Say how it ended, with the end of its log."""
        code = self.process.returncode
        how = f'signal {signal.Signals(-code).name}' if code < 0 else f'exit status {code}'
        lines = self.said().splitlines()[-TAIL:]
        return f'ended with {how}; the end of {self.log}:\n    ' + '\n    '.join(lines)

    def end(self, patience: float | None = None) -> None:
        """End it: Ctrl-C first, which tools turn into a clean end, the hard way if need be."""
        end([self.process], PATIENCE if patience is None else patience)
