"""Which checkpoint of a folder a run goes on from, and when it may begin at 0."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmssl.engine.checkpoints.errors import IncompleteCheckpointError, UnreadableCheckpointError
from mmssl.engine.checkpoints.folder import checkpoint_candidates, kept_files, read_pointer


def holds_a_run(work_dir: str | Path, folder: str | Path) -> bool:
    """Return whether there are checkpoints, or a note that there were.

    Raises:
        UnreadableCheckpointError: nobody can know, because a folder cannot be read.
    """
    try:
        return bool(kept_files(folder)) or read_pointer(work_dir) is not None
    except OSError as error:
        raise _unreadable(error) from None


def find_newest(
    work_dir: str | Path,
    folder: str | Path,
    read: Callable[[str], Any],
    warn: Callable[[str], None],
) -> tuple[str, Any] | None:
    """Read the newest complete checkpoint of a folder.

    A file that is cut short or damaged, or gone, is passed over with a warning, and the one before
    it is taken: that costs some iterations. A file that the machine does not give out (rights,
    input and output) may be sound, and ends the search.

    Args:
        work_dir: the run's folder, with its pointer.
        folder: where the checkpoints are.
        read: reads a file.
        warn: is told what was passed over.

    Returns:
        The file's name and its content; None where there never was one to go on from.

    Raises:
        UnreadableCheckpointError: a folder, the pointer or a file cannot be read.
        IncompleteCheckpointError: there were checkpoints, and none of them is whole.
    """
    try:
        candidates, pointed = checkpoint_candidates(work_dir, folder), read_pointer(work_dir)
        best = kept_files(folder)
    except OSError as error:
        raise _unreadable(error) from None
    for path in candidates:
        try:
            return str(path), read(str(path))
        except (IncompleteCheckpointError, FileNotFoundError) as error:
            warn(f'{error}; going back to the file before it')
    if candidates or pointed is not None:
        tried = ', '.join(path.name for path in candidates[:3]) or f'"{pointed}"'
        raise IncompleteCheckpointError(
            f'{folder} has no whole checkpoint to go on from (last_checkpoint and the files name '
            f'{tried}). Name one with --resume FILE, or begin at 0 with --overwrite or another '
            '--work-dir'
        )
    if best:
        warn(
            f'{folder} has {best[0]}, which has no optimiser state to go on from, and no other '
            'checkpoint: starting from the beginning'
        )
    return None


def _unreadable(error: OSError) -> UnreadableCheckpointError:
    return UnreadableCheckpointError(
        f'"{error.filename}" cannot be read: {error.strerror}. Nobody can tell whether there are '
        'checkpoints, so nothing is started: set its rights, or choose another --work-dir'
    )
