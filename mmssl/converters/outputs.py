"""Files that a conversion writes, each whole or not at all, and the record of what made them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from mmssl.converters.faults import Unfit
from mmssl.utils.io import whole_file, write_atomic

Writer = Callable[[IO[bytes]], None]
RECORD = 'conversion.json'
MADE_BY = 'mmssl convert'


def png(pixels: np.ndarray) -> Writer:
    """Return what writes a picture, uint8 (H, W) or (H, W, 3)."""

    def write(file: IO[bytes]) -> None:
        from PIL import Image

        Image.fromarray(np.ascontiguousarray(pixels)).save(file, format='PNG')

    return write


def hdf5(
    image: np.ndarray, label: np.ndarray | None, spacing: Iterable[float] | None = None
) -> Writer:
    """Return what writes datasets `image` and `label`, compressed, and an attribute `spacing`."""

    def write(file: IO[bytes]) -> None:
        import h5py

        with h5py.File(file, 'w') as target:
            target.create_dataset('image', data=image, compression='gzip')
            if label is not None:
                target.create_dataset('label', data=label, compression='gzip')
            if spacing is not None:
                target.attrs['spacing'] = list(spacing)

    return write


class Output:
    """The folder of a converted data set.

    A record in it says what it was made from, so that a conversion that was cut short goes on, and
    files that something else wrote are left alone.

    Args:
        root: the folder; it need not be there.
        settings: what the files depend on besides the download, plain values.
    """

    def __init__(self, root: Path, settings: Mapping[str, Any]) -> None:
        self.root = root
        self.settings = json.loads(json.dumps(settings))

    def begin(self, sources: Mapping[str, str], files: Iterable[str]) -> None:
        """Take the folder for these files, or go on in it.

        Args:
            sources: case -> a code of the files that it is made from.
            files: what is going to be written.

        Raises:
            Unfit: the folder holds another conversion, or a file of one of the names that no
                conversion wrote.
        """
        record = self._read()
        files = list(files)
        if record is None:
            there = next((name for name in files if (self.root / name).exists()), None)
            if there:
                raise Unfit(
                    f'{self.root / there} is there already, and no conversion wrote it. Choose an '
                    'empty folder for OUT.'
                )
        else:
            self._compare(record, sources)
        content = {'made_by': MADE_BY, **self.settings, 'sources': dict(sources), 'whole': False}
        self._write(content)

    def write(self, files: Mapping[str, Writer]) -> int:
        """Write those files that are not there; return how many."""
        written = 0
        for name, writer in files.items():
            path = self.root / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path) as file:
                    writer(file)
                written += 1
        return written

    def end(self, lists: Mapping[str, Iterable[str]]) -> None:
        """Write the lists, and into the record that all is there."""
        for name, lines in lists.items():
            write_atomic(self.root / name, ''.join(f'{line}\n' for line in lines))
        self._write({**(self._read() or {}), 'whole': True})

    def missing(self, files: Iterable[str]) -> bool:
        """Tell whether one of these files is still to be written."""
        return not all((self.root / name).exists() for name in files)

    def _compare(self, record: Mapping[str, Any], sources: Mapping[str, str]) -> None:
        for key, value in self.settings.items():
            if record.get(key) != value:
                raise Unfit(
                    f'{self.root} was made with {key} = {record.get(key)!r}, not {value!r}. Give '
                    'the same options, or choose another folder for OUT.'
                )
        for case, code in record.get('sources', {}).items():
            if sources.get(case) != code:
                what = 'RAW gives otherwise now' if case in sources else 'is no longer in RAW'
                raise Unfit(
                    f'{self.root} holds "{case}", which {what}. Choose another folder for OUT.'
                )

    def _read(self) -> dict[str, Any] | None:
        try:
            record = json.loads((self.root / RECORD).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError):
            record = None
        if not isinstance(record, dict) or record.get('made_by') != MADE_BY:
            raise Unfit(f'{self.root / RECORD} is no record of a conversion. Choose another OUT.')
        return record

    def _write(self, content: Mapping[str, Any]) -> None:
        write_atomic(self.root / RECORD, json.dumps(content, indent=1) + '\n')


def code_of(names: Iterable[str], size: Callable[[str], int], files: Iterable[str]) -> str:
    """Return a short code of files of a download, by name and size, and of what they become."""
    said = '\n'.join([*(f'{name} {size(name)}' for name in names), *files])
    return hashlib.sha256(said.encode()).hexdigest()[:16]
