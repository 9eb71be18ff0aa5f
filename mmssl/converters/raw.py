"""A download, read where it lies: a folder or a zip file, and the zip files in the folder.

Nothing is unpacked beside it and nothing written into it. A file of an archive that a library needs
on the disk is copied, under its own name and without the archive's folders, into a temporary folder
that goes away again; so no name in an archive decides where something is written.
"""

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType

from mmssl.converters.faults import Fault, Unfit

# What a byte of a packed file can stand for at most, and from what size on it is asked.
_DEFLATE, _LARGE = 1100, 2**30
_OF_SYSTEMS = ('__MACOSX', '.', 'Thumbs.db', 'desktop.ini')


class Raw:
    """The files of a download by name; those of a zip file are below the zip file's own name.

    Args:
        root: the folder or zip file.

    Attributes:
        names: relative names with `/`, sorted.
        faults: archives that cannot be read, and names in them that lead out of them.

    Raises:
        Unfit: there is no such folder or zip file.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.faults: list[Fault] = []
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._members: dict[str, tuple[str, zipfile.ZipInfo]] = {}
        if self.root.is_dir():
            files = list(self._walk())
        elif self.root.is_file() and self.root.suffix.lower() == '.zip':
            files = []
            self._open_archive('', self.root)
        else:
            what = 'is no folder and no zip file' if self.root.exists() else 'does not exist'
            raise Unfit(
                f'RAW "{self.root}" {what}. Name the folder that the download was unpacked to, or '
                'its zip file.'
            )
        for name in [name for name in files if name.lower().endswith('.zip')]:
            self._open_archive(f'{name}/', self.root / name)
        self.names = sorted([*files, *self._members])

    def __enter__(self) -> 'Raw':
        """Return the download."""
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its archives."""
        for archive in self._archives.values():
            archive.close()

    def find(self, pattern: str) -> dict[str, re.Match[str]]:
        """Return name -> match of the files whose whole name fits a regular expression.

        An expression that ends with a slash is one for folders.
        """
        names: Iterable[str] = self.names
        if pattern.endswith('/'):
            folders = (parent for name in names for parent in PurePosixPath(name).parents)
            names = sorted({f'{folder}/' for folder in folders})
        found = ((name, re.fullmatch(pattern, name)) for name in names)
        return {name: match for name, match in found if match}

    def size(self, name: str) -> int:
        """Return how many bytes a file or a folder has, unpacked."""
        if name.endswith('/'):
            return sum(self.size(known) for known in self.names if known.startswith(name))
        if name in self._members:
            return self._members[name][1].file_size
        return (self.root / name).stat().st_size

    def text(self, name: str) -> str:
        """Return a small text file, whatever its encoding does to letters beyond ASCII."""
        with self.file(name) as path:
            return path.read_bytes().decode('utf-8-sig', errors='replace')

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Give a file, or a folder, a path on the disk for as long as it is read.

        Raises:
            Unfit: it lies in an archive and cannot be unpacked.
        """
        if name.endswith('/') and any(known.startswith(name) for known in self._members):
            raise Unfit(f'{name} is a folder in an archive. Unpack the archive first.')
        if name not in self._members:
            yield self.root / name
            return
        archive, member = self._members[name]
        self._check_member(name, member)
        with tempfile.TemporaryDirectory(prefix='mmssl-') as folder:
            path = Path(folder, PurePosixPath(name).name)
            try:
                with self._archives[archive].open(member) as source, path.open('wb') as target:
                    shutil.copyfileobj(source, target)
            except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
                # NotImplementedError: a compression that zipfile does not know.
                said = ' '.join(str(error).split())
                raise Unfit(f'{name} cannot be unpacked ({said}). Get the archive again.') from None
            yield path

    def _check_member(self, name: str, member: zipfile.ZipInfo) -> None:
        if member.flag_bits & 1:
            raise Unfit(f'{name} is encrypted. Unpack the archive with its password first.')
        if member.file_size > _LARGE and member.file_size > _DEFLATE * member.compress_size:
            raise Unfit(
                f'{name} announces {member.file_size / 1e9:.1f} GB but cannot hold them in '
                f'{member.compress_size} bytes. Get the archive again.'
            )

    def _walk(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.root, followlinks=True):
            here = Path(folder).resolve()
            folders[:] = [
                name
                for name in folders
                if not name.startswith(_OF_SYSTEMS)
                and not here.is_relative_to(Path(folder, name).resolve())  # a link back
            ]
            for name in files:
                if not name.startswith(_OF_SYSTEMS):
                    yield Path(folder, name).relative_to(self.root).as_posix()

    def _open_archive(self, prefix: str, path: Path) -> None:
        try:
            archive = self._archives[prefix] = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            said = f'cannot be opened as a zip file ({error}). Get it again.'
            self.faults.append(Fault(prefix.rstrip('/') or path.name, said))
            return
        for member in archive.infolist():
            name = member.filename
            parts = PurePosixPath(name.replace('\\', '/')).parts
            if name.startswith(('/', '\\')) or '..' in parts or re.match('[A-Za-z]:', name):
                self.faults.append(
                    Fault(
                        prefix.rstrip('/') or path.name,
                        f'the name "{name}" in the archive leads out of it and is not read.',
                    )
                )
            elif not member.is_dir() and not any(p.startswith(_OF_SYSTEMS) for p in parts):
                self._members[f'{prefix}{"/".join(parts)}'] = (prefix, member)


def checksum_faults(raw: Raw) -> list[Fault]:
    """Compare files with the checksums that a download brings along.

    Lists are files called `MANDATORY_CONTENT*`, `*.md5`, `*.sha1`, `*.sha256`, `md5sum*` and so on,
    whose lines hold a checksum and a name relative to the list's folder.
    """
    import hashlib

    kinds = {32: 'md5', 40: 'sha1', 64: 'sha256'}
    lists = raw.find(r'(?i)(.*/)?(mandatory_content.*|.*\.(md5|sha1|sha256)|(md5|sha\d+)sums?.*)')
    known = set(raw.names)
    faults = []
    for listing in lists:
        folder = PurePosixPath(listing).parent
        for line in raw.text(listing).splitlines():
            match = re.fullmatch(r'\s*([0-9a-fA-F]{32,64})[\s*]+(\S.*?)\s*', line)
            if not match or len(match[1]) not in kinds:
                continue
            name = os.path.normpath(folder / match[2].replace('\\', '/')).replace(os.sep, '/')
            if name not in known:
                faults.append(Fault(name, f'{listing} names it, but it is missing.'))
                continue
            with suppress(Unfit), raw.file(name) as path, path.open('rb') as file:
                found = hashlib.file_digest(file, kinds[len(match[1])]).hexdigest()
                if found != match[1].lower():
                    said = f'its {kinds[len(found)]} is {found}, {listing} says {match[1].lower()}.'
                    faults.append(Fault(name, f'{said} Get it again.'))
    return faults
