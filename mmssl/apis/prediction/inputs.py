"""What a user names as the input of a prediction: files, folders, lists, DICOM series."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmssl.apis.prediction.wishes import Chosen

RECORD = 'predictions.jsonl'
"""What is done in a folder of predictions; a folder that has it holds no images."""
LISTS = ('.txt', '.list', '.lst')
NO_IMAGES = ('SEG', 'RTDOSE', 'RTSTRUCT', 'PR', 'KO', 'SR')
"""Modalities of DICOM objects that are about images."""


class Item(NamedTuple):
    """An image to predict.

    Attributes:
        image: the file, or the series of a folder.
        name: what it is called in tables and outputs: its path below the input.
    """

    image: Chosen
    name: str


def find_items(source: Path, leave_out: Path | None = None) -> list[Item]:
    """Return the images that an input stands for.

    Args:
        source: an image file; a folder, with all image files and DICOM series in it and below; or
            a list, `.txt` or `.list`, with a path on each line, relative to the list.
        leave_out: a folder that is not looked into, where the outputs go.

    A folder that cannot be read, or a series with a broken file, is an item as well: it is told
    when its turn comes, and does not stop the others. Links to folders are not followed, and
    folders of predictions are left out.

    Raises:
        FileNotFoundError: there is no such file or folder, or one of a list.
        ValueError: nothing in it is an image, or it is the folder of the outputs.
    """
    if not _exists(source):
        raise FileNotFoundError(f'Input "{source}" does not exist; name a file, a folder or a list')
    if source.is_dir():
        if leave_out is not None and source.resolve() == leave_out.resolve():
            raise ValueError(
                f'"{source}" is the input and the output: masks among images would be taken for '
                'images the next time. Name another folder for the output'
            )
        found = [*_in_folder(source, leave_out)]
    elif source.suffix.lower() in LISTS:
        found = [*{item.name: item for item in _in_list(source)}.values()]
    else:
        return [Item(Chosen(str(source)), _shown(source.name))]
    if not found:
        from mmssl.datasets.reading import known_suffixes

        raise ValueError(
            f'"{source}" holds no image (known: {", ".join(known_suffixes())}, and DICOM series)'
        )
    return found


def _in_list(source: Path) -> Iterator[Item]:
    try:
        lines = source.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError:
        raise ValueError(
            f'List "{source}" is no text in UTF-8; write a path on each line'
        ) from None
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if not name or name.startswith('#'):
            continue
        path = source.parent / name
        if not _exists(path):
            raise FileNotFoundError(f'"{path}", line {number} of "{source}", does not exist')
        if path.is_dir():
            yield from (
                item._replace(name=os.path.join(name, item.name)) for item in _in_folder(path, None)
            )
        else:
            yield Item(Chosen(str(path)), _shown(name))


def _in_folder(source: Path, leave_out: Path | None) -> Iterator[Item]:
    """Give the images of a folder and of those below, sorted by name; hidden ones do not count."""
    from mmssl.datasets.reading import known_suffixes
    from mmssl.datasets.reading.formats.dicom_files import holds_dicom

    suffixes = known_suffixes()
    away = None if leave_out is None else leave_out.resolve()
    shut: list[OSError] = []
    for place, folders, names in os.walk(source, onerror=shut.append):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith('.')
            and Path(place, name).resolve() != away
            and not Path(place, name, RECORD).is_file()
        )
        yield from _series(Path(place), source)
        for name in sorted(names):
            path = Path(place, name)
            plain = name.lower().endswith(suffixes) and not name.startswith('.')
            if plain and not holds_dicom(str(path)):
                yield Item(Chosen(str(path)), _shown(path.relative_to(source)))
    for error in shut:
        folder = Path(os.fsdecode(error.filename))
        yield Item(Chosen(str(folder)), _shown(folder.relative_to(source)))


def _series(folder: Path, source: Path) -> Iterator[Item]:
    """Give the DICOM series that lie directly in a folder."""
    from mmssl.datasets.reading import DataError, list_series
    from mmssl.datasets.reading.formats.dicom_files import holds_dicom

    if not holds_dicom(str(folder)):
        return
    name = _shown(folder.relative_to(source))
    name = _shown(folder.resolve().name) if name == '.' else name
    try:
        found = list_series(str(folder), nested=False)
    except DataError:
        yield Item(Chosen(str(folder)), name)
        return
    found = [one for one in found if one.modality not in NO_IMAGES]
    labels = [f'{one.number}_{one.description}' for one in found]
    for one, label in zip(found, labels, strict=True):
        label = f'{label}_{one.uid}' if labels.count(label) > 1 else label
        yield Item(Chosen(str(folder), one.uid), os.path.join(name, label) if labels[1:] else name)


def _shown(name: str | Path) -> str:
    """Return a name as text that can be written: a name need not be valid UTF-8."""
    return os.fsencode(name).decode(errors='backslashreplace')


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False
