"""Checkpoint files: read without running code, written whole or not at all."""

import errno
import os
import pickle
import re
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from torch import nn

from mmssl.utils.io import whole_file


class RefusedCheckpointError(ValueError):
    """A file holds more than tensors and plain values, so it is not read at all."""


class IncompleteCheckpointError(ValueError):
    """A file is empty, cut short or no checkpoint."""


def load_checkpoint_file(path: str | Path | BinaryIO, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint of tensors and plain values; nothing in the file is executed.

    Args:
        path: file name, or an open binary file.
        map_location: as in `torch.load`.

    Raises:
        FileNotFoundError: there is no such file.
        RefusedCheckpointError: the file would run code when it is unpickled.
        IncompleteCheckpointError: the file is cut short, empty or of another kind.
    """
    named = isinstance(path, (str, Path))
    name = str(path) if named else getattr(path, 'name', 'the checkpoint stream')
    source = os.path.expanduser(name) if named else path
    if named and not os.path.isfile(source):
        raise FileNotFoundError(f'Checkpoint "{name}" does not exist')
    if named and os.path.getsize(source) == 0:
        raise IncompleteCheckpointError(f'Checkpoint "{name}" is empty (0 bytes)')
    try:
        return torch.load(source, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise _explain(name, str(error), named and _is_pickle(source)) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        text = ' '.join(str(error).split())[:160] or type(error).__name__
        raise IncompleteCheckpointError(
            f'Checkpoint "{name}" cannot be read: it is cut short or not a checkpoint ({text})'
        ) from None


def _is_pickle(path: str) -> bool:
    with open(path, 'rb') as file:
        return file.read(1) == b'\x80'


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
        "source, save its weights again with torch.save(model.state_dict(), FILE) where it "
        'was made'
    )


def load_weights(
    model: nn.Module, checkpoint: Any, name: str, strict: bool, revise_keys=((r'^module\.', ''),)
) -> None:
    """Put the parameters of a loaded checkpoint into a model.

    Args:
        model: the model.
        checkpoint: what `load_checkpoint_file` returned.
        name: file name, for messages.
        strict: whether the names must be those of the model.
        revise_keys: pairs of pattern and replacement applied to the names.

    Raises:
        ValueError: there are no parameters, or, with `strict`, others than the model's.
    """
    from mmengine.runner.checkpoint import _load_checkpoint_to_model

    if not isinstance(checkpoint, dict):
        kind = type(checkpoint).__name__
        raise ValueError(f'Checkpoint "{name}" holds a {kind}, not parameters by name')
    try:
        _load_checkpoint_to_model(model, checkpoint, strict, revise_keys=list(revise_keys))
    except RuntimeError as error:
        text = ' '.join(str(error).split())
        text = text if len(text) < 400 else text[:400] + ' ...'
        raise ValueError(f'Checkpoint "{name}" does not fit the model: {text}') from None


def load_from_local(filename, map_location=None):
    """Read a checkpoint from the disk (mmengine's scheme without a prefix)."""
    return load_checkpoint_file(filename, map_location)


def load_from_http(filename, map_location=None, model_dir=None, progress=False):
    """Download a checkpoint once (local rank 0) and read it with `load_checkpoint_file`."""
    folder = Path(model_dir or Path(torch.hub.get_dir()) / 'checkpoints')
    file = folder / Path(urlparse(filename).path).name
    if is_main_process() or int(os.environ.get('LOCAL_RANK', 0)) == 0:
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(filename, str(file), progress=progress)
    barrier()
    return load_checkpoint_file(file, map_location)


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


class _Recorder:
    """Pass writes through and keep the first OSError, which torch.save would hide."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.error: OSError | None = None

    def write(self, data) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self.file.flush()


def atomic_save(obj: Any, path: str | Path) -> None:
    """Write an object with torch.save so that `path` is the old file or the whole new one.

    A temporary file in the same folder is written, flushed to the disk and renamed.

    Raises:
        OSError: the file could not be written (full disk, no permission); `path` is as before.
    """
    path = Path(path)
    with whole_file(path) as file:
        recorder = _Recorder(file)
        try:
            torch.save(obj, recorder)
        except RuntimeError:
            if recorder.error is not None:
                raise recorder.error from None
            raise
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


def checkpoint_candidates(work_dir: str | Path) -> list[Path]:
    """Return the files a run may go on from, the best first.

    First the file named by `last_checkpoint`, then the other `iter_*.pth` and `epoch_*.pth`
    beside it and in `work_dir`, from the highest number down.
    """
    work_dir = Path(work_dir)
    pointer = work_dir / 'last_checkpoint'
    pointed = Path(pointer.read_text().strip()) if pointer.is_file() else None
    folders = [work_dir] + ([pointed.parent] if pointed is not None else [])
    found = {}
    for folder in folders:
        for file in folder.glob('*.pth'):
            match = re.fullmatch(r'(?:iter|epoch)_(\d+)', file.stem)
            if match:
                found[file.resolve()] = int(match.group(1))
    rest = sorted(found, key=lambda file: found[file], reverse=True)
    if pointed is None:
        return rest
    return [pointed] + [file for file in rest if file != pointed.resolve()]
