"""What a run is about to do with its checkpoints, so that the next one can finish it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmssl.engine.checkpoints.folder import own_name
from mmssl.utils.io import write_atomic

NAME = '.saving.json'


class SaveJournal:
    """A note beside the checkpoints: the new file, and the older ones that go with it.

    It is there from before the new file until the pointer is moved and the older files are removed.
    A run that finds one in its folder does what is missing if the new file is in its place, and
    nothing if it is not. The note has names only, of checkpoints only, so it can remove
    nothing else.

    Args:
        folder: folder of the checkpoints.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.file = self.folder / NAME

    @contextmanager
    def about(self, new: Path, old: Sequence[Path]) -> Iterator[None]:
        """Keep the note while a checkpoint is written; leave it if that ends in an error."""
        note = {
            'new': new.name,
            'replaces': _identity(new),
            'remove': [path.name for path in old],
        }
        write_atomic(self.file, json.dumps(note))
        yield
        self.file.unlink(missing_ok=True)

    def finish(self, pointer: Path) -> list[str]:
        """Do the rest of what a dead run was about to do, and say what that was.

        Args:
            pointer: the file that names the newest checkpoint.
        """
        said: list[str] = []
        try:
            note = json.loads(self.file.read_text())
            new = self.folder / str(own_name(note['new']))
            remove = [self.folder / name for name in map(own_name, note['remove']) if name]
            replaced = note['replaces']
        except FileNotFoundError:
            return said
        except (ValueError, KeyError, TypeError):  # not ours
            return said
        if new.is_file() and _identity(new) != replaced:
            write_atomic(pointer, new.name)
            for path in remove:
                if path.is_file() and path != new:
                    path.unlink()
                    said.append(f'Removed {path.name}, which {new.name} replaces')
        self.file.unlink(missing_ok=True)
        return said


def _identity(path: Path) -> list[int] | None:
    """Return what tells a file from another of its name."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return [found.st_ino, found.st_mtime_ns, found.st_size]
