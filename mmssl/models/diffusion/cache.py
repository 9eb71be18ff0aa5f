"""Feature maps of unaugmented slices on disk, one file for each slice."""

import json
import zlib
from pathlib import Path
from urllib.parse import quote

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mmssl.models.diffusion.features import FeatureSpec, differences
from mmssl.utils.io import write_atomic

META = 'meta.json'
TOOL = 'tools/extract_diffusion_features.py'


class FeatureCache:
    """A folder `<domain>/<name>.safetensors` with one float16 vector of all maps for each slice.

    `meta.json` says what they were made with: the model's digest and a `FeatureSpec`. Every file
    carries the checksum of the 8-bit image it belongs to.

    Args:
        folder: where it is.

    Raises:
        FileNotFoundError: there is no cache.
        ValueError: its `meta.json` is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        file = self.folder / META
        if not file.is_file():
            raise FileNotFoundError(
                f'There is no feature cache in {self.folder} (no {META}): make it with '
                f'"python {TOOL} CONFIG --out {self.folder}".'
            )
        try:
            meta = json.loads(file.read_text())
            self.model, self.spec = meta['model'], FeatureSpec.from_dict(meta)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{file} is damaged ({error!r}): delete {self.folder} and extract the features '
                'again.'
            ) from None

    @classmethod
    def create(cls, folder: str | Path, model: str, spec: FeatureSpec) -> 'FeatureCache':
        """Open a cache to write to, or begin one.

        Args:
            folder: where it is.
            model: digest of the model.
            spec: what is read from it.

        Raises:
            ValueError: the folder holds features of another model or of other options.
        """
        if not (Path(folder) / META).is_file():
            meta = {'model': model, **spec.to_dict()}
            write_atomic(Path(folder) / META, json.dumps(meta, indent=2) + '\n')
        cache = cls(folder)
        cache.require({'model': model, **spec.to_dict()})
        return cache

    @property
    def key(self) -> dict:
        """All that decides what the files hold, as plain values."""
        return {'model': self.model, **self.spec.to_dict()}

    @property
    def slice_bytes(self) -> int:
        """Size of a slice's maps in bytes."""
        return 2 * self.spec.length

    def require(self, wanted: dict) -> None:
        """Compare the cache with what is needed; entries that are None are not compared.

        Raises:
            ValueError: another model or other options.
        """
        if text := differences(self.key, wanted):
            raise ValueError(
                f'The feature cache {self.folder} holds other features than configured: {text}. '
                f"Change neck.cache_dir or the neck's options, or extract with {TOOL} --out into "
                'another folder.'
            )

    def path(self, domain: str, name: str) -> Path:
        """Return the file of a slice."""
        return self.folder / _file_name(domain) / f'{_file_name(name)}.safetensors'

    def write(self, domain: str, name: str, maps: np.ndarray, image: np.ndarray) -> None:
        """Write a slice's maps whole or not at all.

        Args:
            domain: its domain.
            name: its name.
            maps: float16 (L,).
            image: uint8 (H, W, C), the image that they were computed from.
        """
        content = save({'maps': np.ascontiguousarray(maps)}, {'image_crc32': image_crc32(image)})
        write_atomic(self.path(domain, name), content)

    def has(self, domain: str, name: str, image: np.ndarray) -> bool:
        """Tell whether the maps of this very image are there, complete."""
        try:
            with safe_open(self.path(domain, name), 'np') as file:
                return (file.metadata() or {}).get('image_crc32') == image_crc32(image)
        except (FileNotFoundError, SafetensorError):
            return False

    def read(self, domain: str, name: str, image: np.ndarray) -> np.ndarray:
        """Read a slice's maps, float16 (L,).

        Args:
            domain: its domain.
            name: its name.
            image: uint8 (H, W, C), the slice as it is before any random transform.

        Raises:
            FileNotFoundError: the slice is not in the cache.
            ValueError: the file is damaged, or was made from another image.
        """
        path = self.path(domain, name)
        again = f'Run {TOOL} --out {self.folder} again, it does what is missing.'
        try:
            with safe_open(path, 'np') as file:
                crc = (file.metadata() or {}).get('image_crc32')
                if crc != image_crc32(image):
                    raise ValueError(
                        f'{path} was computed from another image than the one loaded now '
                        f'(checksum {crc}, not {image_crc32(image)}): the data or the prepare '
                        f'transforms have changed, or LoadDiffusionFeatures comes after a random '
                        f'transform. {again}'
                    )
                return file.get_tensor('maps')
        except FileNotFoundError:
            raise FileNotFoundError(
                f'The feature cache {self.folder} has no slice "{name}" of domain "{domain}" '
                f'(looked for {path}). {again}'
            ) from None
        except SafetensorError as error:
            raise ValueError(f'{path} is damaged ({error}). {again}') from None


def image_crc32(image: np.ndarray) -> str:
    """Return the checksum of an 8-bit image and its shape.

    Raises:
        TypeError: the image is not of 8 bit.
    """
    if image.dtype != np.uint8:
        raise TypeError(f'Features belong to 8-bit images, not to {image.dtype}.')
    start = zlib.crc32(repr(image.shape).encode())
    return f'{zlib.crc32(np.ascontiguousarray(image).data, start):08x}'


def _file_name(name: str) -> str:
    return quote(name, safe=' ()+,=@')
