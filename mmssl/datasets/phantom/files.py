"""Made-up data sets on disk: all of a folder or nothing, with a record of what it holds."""

import json
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

SETTINGS_FILE = 'settings.json'
MADE_BY = 'make_phantom of mmssl'


def is_complete(root: Path, record: dict, files: Iterable[str]) -> bool:
    """Say whether `root` holds this very data set; raise if it holds something else.

    Args:
        root: The data set's folder.
        record: What its settings file has to say.
        files: The files that it consists of, relative to `root`.

    Raises:
        ValueError: `root` holds a phantom with other settings, or its settings are damaged.
        FileNotFoundError: `root` holds this phantom, but a file of it is gone.
        FileExistsError: `root` holds something else.
    """
    file = root / SETTINGS_FILE
    if not root.exists():
        return False
    if not file.is_file():
        if root.is_dir() and not any(root.iterdir()):
            return False
        raise FileExistsError(f'{root} exists and is no phantom data set; choose another folder')
    found = _read(file)
    changed = [
        f'{key} {found.get(key)} instead of {value}'
        for key, value in record.items()
        if found.get(key) != value
    ]
    if changed:
        raise ValueError(
            f'{root} holds a phantom with {", ".join(changed)}; choose another folder, or write '
            'it anew (--overwrite)'
        )
    for name in files:
        if not (root / name).is_file():
            raise FileNotFoundError(f'{root / name} is gone; write the phantom anew (--overwrite)')
    return True


def _read(file: Path) -> dict:
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f'{file} is damaged: choose another folder, or remove this one by hand')
    return found


def check_own(root: Path) -> None:
    """Make sure that a folder has nothing but what this module wrote into it.

    Raises:
        FileExistsError: it has more, or does not say what was written.
    """
    found = _read(root / SETTINGS_FILE)
    if found.get('made_by') != MADE_BY or not isinstance(found.get('files'), list):
        raise FileExistsError(
            f'{root} does not say that make_phantom wrote it (or an older one did), so it is not '
            'replaced: choose another folder, or remove this one by hand'
        )
    known = {*map(str, found['files']), SETTINGS_FILE}
    foreign = sorted(name for name in _names(root) if name not in known)
    if foreign:
        raise FileExistsError(
            f'{root} has {len(foreign)} file(s) that make_phantom did not write, such as '
            f'{foreign[0]}: move them away, or choose another folder'
        )


def _names(root: Path) -> list[str]:
    """Return everything in a folder that is no folder itself, relative to it."""
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob('*')
        if path.is_symlink() or not path.is_dir()
    )


def write_once(
    root: Path,
    record: dict,
    files: Iterable[str],
    write: Callable[[Path], None],
    overwrite: bool = False,
) -> bool:
    """Write a data set to `root`, all of it or nothing.

    The files are made in a temporary folder beside `root`, which is then renamed. If `root` is
    already this data set, nothing is done.

    Args:
        root: The data set's folder.
        record: What its settings file has to say, plain values only.
        files: The files that it consists of, relative to `root`.
        write: Makes them in the folder that it is given.
        overwrite: Replace a phantom that has other settings or is damaged.

    Returns:
        Whether anything was written.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: see `is_complete` and `check_own`.
    """
    root = Path(root).absolute()
    try:
        if is_complete(root, record, files):
            return False
    except (ValueError, FileNotFoundError):
        if not overwrite:
            raise
        check_own(root)
    partial = root.with_name(f'.{root.name}.{uuid.uuid4().hex[:8]}')
    old = partial.with_suffix('.old')
    try:
        partial.mkdir(parents=True)
        write(partial)
        content = {**record, 'made_by': MADE_BY, 'files': _names(partial)}
        (partial / SETTINGS_FILE).write_text(json.dumps(content, indent=2) + '\n')
        if root.exists():
            root.rename(old)
        try:
            partial.rename(root)
        except OSError:
            if old.exists():
                old.rename(root)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True
