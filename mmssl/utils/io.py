"""Writing files so that a reader never meets half of one."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

# `.NAME.HOST.PID` and this: a file that becomes NAME when it is whole.
TEMPORARY = '.tmp-mmssl'
LONGEST = 150  # characters of NAME that fit with the rest into the name of a file


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Write a small file whole or not at all: temporary file, flush to disk, rename.

    Args:
        path: the file; its folder is made if need be.
        content: text (written as UTF-8) or bytes.

    Raises:
        OSError: the file could not be written; it names the file, which is as before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator:
    """Open a temporary file beside `path`, which takes its place when the block ends well.

    Raises:
        OSError: as `write_atomic`.
    """
    start = f'.{path.name[:LONGEST]}.{socket.gethostname()}'
    temporary = path.with_name(f'{start}.{os.getpid()}{TEMPORARY}')
    try:
        with open(temporary, 'w+b') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def read_json(path: str | Path, otherwise: Any) -> Any:
    """Return what a note of a run holds; where it is not there or is broken, what is given."""
    try:
        content = json.loads(Path(path).read_bytes())
    except (FileNotFoundError, ValueError):
        return otherwise
    return content if isinstance(content, type(otherwise)) else otherwise


def remove_temporaries(folder: str | Path, name: str | None = None) -> list[str]:
    """Remove what dead processes left half-written in a folder; return the names removed.

    The folder, or the file, must be the caller's alone (`mmssl.utils.processes.folder_lock`):
    whoever wrote these files is gone then, whatever process has its number today. Below the
    folder, where others may be at work, only files go whose process on this machine has died.

    Args:
        folder: the folder.
        name: the file whose temporaries are meant; None means all, and those below.
    """
    folder = Path(folder)
    start = f'{escape(name[:LONGEST])}.' if name else ''
    own = folder.glob(f'.{start}*{TEMPORARY}')
    below = () if name else folder.glob(f'*/**/.*{TEMPORARY}')
    removed = []
    for path in [*sorted(own), *(path for path in sorted(below) if not _in_use(path))]:
        path.unlink(missing_ok=True)
        removed.append(path.name)
    return removed


def _in_use(temporary: Path) -> bool:
    """Tell whether the process that writes a file may be alive: on another machine, always."""
    start, _, pid = temporary.name.removesuffix(TEMPORARY).rpartition('.')
    if not pid.isdigit() or not start.endswith(f'.{socket.gethostname()}'):
        return True
    return int(pid) != os.getpid() and is_alive(int(pid))


def is_alive(pid: int) -> bool:
    """Tell whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
