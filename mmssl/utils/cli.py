"""What the command line tools share: errors as one line, and exit codes."""

import argparse
import dis
import linecache
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from mmssl.utils.errors import SettingError, TypoError, shown
from mmssl.utils.machine import loading_fault, no_room, place_gone
from mmssl.utils.packaged import as_typed, typed_command
from mmssl.utils.processes.children import end_with_launcher
from mmssl.utils.processes.memory import keep_freed_memory
from mmssl.utils.processes.signals import signals
from mmssl.utils.processes.threads import wait_quietly

PACKAGE = Path(__file__).resolve().parents[1]

# Exit codes: something the user can set right, a name that does not exist in a config, something
# that nobody foresaw.
USER_ERROR, TYPO, UNFORESEEN = 1, 2, 70
NOT_READ = 141  # who read what was printed has gone, as `head` does: 128 + SIGPIPE

_tracebacks = [Path(tempfile.gettempdir())]


class Parser(argparse.ArgumentParser):
    """The command line of a tool, whose help names the tools as the user does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault('prog', ' '.join(typed_command()) or None)
        super().__init__(*args, **options)

    def format_help(self) -> str:
        """Return the help."""
        return as_typed(super().format_help())


def run(main: Callable[[], int | None]) -> None:
    """Run a tool; end every error with one line and an exit code.

    What mmssl refuses, and what a user can set right, ends with code 1, a name in a config that
    does not exist with 2, Ctrl-C with 130, another signal that asks to end with 75. Everything else
    ends with 70; its traceback is kept in a file, which the line names. `MMSSL_DEBUG=1` shows every
    traceback. Where nobody reads what is printed any more, as below `| head`, nothing is said.
    """
    end_with_launcher()
    wait_quietly()
    keep_freed_memory()
    with while_read():
        _run(main)


def _run(main: Callable[[], int | None]) -> None:
    try:
        code = main()
    except KeyboardInterrupt as interrupt:
        _say_interrupted(interrupt)
    except Exception as error:
        if signals.raised:  # a library made something else of the interruption
            _say_interrupted(KeyboardInterrupt())
        if isinstance(error, BrokenPipeError) and _unread():
            _leave(NOT_READ)
        if os.environ.get('MMSSL_DEBUG', '0') not in ('', '0'):
            raise
        text, code = explain(error)
        if text is None:
            text = unforeseen(error)
        rank = os.environ.get('RANK', os.environ.get('SLURM_PROCID'))
        where = f'[rank {rank}] ' if rank is not None else ''
        print(f'{where}error: {as_typed(text)}', file=sys.stderr)
        _leave(code)
    else:
        if code:
            _leave(code)


@contextmanager
def while_read() -> Iterator[None]:
    """End the process without a word when who reads what it prints has gone.

    Raises:
        SystemExit: this was so; its code is that of a process which SIGPIPE ended.
    """
    try:
        yield
    except BrokenPipeError:
        if not _unread():
            raise
        _leave(NOT_READ)
    except BaseException:
        _unread()  # the code of this exit counts
        raise
    else:
        if _unread():
            _leave(NOT_READ)


def _unread() -> bool:
    """Tell whether something was printed that nobody reads; it is dropped."""
    found = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # what was not written stays in the buffer
            found = True
            # At its end Python would flush it once more, and complain.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except (AttributeError, OSError, ValueError):  # there is none, or it is closed
            continue
    return found


def _say_interrupted(interrupt: KeyboardInterrupt) -> None:
    text = str(interrupt)
    print(f'\ninterrupted{": " + text if text else ""}', file=sys.stderr)
    _leave(signals.exit_code())


def is_first(launcher: str) -> bool:
    """Tell whether this is the first of the processes that a launcher started."""
    rank = os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0'))
    return launcher == 'none' or rank == '0'


def _leave(code: int) -> None:
    # A rank that waits for the others at exit would keep the failure from them.
    _unread()
    # Loading processes that a signal ended are no fault any more: torch would report each.
    if hasattr(signal, 'SIGCHLD'):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if 'RANK' in os.environ or 'SLURM_PROCID' in os.environ:
        os._exit(code)
    sys.exit(code)


def keep_tracebacks_in(folder: str | Path) -> None:
    """Say where the traceback of an error that nobody foresaw belongs: in the work folder.

    Raises:
        SettingError: that is no folder's name; an empty one would mean the current folder.
    """
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise SettingError(f'work_dir is {shown(folder)}; it must be the path of a folder')
    _tracebacks.append(Path(folder))


def explain(error: BaseException) -> tuple[str | None, int]:
    """Return the line for a user and the exit code; no line if nobody foresaw the error."""
    if isinstance(error, TypoError):
        return message(error), TYPO
    if _is_deliberate(error):
        return message(error) + _within(error), USER_ERROR
    text = (
        wrong_channels(error)
        or lonely_image(error)
        or loading_fault(error)
        or no_room(error)
        or place_gone(error)
        or no_place(error)
        or not_built(error)
    )
    return text, USER_ERROR if text else UNFORESEEN


def message(error: BaseException) -> str:
    """Return an error's own words, also when a data loading worker passed it on."""
    text = str(error.args[0]) if len(error.args) == 1 else str(error)
    if 'Original Traceback' in text:
        text = re.split(rf'\n(?:[\w.]+\.)?{type(error).__name__}: ', text)[-1]
        if isinstance(error, KeyError):
            text = text.strip().strip('"\'')
    return ' '.join(text.split())


