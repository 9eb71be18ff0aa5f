"""One run to a folder, one writer to a result: locks that outlive no process."""

import errno
import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmssl.utils.io import is_alive

NAME = '.run.lock'
CLOSED = -1  # instead of the number of an open file
SIZE = 1024  # bytes of a record, so that it is written anew in place
BEAT, WATCH = 10.0, 30.0  # seconds between two signs of life, and of looking for one

_held: dict[str, '_Lock'] = {}


class InUseError(ValueError):
    """Another process writes there."""


@contextmanager
def lock_folder(folder: str | Path) -> Iterator[None]:
    """Keep a work folder for this process; make it if need be.

    Raises:
        InUseError: a run of another process is at work in it.
        OSError: it is no folder, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, 'Not a directory', str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    with _hold(folder / NAME, f'Folder {folder}', 'another folder with --work-dir'):
        yield


@contextmanager
def lock_file(path: str | Path, option: str) -> Iterator[None]:
    """Keep a result, a file or a folder, for this process.

    Args:
        path: the file or folder.
        option: the option that names it, for the message.

    Raises:
        InUseError: another process is writing it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _hold(path.with_name(f'.{path.name}.lock'), str(path), f'another one with {option}'):
        yield


def check_folder(folder: str | Path) -> None:
    """Make sure that a folder which this process keeps is still in its place.

    Raises:
        FileNotFoundError: it was removed, renamed or unmounted.
    """
    lock = _held.get(os.path.realpath(Path(folder) / NAME))
    if lock is not None and not lock.in_place():
        raise FileNotFoundError(
            errno.ENOENT,
            'the folder is gone: removed, renamed or unmounted during the run',
            str(folder),
        )


@contextmanager
def _hold(file: Path, what: str, else_use: str) -> Iterator[None]:
    key = os.path.realpath(file)
    if key in _held:  # held by this process, further out
        yield
        return
    lock = _held[key] = _Lock(file, what, else_use)
    try:
        lock.acquire()
        yield
    finally:
        del _held[key]
        lock.release()


class _Lock:
    """A lock file with the name of its holder.

    The kernel's record lock decides; it ends with its process, is not inherited by loading
    processes, and NFS passes it on. Where the file system has none, or keeps it to one machine, the
    record in the file does: host, process, and a count that the holder raises every 10 s. So the
    lock of a machine that died is taken over after 30 s without a sign of life, with no comparison
    of clocks.

    No library does both. filelock's `FileLock` is the kernel's alone and says nothing of its
    holder; its `SoftFileLease` has the record and the sign of life alone, so that a holder that
    was only suspended loses its folder to another one and both write.
    """

    def __init__(self, file: Path, what: str, else_use: str) -> None:
        self.file, self.what, self.else_use = file, what, else_use
        self.handle = CLOSED
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self.record: dict[str, Any] = {
            **_here(),
            'pid': os.getpid(),
            'beat': 0,
            'started': time.strftime('%Y-%m-%d %H:%M:%S'),
        }

    def acquire(self) -> None:
        while True:
            self.handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            decided = self._try()
            if self.in_place():
                break
            os.close(self.handle)  # the holder before removed the file meanwhile
        other = self._read()
        if other and self._lives(other, decided):
            self._refuse(other)
        self._write()
        self._thread = threading.Thread(target=self._beat, name='folder lock', daemon=True)
        self._thread.start()

    def _try(self) -> bool:
        """Lock the file; return False if its file system has no locks."""
        try:
            fcntl.lockf(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                self._refuse(self._read() or {})
            return False
        return True

    def _refuse(self, other: dict) -> None:
        os.close(self.handle)
        self.handle = CLOSED
        who = (
            f'process {other["pid"]} on {other["host"]}, started {other["started"]},'
            if other
            else 'another process'
        )
        raise InUseError(
            f'{self.what} is in use: {who} writes to it. Wait for it or end it, or '
            f'choose {self.else_use}'
        )

    def _lives(self, other: dict, decided: bool) -> bool:
        here = _here()
        if all(other[key] == here[key] for key in here):
            return not decided and other['pid'] != os.getpid() and is_alive(other['pid'])
        print(
            f'{self.what} was used by process {other["pid"]} on {other["host"]}: looking for '
            f'{WATCH:.0f} s whether it is alive',
            file=sys.stderr,
            flush=True,
        )
        until = time.monotonic() + WATCH
        while time.monotonic() < until:
            time.sleep(min(1.0, WATCH / 10))
            with suppress(OSError):
                now = _parse(self.file.read_bytes()) if not decided else self._read()
                if now and now['beat'] != other['beat']:
                    return True
        return False

    def _read(self) -> dict | None:
        return _parse(os.pread(self.handle, SIZE, 0))

    def _write(self) -> None:
        data = json.dumps(self.record).encode().ljust(SIZE)
        os.pwrite(self.handle, data[:SIZE], 0)
        os.fsync(self.handle)

    def _beat(self) -> None:
        while not self._done.wait(BEAT):
            self.record['beat'] += 1
            with suppress(OSError):  # the checkpoint hook says what is wrong with the disk
                self._write()

    def in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.file), os.fstat(self.handle))
        except OSError:
            return False

    def release(self) -> None:
        if self.handle == CLOSED or self.record['pid'] != os.getpid():
            return
        self._done.set()
        if self._thread is not None:
            self._thread.join(1.0)
            with suppress(OSError):
                if self.in_place():
                    os.unlink(self.file)
        os.close(self.handle)
        self.handle = CLOSED


def _here() -> dict[str, str]:
    """Return what tells this machine, as it runs now, from others."""
    boot = Path('/proc/sys/kernel/random/boot_id')
    return {'host': socket.gethostname(), 'boot': boot.read_text().strip() if boot.exists() else ''}


def _parse(data: bytes) -> dict | None:
    try:
        found = json.loads(data)
        return {k: found[k] for k in ('host', 'boot', 'pid', 'started', 'beat')}
    except (ValueError, KeyError, TypeError):
        return None
