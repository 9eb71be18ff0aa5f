"""A checksum of the whole checkpoint file, and the test that a file is what was written.

A file of `torch.save` is a zip archive whose records are checked by nobody who loads it. mmssl
writes the SHA-256 of everything before it into the archive's comment, its last bytes, which other
readers leave alone. Files from elsewhere are compared with the CRC-32 of their records.
"""

import errno
import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import torch

from mmssl.engine.checkpoints.errors import IncompleteCheckpointError

ARCHIVE = b'PK\x03\x04'
SEAL = re.compile(rb'sha256:([0-9a-f]{64})')
NO_COMMENT = b'\0\0'  # the length of the comment, with which an archive ends
# What a tensor may be larger than the file that it comes from (a few expanded values).
ROOM = 64 * 2**20
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError)


def seal(file: BinaryIO, sha256) -> None:
    """Write the checksum behind an archive without comment.

    Args:
        file: the archive, open for reading and writing.
        sha256: hash of all that was written.
    """
    end = file.seek(-len(NO_COMMENT), 2)
    if file.read() != NO_COMMENT:
        raise ValueError('torch.save has written no archive that ends without a comment')
    # The hash is that of the file up to the comment and its length, as it was before.
    file.seek(end)
    text = b'sha256:' + sha256.hexdigest().encode()
    file.write(_length(text) + text)


def _length(comment: bytes) -> bytes:
    return struct.pack('<H', len(comment))


def check_sound(file: BinaryIO, name: str) -> None:
    """Compare an archive with its checksum, or with those of its records; go back to its start.

    A file in torch's older format has none; it is read through when it is loaded.

    Raises:
        IncompleteCheckpointError: a bit is not as it was written, or the end is missing.
        OSError: the file cannot be read.
    """
    size = file.seek(0, 2)
    file.seek(0)
    if file.read(len(ARCHIVE)) == ARCHIVE:
        try:
            fault = _fault(file, size)
        except BROKEN as error:
            fault = ' '.join(str(error).split()) or type(error).__name__
        except OSError as error:  # the table of contents points out of the file
            if error.errno != errno.EINVAL:
                raise
            fault = 'its table of contents is damaged'
        if fault:
            raise IncompleteCheckpointError(f'Checkpoint "{name}" is damaged or cut short: {fault}')
    file.seek(0)


def _fault(file: BinaryIO, size: int) -> str | None:
    with zipfile.ZipFile(file) as archive:
        records, comment = archive.infolist(), archive.comment
        if sum(record.file_size for record in records) > size:
            return 'it announces more than it holds'
        found = SEAL.fullmatch(comment)
        if found is not None:
            end = size - len(comment) - len(NO_COMMENT)
            file.seek(end)
            same = file.read(len(NO_COMMENT)) == _length(comment)
            same = same and _sha256(file, end) == found[1].decode()
            return None if same else 'its bytes are not those that its checksum was made of'
        if comment:
            return 'its checksum cannot be read'
        if not any(record.CRC for record in records):
            return None  # torch was told to compute none
        bad = archive.testzip()
        return bad and f'record "{bad}" is not what its checksum was made of'


def _sha256(file: BinaryIO, length: int) -> str:
    """Hash what was there before the comment was added: its length was 0 then."""
    file.seek(0)
    digest = hashlib.sha256()
    while length > 0 and (part := file.read(min(length, 2**20))):
        digest.update(part)
        length -= len(part)
    digest.update(NO_COMMENT)
    return digest.hexdigest()


def check_sizes(content: Any, size: int, name: str) -> None:
    """Refuse tensors that say they are far larger than the file they come from, or have no data.

    Args:
        content: what was loaded.
        size: bytes of the file.
        name: of the file, for messages.

    Raises:
        IncompleteCheckpointError: there is such a tensor; its values are not in the file.
    """
    for tensor in _tensors(content):
        announced = tensor.numel() * tensor.element_size()
        if announced > size + ROOM or tensor.is_meta:
            raise IncompleteCheckpointError(
                f'Checkpoint "{name}" announces a tensor {tuple(tensor.shape)} of '
                f'{announced / 1e9:.3g} GB, the file has {size / 1e6:.3g} MB: it is no sound '
                'checkpoint'
            )


def _tensors(content: Any) -> Iterable[torch.Tensor]:
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, Mapping) else value)