def unforeseen(error: BaseException) -> str:
    """Return the line of an error that nobody foresaw; its traceback goes into a file."""
    words = message(error)
    words = f'{words[:300]} ...' if len(words) > 300 else words
    frames = traceback.extract_tb(error.__traceback__)
    place = f' ({frames[-1].filename}, line {frames[-1].lineno})' if frames else ''
    said = f'{type(error).__name__}{": " if words else ""}{words}{place}; this was not foreseen'
    text = ''.join(traceback.format_exception(error))
    for folder in reversed(_tracebacks):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                'w', prefix='error_', suffix='.txt', dir=folder, delete=False
            ) as file:
                file.write(text)
            return f'{said}: its traceback is in {file.name}, MMSSL_DEBUG=1 shows it'
        except OSError:
            continue
    return f'{said}: MMSSL_DEBUG=1 shows its traceback'


def _is_deliberate(error: BaseException) -> bool:
    """Whether a `raise` of ours made the error, and not a slip in our code."""
    text = str(error)
    if 'Original Traceback' in text:  # a data loading worker's
        found = re.findall(r'File "([^"]+)", line (\d+)', text)
        return (
            bool(found)
            and _is_ours(found[-1][0])
            and linecache.getline(found[-1][0], int(found[-1][1])).lstrip().startswith('raise ')
        )
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and _raises(trace) and _is_ours(trace.tb_frame.f_code.co_filename)


def _raises(trace: TracebackType) -> bool:
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap['RAISE_VARARGS']


def _is_ours(file: str) -> bool:
    path = Path(file).resolve()
    return path.is_relative_to(PACKAGE) or path.is_relative_to(PACKAGE.parent / 'tools')


def no_place(error: BaseException) -> str | None:
    """Explain that a file or folder cannot be read or written."""
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return None
    return (
        f'"{error.filename}": {error.strerror}; choose another place, for example with '
        '--work-dir, or set its rights'
    )


def _within(error: BaseException) -> str:
    """Say which component holds the one whose config does not fit."""
    call = getattr(error, 'component', None) if isinstance(error, SettingError) else None
    return f' (in {call.partition("(")[0]})' if call else ''


def not_built(error: BaseException) -> str | None:
    """Explain that a component of another package does not take its options."""
    call = getattr(error, 'component', None)
    if call is None:
        return None
    return f'{type(error).__name__}: {message(error)}, in building {call}'


def wrong_channels(error: BaseException) -> str | None:
    """Explain that a network takes grey images and is given colour ones, or the other way round."""
    found = re.search(r'to have ([13]) channels, but got ([13]) channels instead', str(error))
    if not isinstance(error, RuntimeError) or found is None:
        return None
    wanted, given = found.groups()
    repeat = ', or data_preprocessor.sizes.<student>.channels=3' if given == '1' else ''
    return (
        f'a network takes images of {wanted} channel(s), the data set gives {given}: set '
        f'in_channels={given} in the backbone of the student{repeat}'
    )


def lonely_image(error: BaseException) -> str | None:
    """Explain that a network has no batch statistics of one image."""
    if not isinstance(error, ValueError) or 'more than 1 value per channel' not in str(error):
        return None
    return (
        'a network with BatchNorm, which needs two values of each channel, is given one image '
        'of one process: raise batch_sampler.num_labelled and num_unlabelled to two for each '
        "process, or give the student norm_cfg=dict(type='GN', num_groups=...)"
    )
