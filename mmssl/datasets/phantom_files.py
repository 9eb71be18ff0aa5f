"""Made-up data sets on disk: all of a folder or nothing, with a record of what it holds."""

import json
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

SETTINGS_FILE = 'settings.json'


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
    try:
        found = json.loads(file.read_text())
    except json.JSONDecodeError:
        raise ValueError(f'{file} is damaged; write the phantom anew (--overwrite)') from None
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
        ValueError, FileNotFoundError, FileExistsError: see `is_complete`.
    """
    root = Path(root).absolute()
    try:
        if is_complete(root, record, files):
            return False
    except (ValueError, FileNotFoundError):
        if not overwrite:
            raise
    partial = root.with_name(f'.{root.name}.{uuid.uuid4().hex[:8]}')
    old = partial.with_suffix('.old')
    try:
        partial.mkdir(parents=True)
        write(partial)
        (partial / SETTINGS_FILE).write_text(json.dumps(record, indent=2) + '\n')
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
