"""Make volumes small for the way to another machine, and put them back there, bit for bit.

Usage: python tools/dataset_converters/pack_volumes.py pack data/la la.tar.xz --list keep.txt
       python tools/dataset_converters/pack_volumes.py unpack la.tar.xz data/la

HDF5 volumes of at most 256 grey values, such as those of the left atrium, are kept as bytes with
the table of their values; other files as they are. With --list only the cases it names are kept,
and the lists (.list, .txt) are shortened to them.
"""

import argparse
import io
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
from tqdm import tqdm

from mmssl.utils.cli import Parser, run
from mmssl.utils.errors import SettingError

LISTS = ('.list', '.txt')
PACKED = '.packed.npz'
LEVELS = 256


def pack_volume(path: Path) -> bytes | None:
    """Return an HDF5 file's datasets as an archive of arrays; None if it would lose something."""
    arrays = {}
    try:
        with h5py.File(path) as file:
            if len(file.attrs) or any(len(file[key].attrs) for key in file):
                return None
            for key in file:
                values, index = np.unique(file[key][()], return_inverse=True)
                if len(values) > LEVELS or not np.isfinite(values).all():
                    return None
                index = index.reshape(file[key].shape).astype(np.uint8)
                arrays[f'{key}.values'], arrays[f'{key}.index'] = values, index
    except (OSError, AttributeError, TypeError):  # no HDF5, or one with groups or other types
        return None
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def unpack_volume(packed: bytes, path: Path) -> None:
    """Write the HDF5 file that `pack_volume` read."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays, h5py.File(path, 'w') as file:
        for name in arrays:
            key, kind = name.rsplit('.', 1)
            if kind == 'values':
                file[key] = arrays[name][arrays[f'{key}.index']]


def pack(source: Path, target: Path, kept: Path | None) -> None:
    """Write the archive of a folder, whole or not at all."""
    names = None if kept is None else set(kept.read_text().split())
    files = [path for path in sorted(source.rglob('*')) if path.is_file()]
    if names is not None:
        found = {name for name in names if any(_belongs(p, source, name) for p in files)}
        if missing := sorted(names - found):
            raise SettingError(f'{kept} names {", ".join(missing[:3])}, of which {source} has none')
        files = [
            path
            for path in files
            if path.suffix in LISTS or any(_belongs(path, source, name) for name in names)
        ]
    if not files:
        raise SettingError(f'{source} has no files to pack')
    part = target.with_name(f'{target.name}.part')
    try:
        with tarfile.open(part, 'w:xz') as archive:
            for path in tqdm(files, 'packing', leave=False):
                _add(archive, path, source, names)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    print(f'Wrote {len(files)} files, {target.stat().st_size / 1e6:.1f} MB, to {target}')


def _belongs(path: Path, source: Path, name: str) -> bool:
    relative = path.relative_to(source)
    return name in relative.parts or relative.name.split('.')[0] == name


def _add(archive: tarfile.TarFile, path: Path, source: Path, names: set[str] | None) -> None:
    name, content = path.relative_to(source).as_posix(), pack_volume(path)
    if content is not None:
        name += PACKED
    elif names is not None and path.suffix in LISTS:
        lines = path.read_text().splitlines()
        content = '\n'.join(line for line in lines if line.strip() in names).encode()
    else:
        content = path.read_bytes()
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def unpack(source: Path, target: Path) -> None:
    """Write the files of an archive into a folder that does not exist yet."""
    if target.exists():
        raise SettingError(f'{target} exists: name a folder that is to be made')
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f'.{target.name}.', dir=target.parent) as folder,
        tarfile.open(source) as archive,
    ):
        for member in archive:
            inside = PurePosixPath(member.name)
            if not member.isfile() or inside.is_absolute() or '..' in inside.parts:
                raise SettingError(
                    f'{source} holds {member.name}, which pack_volumes.py did not write'
                )
            stream = archive.extractfile(member)
            content = stream.read() if stream else b''
            path = Path(folder) / target.name / member.name.removesuffix(PACKED)
            path.parent.mkdir(parents=True, exist_ok=True)
            if member.name.endswith(PACKED):
                unpack_volume(content, path)
            else:
                path.write_bytes(content)
        (Path(folder) / target.name).replace(target)
    print(f'Wrote {target}')


def main() -> None:
    """Pack or unpack."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('pack', 'unpack'))
    parser.add_argument('source', type=Path, help='a folder to pack, or an archive to unpack')
    parser.add_argument('target', type=Path, help='the archive (.tar.xz), or the folder to be made')
    parser.add_argument('--list', type=Path, help='file that names the cases to keep, one a line')
    args = parser.parse_args()
    if args.what == 'pack':
        pack(args.source, args.target, args.list)
    else:
        unpack(args.source, args.target)


if __name__ == '__main__':
    run(main)
