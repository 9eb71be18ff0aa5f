"""Whole volumes out of one file or of several with a slice each, and the masks that lie on them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmssl.datasets.reading.decode import decode_mask, read_array, to_channels
from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats import holds_volumes
from mmssl.datasets.reading.geometry import CANONICAL, Axes
from mmssl.datasets.reading.label_map import LabelMap
from mmssl.datasets.reading.masks import whole_numbers
from mmssl.datasets.reading.volumes import (
    Source,
    file_spacing,
    look_at,
    turned_shape,
    value_step,
    volume_affine,
    volume_turn,
)


class Volume(NamedTuple):
    """A whole volume and its place in the patient.

    Attributes:
        array: float32 (D, H, W, C), the intensities as they are seen, not scaled.
        spacing: size of a voxel in mm, in the order of the axes, where the file says it.
        affine: what maps (column, row, slice) to RAS in mm, where the file says it.
    """

    array: np.ndarray
    spacing: tuple[float, ...] | None = None
    affine: np.ndarray | None = None


def read_whole(
    path: str,
    key: str = 'image',
    axes: Axes = CANONICAL,
    frames: Sequence[int] = (),
    fill: float | None = None,
) -> Volume:
    """Read a volume out of one file.

    Args:
        path: the file, or the folder of a DICOM series.
        key: name of the dataset in an HDF5 file.
        axes: which volume of a file is read, and how it lies in the array.
        frames: those of a file of several that become the channels; none takes that of `axes`.
        fill: what takes the place of NaN and infinity; None refuses them.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, holds no volume, or NaN or infinity.
    """
    if not holds_volumes(path):
        raise DataError(
            f'{path} is a picture, no volume. Slices in several files need their numbers: a group '
            '"slice" in case_pattern, with sample="volume".'
        )
    planes = []
    for frame in frames or (axes.frame,):
        own = axes._replace(frame=frame)
        stored = look_at(path, key, own)
        # The array is not kept: unlike the slices of a volume, it is read once.
        values = volume_turn(path, key, own).apply(stored.array())
        if stored.top is not None:
            values = (stored.top - values).astype(values.dtype)
        planes.append(values)
    first = axes._replace(frame=frames[0]) if frames else axes
    return Volume(
        _finite(_as_floats(planes), path, fill),
        _three(file_spacing(path, key, first)),
        volume_affine(path, key, first),
    )


def read_stack(
    paths: Sequence[str],
    channels: int = 1,
    key: str = 'image',
    axes: Axes = CANONICAL,
    fill: float | None = None,
) -> Volume:
    """Read a volume out of files with a slice each, in the order in which they are given.

    Args:
        paths: the files.
        channels: 1 (colour becomes luma, ITU-R 601) or 3 (grey is repeated).
        key: name of the dataset in an HDF5 file.
        axes: how a file is read.
        fill: what takes the place of NaN and infinity; None refuses them.

    Raises:
        FileNotFoundError: one of the files is missing.
        DataError: a file is broken, holds NaN or infinity, or is of another size than the first.
    """
    found: list[np.ndarray] = []
    for path in paths:
        image = to_channels(read_array(path, key, None, axes), channels)
        if found and image.shape != found[0].shape:
            sizes = [' x '.join(map(str, one.shape[:2])) for one in (image, found[0])]
            raise DataError(
                f'{path} is {sizes[0]} pixels, but {paths[0]} of the same volume {sizes[1]}. Bring '
                'the slices of a volume to one size, or set sample="slice".'
            )
        found.append(_finite(image.astype(np.float32), path, fill))
    spacing = file_spacing(paths[0], key, axes) if holds_volumes(paths[0]) else None
    return Volume(np.stack(found), _three(spacing))


def _as_floats(planes: Sequence[np.ndarray]) -> np.ndarray:
    """Return volumes (D, H, W) as channels, float32 (D, H, W, C), in memory of their own."""
    array = np.empty((*planes[0].shape, len(planes)), np.float32)
    for channel, values in enumerate(planes):
        array[..., channel] = values
    return array


def _finite(array: np.ndarray, path: str, fill: float | None) -> np.ndarray:
    finite = np.isfinite(array)
    if finite.all():
        return array
    if fill is None:
        count = array.size - int(np.count_nonzero(finite))
        raise DataError(
            f'{path} holds NaN or infinity ({count} voxels). Replace these values, or name one for '
            'them: dict(type="LoadVolume", fill=0).'
        )
    return np.where(finite, array, np.float32(fill))


def _three(spacing: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Return a spacing that is known along all three axes."""
    return spacing if spacing is not None and len(spacing) == 3 else None


def decode_whole_mask(
    paths: str | Sequence[str],
    label_map: LabelMap,
    shape: Sequence[int] | None = None,
    key: str = 'label',
    like: Source | None = None,
    axes: Axes = CANONICAL,
) -> np.ndarray:
    """Read the mask of a volume as class ids, uint8 (D, H, W), laid on its image.

    Several files (one for each structure, say) are mapped one by one and merged by the larger id.

    Args:
        paths: one file or several.
        label_map: what the values mean.
        shape: that of the image, (D, H, W); None does not compare.
        key: name of the dataset in an HDF5 file.
        like: the image, onto whose grid the mask is turned.
        axes: how the volume lies in the array.

    Raises:
        DataError: a file is broken, of another size or grid than the image, or has an unlisted
            value.
    """
    merged = None
    for path in [paths] if isinstance(paths, str) else paths:
        turn = volume_turn(path, key, axes, like)
        stored = look_at(path, key, axes, like)
        found = turned_shape(stored, turn)
        if len(found) != 3 or (shape is not None and found != tuple(shape)):
            raise DataError(
                f'Mask {path} has shape {found}, its image {tuple(shape or ())} (slices, height, '
                'width). Replace one of the two.'
            )
        values = turn.apply(stored.array())
        step = value_step(path, key, axes, like) if values.dtype.kind == 'f' else 0.0
        # A label map takes an array of three axes for one in colour.
        flat = whole_numbers(values.reshape(-1, found[-1]), path, label_map, step)
        classes = label_map(flat, path).reshape(found)
        merged = classes if merged is None else np.maximum(merged, classes)
    if merged is None:
        raise ValueError('decode_whole_mask needs at least one file.')
    return merged


def decode_mask_stack(
    images: Sequence[str],
    masks: Sequence[Sequence[str]],
    label_map: LabelMap,
    shape: Sequence[int] | None = None,
    keys: tuple[str, str] = ('image', 'label'),
    axes: Axes = CANONICAL,
) -> np.ndarray:
    """Read the mask of a volume that lies in several files, uint8 class ids (D, H, W).

    Args:
        images: the file of each slice.
        masks: the mask files of each slice.
        label_map: what the values mean.
        shape: that of the image, (D, H, W); None does not compare.
        keys: names of an image's and of a mask's dataset in an HDF5 file.
        axes: how a file is read.

    Raises:
        DataError: a file is broken, of another size than its image, or has an unlisted value.
    """
    size = None if shape is None else (shape[1], shape[2])
    return np.stack(
        [
            decode_mask(own, label_map, size, keys[1], None, Source(image, keys[0]), axes)
            for image, own in zip(images, masks, strict=True)
        ]
    )
