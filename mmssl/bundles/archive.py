"""The file of a bundle: three members that are checked before one of them is believed."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmssl.utils.errors import shown
from mmssl.utils.io import whole_file

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = '.mmssl'
FORMAT = 1
MANIFEST, TENSORS, CONFIG, CARD = 'manifest.json', 'tensors.safetensors', 'config.json', 'card.json'
MEMBERS = (TENSORS, CONFIG, CARD)
LARGEST_TEXT = 16 * 2**20  # bytes of a member that is text
WHEN = (1980, 1, 1, 0, 0, 0)  # the same content gives the same file


class BundleError(ValueError):
    """A file is no bundle that may be opened."""


class Contents(NamedTuple):
    """What a bundle holds.

    Attributes:
        tensors: by name, the state of its model.
        config: what builds the model and reads images, plain values.
        card: what is told of the model.
    """

    tensors: 'dict[str, Tensor]'
    config: dict[str, Any]
    card: dict[str, Any]


def is_bundle(path: object) -> bool:
    """Tell by its name whether a file is a bundle."""
    return isinstance(path, str | Path) and str(path).lower().endswith(SUFFIX)


def write_archive(
    path: str | Path, contents: Contents, check: Callable[[Path], None] = lambda path: None
) -> None:
    """Write a bundle, whole or not at all.

    A zip file without compression: the tensors as safetensors, config and card as JSON, and the
    size and SHA-256 of each of them.

    Args:
        path: the file; its folder is made if need be.
        contents: what it holds.
        check: is given the finished file before it takes its place.

    Raises:
        OSError: the file could not be written; an older one is as before.
    """
    from safetensors.torch import save

    # Clones: networks share tensors, which the format does not know.
    plain = {key: value.detach().cpu().clone() for key, value in contents.tensors.items()}
    members = {
        TENSORS: save({key: value.contiguous() for key, value in plain.items()}),
        CONFIG: _json(contents.config),
        CARD: _json(contents.card),
    }
    entries = {
        name: {'size': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
        for name, data in members.items()
    }
    manifest = _json({'format': FORMAT, 'members': entries})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
            for name, data in {MANIFEST: manifest, **members}.items():
                archive.writestr(zipfile.ZipInfo(name, WHEN), data)
        file.flush()
        check(Path(file.name))


def read_archive(path: str | Path) -> Contents:
    """Read a bundle; nothing in it is run, and no more is read than the file holds.

    Raises:
        FileNotFoundError: there is no such file.
        BundleError: the file is no bundle, is damaged, or holds anything else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    members = _read_members(Path(path))
    try:
        tensors = load(members[TENSORS])
    except (SafetensorError, ValueError) as error:
        raise BundleError(
            f'{path} is refused: {TENSORS} holds no tensors in the format of safetensors ({error})'
        ) from None
    return Contents(tensors, _parse(path, CONFIG, members), _parse(path, CARD, members))


def read_card(path: str | Path) -> dict[str, Any]:
    """Return what a bundle says of its model, without building it; errors as `read_archive`."""
    return _parse(path, CARD, _read_members(Path(path)))


def _read_members(path: Path) -> dict[str, bytes]:
    """Return the members whose names, sizes and checksums are right."""
    if not path.is_file():
        raise FileNotFoundError(f'There is no bundle {path}; mmssl publish writes one')
    held = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(path, archive.infolist(), held)
            members = {name: archive.read(name) for name in (MANIFEST, *MEMBERS)}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        # NotImplementedError: a compression that zipfile does not know.
        raise BundleError(
            f'{path} is refused: it is no bundle of mmssl or damaged ({error})'
        ) from None
    manifest = _parse(path, MANIFEST, members)
    if manifest.get('format') != FORMAT:
        raise BundleError(
            f'{path} is refused: its format is {shown(manifest.get("format"))}, this version of '
            f'mmssl reads {FORMAT}: install a newer one, or publish it again'
        )
    entries = manifest.get('members')
    for name in MEMBERS:
        entry = entries.get(name) if isinstance(entries, Mapping) else None
        wanted = entry.get('sha256') if isinstance(entry, Mapping) else None
        if hashlib.sha256(members[name]).hexdigest() != wanted:
            raise BundleError(
                f'{path} is refused: {name} is not what was published, its SHA-256 differs. Get '
                'the file again'
            )
    return members


def _check_entries(path: Path, entries: list[zipfile.ZipInfo], held: int) -> None:
    names = [entry.filename for entry in entries]
    if not set(names) & {MANIFEST, *MEMBERS}:
        raise BundleError(f'{path} is refused: it is no bundle of mmssl')
    if sorted(names) != sorted((MANIFEST, *MEMBERS)):
        odd = sorted(set(names) - {MANIFEST, *MEMBERS}) or ['a member twice']
        lacks = sorted({MANIFEST, *MEMBERS} - set(names))
        what = f'lacks {", ".join(lacks)}' if lacks else f'holds {shown(odd[0])} too'
        raise BundleError(
            f'{path} is refused: a bundle holds {", ".join((MANIFEST, *MEMBERS))} and nothing '
            f'else, this file {what}'
        )
    for entry in entries:
        text = entry.filename != TENSORS
        packed = entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1
        if packed or entry.file_size != entry.compress_size:
            raise BundleError(
                f'{path} is refused: {entry.filename} is compressed or encrypted, which no bundle '
                'is'
            )
        if entry.file_size > (min(held, LARGEST_TEXT) if text else held):
            raise BundleError(
                f'{path} is refused: {entry.filename} announces {entry.file_size:,} bytes, the '
                f'file has {held:,}'
            )
    # A header of 30 bytes before each member, one of 46 in the directory, 22 at the end.
    around = sum(76 + 2 * len(entry.filename) for entry in entries) + 22
    large = any(entry.file_size >= zipfile.ZIP64_LIMIT for entry in entries)
    left = held - around - sum(entry.file_size for entry in entries)
    if left < 0 or left > 256 * large:
        raise BundleError(
            f'{path} is refused: its members and the file differ by {abs(left):,} bytes, so it is '
            'cut off or holds something beside them'
        )


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode()


def _parse(path: str | Path, name: str, members: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        found = json.loads(members[name])
    except (ValueError, RecursionError) as error:
        raise BundleError(f'{path} is refused: {name} is no JSON ({error})') from None
    if not isinstance(found, dict):
        raise BundleError(f'{path} is refused: {name} holds no object')
    return found
