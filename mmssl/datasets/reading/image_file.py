"""An image file and where its slices lie: what is needed to put masks back into its place."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmssl.datasets.reading.decode import open_picture
from mmssl.datasets.reading.formats import Stored, holds_volumes
from mmssl.datasets.reading.formats.tiff import picture_spacing
from mmssl.datasets.reading.geometry import CANONICAL, Axes, Turn
from mmssl.datasets.reading.volumes import (
    file_spacing,
    look_at,
    turned_shape,
    volume_affine,
    volume_turn,
)


@dataclass(frozen=True, eq=False)
class ImageFile:
    """A picture, slice or volume and its place; of volumes no voxel was read.

    Attributes:
        path: the file, or the folder of a DICOM series.
        kind: 'picture', or the format: 'nifti', 'dicom', 'itk' (NRRD and MetaImage), 'tiff' (of
            several pages), 'hdf5'.
        shape: (H, W) of one image, (Z, H, W) of a volume, as they are read and predicted.
        stored_shape: number of voxels along the axes of the file, (x, y) or (x, y, z); the first is
            the fastest.
        stored_affine: index (x, y, z) in the file -> RAS in mm; None where the file does not say.
        turn: how stored axes become (slice, row, column).
        affine: index (column, row, slice) -> RAS in mm; None where the file does not say it.
        spacing: size of a pixel or voxel in mm in the order of `shape`; None where unknown.
        stored: the volume as its file holds it, with `dtype`, `affines`, `sizes`, `part` and
            `array`; None of a picture.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    stored_shape: tuple[int, ...]
    stored_affine: np.ndarray | None
    turn: Turn
    affine: np.ndarray | None
    spacing: tuple[float, ...] | None
    stored: Stored | None = None

    def header(self) -> Any:
        """Return the header as the library of its format knows it; None of a picture.

        It is the image of nibabel (its voxels unread), the list of pydicom data sets without
        pixels in the order of the stored slices, the `ImageFileReader` of SimpleITK with the
        information read, or a dict of the tags or attributes of TIFF and HDF5.
        """
        return None if self.stored is None else self.stored.header()

    def restore(self, turned: np.ndarray) -> np.ndarray:
        """Return an array of `shape`, such as a mask, in the order of the file, `stored_shape`.

        Raises:
            ValueError: the array has another shape.
        """
        if turned.shape != self.shape:
            raise ValueError(
                f'An array {turned.shape} cannot be laid on {self.path}, whose slices are '
                f'{self.shape}.'
            )
        full = self.turn.undo(turned[None] if turned.ndim == 2 else turned)
        return full[..., 0] if len(self.stored_shape) == 2 else full


def open_image(path: str, key: str = 'image', axes: Axes = CANONICAL) -> ImageFile:
    """Look at an image file of any known format.

    Args:
        path: the file, or the folder of a DICOM series.
        key: name of the dataset in an HDF5 file.
        axes: which frame or series is meant, and how a volume is cut.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, of no known format or cannot be represented; several frames
            or series are there and none is chosen.
    """
    if not holds_volumes(path):
        picture = open_picture(path)
        height, width = picture.pixels.shape[:2]
        return ImageFile(
            path, 'picture', (height, width), (width, height), None, Turn(), None,
            picture_spacing(path),
        )  # fmt: skip
    stored = look_at(path, key, axes)
    turn = volume_turn(path, key, axes)
    return ImageFile(
        path,
        stored.kind,
        turned_shape(stored, turn),
        stored.shape[:2] if stored.flat else stored.shape,
        next(iter(stored.affines.values()), None),
        turn,
        volume_affine(path, key, axes),
        file_spacing(path, key, axes),
        stored,
    )
