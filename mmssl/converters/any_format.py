"""Images and masks of any format that the package reads, as slices with their values."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmssl.converters.faults import Unfit
from mmssl.converters.images import whole_labels


class Slices(NamedTuple):
    """An image and its mask, cut as data sets cut them.

    Attributes:
        values: (Z, H, W), or (1, H, W, 3) of a colour picture, as stored.
        labels: uint8 (Z, H, W); None without a mask.
        spacing: size of a voxel in mm, (z, y, x) or (y, x); None where the file does not say.
        flat: whether the file is a picture or slice, and no volume.
    """

    values: np.ndarray
    labels: np.ndarray | None
    spacing: tuple[float, ...] | None
    flat: bool

    @property
    def bytes(self) -> bool:
        """Return whether the values are those of a picture of 8 bit."""
        return self.flat and self.values.dtype == np.uint8


class Cut(NamedTuple):
    """How files are read.

    Attributes:
        plane: 'axial', 'coronal', 'sagittal', or None for the plane of acquisition.
        frame: which volume of a file of several frames.
        stored: take voxels in the order of the file, and compare shapes alone.
        labels: values that masks may have; None allows all up to 255.
    """

    plane: str | None = None
    frame: int | None = None
    stored: bool = False
    labels: tuple[int, ...] | None = None


def read_slices(image: Path, mask: Path | None, cut: Cut, name: str, mask_name: str) -> Slices:
    """Read an image and lay its mask on it.

    Args:
        image: the image's file.
        mask: the mask's file, if there is one.
        cut: how they are read.
        name: what messages call the image.
        mask_name: what they call the mask.

    Raises:
        Unfit: a file is broken, the mask lies elsewhere or has other values than allowed.
    """
    from mmssl.datasets.reading import Axes, DataError, Source, holds_volumes
    from mmssl.datasets.reading.decode import read_array
    from mmssl.datasets.reading.volumes import file_spacing, look_at, read_volume, volume_turn

    axes = (
        Axes('stored', None, cut.frame) if cut.stored else Axes('canonical', cut.plane, cut.frame)
    )
    spacing = None
    labels = None
    try:
        if holds_volumes(str(image)):
            values = read_volume(str(image), 'image', axes)
            spacing = file_spacing(str(image), 'image', axes)
        else:
            values = read_array(str(image), 'image')
        flat = values.ndim == 2 or not holds_volumes(str(image))
        values = values[None] if flat else values
        if mask is not None and holds_volumes(str(mask)):
            turn = volume_turn(str(mask), 'label', axes, Source(str(image), 'image'))
            labels = turn.apply(look_at(str(mask), 'label', axes).array())
        elif mask is not None:
            labels = _grey(read_array(str(mask), 'label'), mask_name)[None]
    except (DataError, OSError) as error:
        raise Unfit(_said(error, {str(mask): mask_name, str(image): name})) from None
    if not np.isfinite(values).all():
        raise Unfit(f'{name} holds NaN or infinite values.')
    if labels is None:
        return Slices(values, None, spacing, flat)
    faults = []
    if labels.shape != values.shape[:3]:
        sizes = f'{labels.shape}, its image {values.shape[:3]} (slices, height, width)'
        faults.append(f'mask {mask_name} has shape {sizes}.')
    classes, wrong = whole_labels(labels, cut.labels, mask_name)
    if faults or wrong:
        raise Unfit(*faults, *wrong)
    return Slices(values, np.ascontiguousarray(classes), spacing, flat)


def _said(error: Exception, names: Mapping[str, str]) -> str:
    """Return an error's words with the names and options that the user knows."""
    said = str(error)
    for path, name in {**names, 'geometry="stored"': '--ignore-geometry'}.items():
        said = said.replace(path, name)
    return said


def _grey(pixels: np.ndarray, name: str) -> np.ndarray:
    """Return a mask with one value a pixel.

    Raises:
        Unfit: it is in colours.
    """
    if pixels.ndim == 2:
        return pixels
    if (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    raise Unfit(
        f'mask {name} is in colours. A data set reads it as it is, with a label_map of colours; '
        'to convert it, save it with a grey value for each class.'
    )
