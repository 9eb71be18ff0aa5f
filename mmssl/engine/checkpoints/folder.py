"""The checkpoints of a run's own folder: their names, and which is the newest."""

import os
import re
import shutil
from pathlib import Path

from mmssl.utils.io import whole_file

POINTER = 'last_checkpoint'
NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth')
KEPT = re.compile(r'(?:best_.+_)?(?:iter|epoch)_\d+\.pth')


def own_name(value: object) -> str | None:
    """Return the file name in a note on a checkpoint (older notes have whole paths).

    None for what is no file of `CheckpointHook`: notes come out of files, and what they name is
    removed when it is too old.

    Example:
        >>> own_name('/old/place/iter_4.pth'), own_name('best_unet_DSC_iter_4.pth')
        ('iter_4.pth', 'best_unet_DSC_iter_4.pth')
        >>> own_name('../thesis.tex'), own_name(b'iter_4.pth')
        (None, None)
    """
    if not isinstance(value, str):
        return None
    name = value.replace('\\', '/').rpartition('/')[2]
    return name if KEPT.fullmatch(name) else None


def read_pointer(work_dir: str | Path) -> str | None:
    """Return the file name that `last_checkpoint` holds; None without the pointer.

    An unknown text is returned as it is, with what cannot be shown replaced: it names no file.

    Raises:
        OSError: the pointer is there, but cannot be read.
    """
    try:
        with open(Path(work_dir) / POINTER, 'rb') as file:
            text = file.read(4096).decode(errors='replace').strip()
    except FileNotFoundError:
        return None
    return own_name(text) or ''.join(c if c.isprintable() else '?' for c in text[:60])


def kept_files(folder: str | Path) -> list[str]:
    """Return the names of all checkpoints in a folder, none if it does not exist.

    Raises:
        OSError: the folder cannot be read, so that nobody knows what is in it.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if KEPT.fullmatch(name))


def checkpoint_candidates(work_dir: str | Path, folder: str | Path | None = None) -> list[Path]:
    """Return the files a run may go on from, the best first.

    First the file named by `last_checkpoint` in `work_dir`, also if it is gone, then the other
    `iter_*.pth` and `epoch_*.pth`, from the highest number down.

    Args:
        work_dir: the run's folder.
        folder: where its checkpoints are, by default in `work_dir`.

    Raises:
        OSError: one of the folders or the pointer cannot be read.
    """
    folder = Path(work_dir if folder is None else folder)
    found = {
        name: int(match[1]) for name in kept_files(folder) if (match := NUMBERED.fullmatch(name))
    }
    rest = sorted(found, key=lambda name: found[name], reverse=True)
    pointed = read_pointer(work_dir)
    if pointed is not None and NUMBERED.fullmatch(pointed):
        rest = [pointed, *(name for name in rest if name != pointed)]
    return [folder / name for name in rest]


def clear_folder(work_dir: str | Path, folder: str | Path) -> list[str]:
    """Remove the checkpoints of a run and its pointer, nothing else; return their names."""
    names = kept_files(folder)
    for name in names:
        (Path(folder) / name).unlink(missing_ok=True)
    (Path(work_dir) / POINTER).unlink(missing_ok=True)
    return names


def bring(name: str, source: Path | None, folder: str | Path) -> bool:
    """Copy a file of the run that was resumed from, where a folder does not have it.

    Args:
        name: of the file.
        source: folder of the checkpoint that the run went on from; None without one.
        folder: of this run.

    Returns:
        Whether the file is in the folder.
    """
    there, here = Path(source or folder) / name, Path(folder) / name
    if here.is_file():
        return True
    if not there.is_file():
        return False
    with there.open('rb') as original, whole_file(here) as file:
        shutil.copyfileobj(original, file)
    return True
