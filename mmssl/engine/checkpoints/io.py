"""Checkpoint files: read without running code, written whole or not at all."""

import errno
import hashlib
import os
import pickle
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

import torch

from mmssl.engine.checkpoints.download import fetch_once
from mmssl.engine.checkpoints.errors import (
    IncompleteCheckpointError,
    RefusedCheckpointError,
    UnreadableCheckpointError,
)
from mmssl.engine.checkpoints.folder import checkpoint_candidates
from mmssl.engine.checkpoints.integrity import check_sizes, check_sound, seal
from mmssl.utils.io import whole_file

__all__ = [
    'IncompleteCheckpointError',
    'RefusedCheckpointError',
    'UnreadableCheckpointError',
    'atomic_save',
    'checkpoint_candidates',
    'install_safe_loading',
    'load_checkpoint_file',
]


def load_checkpoint_file(path: str | Path | BinaryIO, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint of tensors and plain values; nothing in the file is executed.

    The file is compared with its checksums first.

    Args:
        path: file name, or an open binary file.
        map_location: as in `torch.load`.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableCheckpointError: the file is there, but may not or cannot be read.
        RefusedCheckpointError: the file would run code when it is unpickled.
        IncompleteCheckpointError: the file is cut short, damaged, empty or of another kind.
    """
    if not isinstance(path, (str, Path)):
        return _read(path, getattr(path, 'name', 'the checkpoint stream'), map_location)
    name = str(path)
    try:
        with _open(os.path.expanduser(name), name) as file:
            return _read(file, name, map_location)
    except OSError as error:
        if isinstance(error, (FileNotFoundError, UnreadableCheckpointError)):
            raise
        raise UnreadableCheckpointError(
            f'Checkpoint "{name}" cannot be read: {error.strerror or error}. It may be sound: set '
            'its rights or mend the disk, or name another file'
        ) from None


def _open(source: str, name: str) -> BinaryIO:
    try:
        kind = os.stat(source).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f'Checkpoint "{name}" does not exist') from None
    if not stat.S_ISREG(kind):
        raise UnreadableCheckpointError(f'Checkpoint "{name}" is no file: name an iter_*.pth')
    return open(source, 'rb')


def _read(file: BinaryIO, name: str, map_location: Any) -> Any:
    size = file.seek(0, 2)
    if size == 0:
        raise IncompleteCheckpointError(f'Checkpoint "{name}" is empty (0 bytes)')
    check_sound(file, name)
    plain_pickle = file.read(1) == b'\x80'
    file.seek(0)
    try:
        content = torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise _explain(name, str(error), plain_pickle) from None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _not_a_checkpoint(name, error) from None
    except (
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        MemoryError,
        AssertionError,
    ) as error:
        raise _not_a_checkpoint(name, error) from None
    check_sizes(content, size, name)
    return content


def _not_a_checkpoint(name: str, error: Exception) -> IncompleteCheckpointError:
    text = ' '.join(str(error).split())[:160] or type(error).__name__
    return IncompleteCheckpointError(
        f'Checkpoint "{name}" cannot be read: it is cut short or not a checkpoint ({text})'
    )


def _explain(name: str, text: str, plain_pickle: bool) -> ValueError:
    found = re.search(r'(?:GLOBAL|global|class)\s+(`?[\w.]+`?)', text)
    if found is None and 'blocked' not in text and not plain_pickle:
        return IncompleteCheckpointError(
            f'Checkpoint "{name}" cannot be read: it is cut short or not a checkpoint'
        )
    what = found.group(1).strip('`') if found else 'an object'
    return RefusedCheckpointError(
        f'Checkpoint "{name}" is refused: it asks for {what}, and mmssl reads only tensors and '
        'plain values, so that no file can run code. Nothing of it was executed. If you trust its '
        'source, save its weights again with torch.save(model.state_dict(), FILE) where it '
        'was made'
    )


def load_from_local(filename, map_location=None):
    """Read a checkpoint from the disk (mmengine's scheme without a prefix)."""
    return load_checkpoint_file(filename, map_location)


def load_from_http(filename, map_location=None, model_dir=None, progress=False):
    """Download a checkpoint once (local rank 0) and read it with `load_checkpoint_file`."""
    return load_checkpoint_file(fetch_once(filename, model_dir, progress), map_location)


def _refuse_store(filename, map_location=None, **options):
    """Stand in for mmengine's clients of stores, which need packages that are not public."""
    raise ValueError(
        f'Checkpoint "{filename}" lies in a store that is not read from here; fetch the file by '
        'other means and name it by its path'
    )


def _safe_torch_load(file, map_location=None, weights_only=None):
    """Stand in for mmengine's loader, which retries with `weights_only=False`."""
    return load_checkpoint_file(file, map_location)


def install_safe_loading() -> None:
    """Make every path of mmengine that reads a checkpoint use `load_checkpoint_file`.

    `load_from`, resuming, testing, the APIs, `init_cfg=dict(type='Pretrained')` and all URL
    schemes go through `mmengine.runner.checkpoint`.
    """
    from mmengine.runner import checkpoint

    checkpoint._safe_torch_load = _safe_torch_load
    checkpoint.load_from_local = load_from_local
    checkpoint.load_from_http = load_from_http
    checkpoint.load_url = load_from_http
    register = checkpoint.CheckpointLoader.register_scheme
    register('', load_from_local, force=True)
    register(('http://', 'https://'), load_from_http, force=True)
    register((r'(\S+\:)?s3://', r'(\S+\:)?petrel://', 'pavi://'), _refuse_store, force=True)


class _Recorder:
    """Pass writes through, hash them, and keep the first OSError, which torch.save would hide."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.error: OSError | None = None
        self.sha256 = hashlib.sha256()

    def write(self, data) -> int:
        try:
            written = self.file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise
        self.sha256.update(data)
        return written

    def flush(self) -> None:
        self.file.flush()


def atomic_save(obj: Any, path: str | Path) -> None:
    """Write an object with torch.save so that `path` is the old file or the whole new one.

    A temporary file in the same folder is written, flushed to the disk and renamed. Its checksum
    stands at its end.

    Raises:
        OSError: the file could not be written (full disk, no permission); `path` is as before.
    """
    path = Path(path)
    with whole_file(path) as file:
        recorder = _Recorder(file)
        try:
            torch.save(obj, recorder)  # type: ignore[arg-type]  # needs `write` and `flush` alone
        except RuntimeError:
            if recorder.error is not None:
                raise recorder.error from None
            raise
        seal(file, recorder.sha256)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some network file systems cannot sync a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)
