"""Run a command line tool in this process, with a time limit, and look at how it ends."""

import importlib.util
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmssl.utils import cli

ROOT = Path(__file__).parents[1]
LIMIT = 30  # seconds; a case takes about one


class TooLong(BaseException):
    """A case did not end in time; no handler of errors takes it."""


@contextmanager
def time_limit(seconds: float):
    """End what takes longer."""

    def ring(*_) -> None:
        raise TooLong(f'no end within {seconds} s')

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def tool(name: str) -> Callable:
    """Return the `main` of a tool."""
    path = ROOT / 'tools' / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def call(monkeypatch, capsys, name: str, argv: Sequence, limit: float = LIMIT) -> tuple[int, str]:
    """Return the exit code of a tool and what it wrote to the error stream."""
    from mmengine.logging import MMLogger

    from mmssl.utils.processes.signals import signals

    # A run that starts in the second of another would get its logger, whose stream is closed.
    monkeypatch.setattr(MMLogger, '_instance_dict', type(MMLogger._instance_dict)())
    monkeypatch.setattr(sys, 'argv', [name, *map(str, argv)])
    monkeypatch.setattr(signals, 'listen', lambda *_: None)
    monkeypatch.delenv('MMSSL_DEBUG', raising=False)
    monkeypatch.setattr(cli, '_tracebacks', cli._tracebacks[:1])
    path = list(sys.path)
    capsys.readouterr()
    try:
        with time_limit(limit):
            cli.run(tool(name))
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.path[:] = path
    return code, capsys.readouterr().err


def last_line(errors: str) -> str:
    """Return the line that a user reads."""
    lines = [line for line in errors.splitlines() if line.strip()]
    return lines[-1] if lines else ''
