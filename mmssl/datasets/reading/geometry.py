"""How stored axes lie in the patient, and whether two files lie on one grid.

World axes are those of NIfTI: right, anterior, superior (RAS), in mm. Arrays come out as (slice,
row, column); an affine maps (column, row, slice) to the world, so that `Nifti1Image(array.T,
affine)` lies where the file lay.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats.stored import Shape, Stored

PLANES = {'sagittal': 0, 'coronal': 1, 'axial': 2}
THICK = 1.5
TOLERANCE = 0.1
SKEW = 1.0
"""Degrees by which the angle between two axes of a volume may miss a right one."""


class Axes(NamedTuple):
    """Which volume of a file is cut into slices, and how; options of a data config.

    Attributes:
        geometry: 'canonical' turns volumes to RAS by their affine and asks image and mask to lie
            on one grid; 'stored' takes the voxels in the order of the file and compares shapes.
        plane: 'axial', 'coronal' or 'sagittal'; None takes the plane of acquisition, across an
            axis whose voxels are at least 1.5 times as thick as along the others, else axial.
        frame: number of the volume in files of several frames (4-D), from 0.
        series: UID, number or description of the series in DICOM folders of several.
    """

    geometry: str = 'canonical'
    plane: str | None = None
    frame: int | None = None
    series: str | int | None = None


CANONICAL = Axes()


class Geometry(NamedTuple):
    """What a file says of its grid.

    Attributes:
        path: the file, for messages.
        shape: number of voxels along the three stored axes.
        affines: stored index -> world, by name ('sform', 'qform'), the better one first; none
            where the file does not say how it lies.
        fault: why the grid cannot be used, a sentence that names the file.
    """

    path: str
    shape: Shape
    affines: Mapping[str, np.ndarray]
    fault: str = ''

    @classmethod
    def of(cls, stored: Stored) -> 'Geometry':
        """Return what a file says of its grid."""
        return cls(stored.path, stored.shape, stored.affines, stored.fault)


class Turn(NamedTuple):
    """Which stored axes become slice, row and column, and which of these three are reversed."""

    axes: tuple[int, int, int] = (2, 1, 0)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def apply(self, stored: np.ndarray) -> np.ndarray:
        """Return an array in stored order as (slice, row, column), without a copy."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        return stored.transpose(self.axes)[steps]

    def undo(self, turned: np.ndarray) -> np.ndarray:
        """Return an array (slice, row, column) in stored order, without a copy."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        return turned[steps].transpose(np.argsort(self.axes))

    def affine(self, affine: np.ndarray, shape: Shape) -> np.ndarray:
        """Return the affine of the turned array, for indices (column, row, slice)."""
        back = np.zeros((4, 4))
        back[3, 3] = 1
        for new, (old, flip) in enumerate(zip(self.axes[::-1], self.flips[::-1], strict=True)):
            back[old, new] = -1 if flip else 1
            back[old, 3] = shape[old] - 1 if flip else 0
        return affine @ back


def canonical_turn(geometry: Geometry, plane: str | None, flat: bool = False) -> Turn:
    """Return how a volume is turned to RAS and cut.

    Args:
        geometry: what the file says of its grid.
        plane: see `Axes`.
        flat: the file has two axes, so that the third is across its slice.

    Raises:
        DataError: the file's affines contradict each other, are not at right angles, or map the
            volume onto nothing.
    """
    from nibabel.orientations import io_orientation

    _check_fault(geometry)
    if not geometry.affines:
        return Turn()
    _check_affines(geometry)
    affine = next(iter(geometry.affines.values()))
    orientation = io_orientation(affine)
    stored_of = [int(np.flatnonzero(orientation[:, 0] == world)[0]) for world in range(3)]
    across = _slice_axis(geometry.shape, affine, stored_of, plane, flat)
    worlds = (across, *(world for world in (2, 1, 0) if world != across))
    axes = [stored_of[world] for world in worlds]
    return _as_turn(axes, [bool(orientation[axis, 1] < 0) for axis in axes])


def _as_turn(axes: Sequence[int], flips: Sequence[bool]) -> Turn:
    (z, y, x), (back_z, back_y, back_x) = axes, flips
    return Turn((z, y, x), (back_z, back_y, back_x))


def _check_fault(geometry: Geometry) -> None:
    if geometry.fault:
        raise DataError(
            f'{geometry.fault} Or set geometry="stored" to take the slices as they come.'
        )


def _check_affines(geometry: Geometry) -> None:
    from nibabel.orientations import aff2axcodes

    codes = {}
    for name, affine in geometry.affines.items():
        part = affine[:3, :3]
        if not np.isfinite(affine).all() or abs(np.linalg.det(part)) < 1e-9:
            raise DataError(
                f'{geometry.path}: its {name} maps the volume onto a plane or nothing '
                f'({part.tolist()}). Write a right affine, or set geometry="stored" to take the '
                'voxels in the order of the file.'
            )
        _check_skew(geometry, name, part)
        codes[name] = ''.join(aff2axcodes(affine))
    if len(set(codes.values())) > 1:
        said = ' and '.join(f'{name} {code}' for name, code in codes.items())
        raise DataError(
            f'{geometry.path} says {said}, so programs show it in two ways. Make them agree '
            '(nibabel: image.set_qform(image.affine)), or set geometry="stored" to take the voxels '
            'in the order of the file.'
        )


def _check_skew(geometry: Geometry, name: str, part: np.ndarray) -> None:
    """Refuse axes that are not at right angles: no other array of voxels is the same volume."""
    columns = part / np.linalg.norm(part, axis=0)
    cosines = [float(columns[:, a] @ columns[:, b]) for a, b in combinations(range(3), 2)]
    skew = np.degrees(np.arcsin(np.clip(np.abs(cosines), 0, 1))).max()
    if skew > SKEW:
        raise DataError(
            f'{geometry.path}: the axes of its {name} miss right angles by {skew:.1f} degrees, as '
            'with a tilted gantry. Resample it onto a straight grid '
            '(nibabel.processing.resample_to_output(image)), or set geometry="stored" to take the '
            'voxels in the order of the file.'
        )


def _slice_axis(
    shape: Shape,
    affine: np.ndarray,
    stored_of: list[int],
    plane: str | None,
    flat: bool,
) -> int:
    """Return the world axis across the slices."""
    single = [axis for axis in range(3) if shape[axis] == 1]
    if flat or len(single) == 1:
        return stored_of.index(2 if flat else single[0])
    if plane is not None:
        return PLANES[plane]
    sizes = np.linalg.norm(affine[:3, :3], axis=0)[stored_of]
    order = np.argsort(sizes)
    return int(order[2]) if sizes[order[2]] >= THICK * sizes[order[1]] else PLANES['axial']


def turn_onto(mask: Geometry, image: Geometry, turn: Turn) -> Turn:
    """Return how a mask is turned so that it comes to lie on its turned image, voxel by voxel.

    The corners of the two grids may be apart by a tenth of a voxel.

    Args:
        mask: what the mask says of its grid.
        image: what the image says of its grid.
        turn: how the image is turned.

    Raises:
        DataError: they lie on different grids, or one of them does not say how it lies.
    """
    for geometry in (mask, image):
        _check_fault(geometry)
    if bool(mask.affines) != bool(image.affines):
        silent, other = (mask, image) if image.affines else (image, mask)
        raise DataError(
            f'{silent.path} does not say how it lies in the patient, {other.path} does. Give both '
            'the same affine (in NIfTI one whose qform_code or sform_code is not 0), or set '
            'geometry="stored" if their voxels are in one order.'
        )
    if not mask.affines:
        return turn
    for geometry in (mask, image):
        _check_affines(geometry)
    for own, theirs in product(mask.affines.values(), image.affines.values()):
        found = _same_grid(own, mask.shape, theirs, image.shape)
        if found is not None:
            axis_of, reversed_ = found
            flips = zip(turn.flips, (reversed_[axis] for axis in turn.axes), strict=True)
            axes = [axis_of[axis] for axis in turn.axes]
            return _as_turn(axes, [flip != back for flip, back in flips])
    raise DataError(
        f'Mask {mask.path} lies on another grid than its image {image.path}: '
        f'{_in_words(mask)} against {_in_words(image)}. Resample the mask onto the image '
        '(nibabel.processing.resample_from_to(mask, image, order=0)), or set geometry="stored" '
        'if only a header is wrong.'
    )


def _same_grid(
    own: np.ndarray, shape: tuple[int, ...], other: np.ndarray, other_shape: tuple[int, ...]
) -> tuple[list[int], list[bool]] | None:
    """Return, for each axis of the other grid, the own axis along it and whether it runs back."""
    mapping = np.linalg.inv(other) @ own
    part = mapping[:3, :3] / np.linalg.norm(mapping[:3, :3], axis=0)
    signs = np.rint(part).astype(int)
    if not (np.abs(signs).sum(0) == 1).all() or not (np.abs(signs).sum(1) == 1).all():
        return None
    axis_of = [int(np.flatnonzero(row)[0]) for row in signs]
    reversed_ = [int(row.sum()) < 0 for row in signs]
    if tuple(shape[axis] for axis in axis_of) != tuple(other_shape):
        return None
    for corner in product(*((0, size - 1) for size in shape)):
        reached = (mapping @ (*corner, 1))[:3]
        exact = [
            other_shape[axis] - 1 - corner[axis_of[axis]] if back else corner[axis_of[axis]]
            for axis, back in enumerate(reversed_)
        ]
        if np.abs(reached - exact).max() > TOLERANCE:
            return None
    return axis_of, reversed_


def _in_words(geometry: Geometry) -> str:
    from nibabel.orientations import aff2axcodes

    affine = next(iter(geometry.affines.values()))
    sizes, origin = (
        ', '.join(f'{value:.4g}' for value in values)
        for values in (np.linalg.norm(affine[:3, :3], axis=0), affine[:3, 3])
    )
    shape = ' x '.join(map(str, geometry.shape))
    return f'{"".join(aff2axcodes(affine))} {shape} voxels of ({sizes}) mm from ({origin})'
