"""A volume as a picture: a plane across each of its axes, with what is segmented on them."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from mmssl.visualization.overlay import draw_overlay, in_a_row, overlay_strip, to_rgb

AXES = ('slice', 'row', 'column')
SHOWN = (0.5, 99.5)
"""Percentiles of the intensities that are drawn black and white."""


def volume_strip(
    image: np.ndarray,
    maps: Mapping[str, np.ndarray],
    palette: Sequence[Sequence[int]],
    class_names: Sequence[str] = (),
    truth: np.ndarray | None = None,
    title: str = '',
    height: int = 256,
    spacing: Sequence[float] | None = None,
) -> np.ndarray:
    """Draw three planes of a volume below each other, each as `overlay_strip` draws an image.

    A plane is where the truth (else the first segmentation) has the most voxels of its classes,
    the middle where it has none. Planes across the slices have the first slice at the bottom.

    Args:
        image: volume (D, H, W, C) of any intensities; the first channel is drawn.
        maps: title to class map (D, H, W) of any size with the volume's field of view.
        palette: RGB colour of each class.
        class_names: names of the classes, background first.
        truth: class map, or None where there is no truth.
        title: title of the first panel.
        height: height of a panel in pixels.
        spacing: size in mm of a voxel of a volume of the size of the truth, else of the first map;
            None draws voxels as cubes.

    Returns:
        RGB image (3 x (height + bar) + bar, width, 3).
    """
    grey = _grey(image[..., 0])
    chosen = next(iter(maps.values())) if truth is None else truth
    sides = chosen.shape if spacing is None else np.multiply(chosen.shape, spacing)
    rows = []
    for axis in range(3):
        at = _fullest(chosen, axis)
        share = (at + 0.5) / chosen.shape[axis]
        down, across = np.delete(sides, axis)
        fit = height, max(1, round(height * across / down))
        drawn = cv2.resize(_plane(grey, axis, share), fit[::-1])
        rows.append(
            overlay_strip(
                drawn,
                {name: _plane(one, axis, share) for name, one in maps.items()},
                palette,
                class_names,
                None if truth is None else _plane(truth, axis, share),
                f'{title} {AXES[axis]} {at + 1}/{chosen.shape[axis]}'.strip(),
                height,
                legend=axis == 2,
            )
        )
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    )


def as_picture(
    volume: np.ndarray,
    classes: np.ndarray | None = None,
    palette: Sequence[Sequence[int]] = (),
) -> np.ndarray:
    """Return a volume as one picture, RGB of 8 bit: three planes side by side, voxels as cubes.

    Args:
        volume: (D, H, W, C) of any intensities; the first channel is drawn.
        classes: class map (D, H, W) that is drawn over it and says where it is cut, as in
            `volume_strip`; without one it is cut in the middle.
        palette: RGB colour of each class.
    """
    grey = _grey(volume[..., 0])
    pieces = []
    for axis in range(3):
        at = grey.shape[axis] // 2 if classes is None else _fullest(classes, axis)
        share = (at + 0.5) / grey.shape[axis]
        plane = to_rgb(_plane(grey, axis, share))
        if classes is not None:
            plane = draw_overlay(plane, _plane(classes, axis, share), palette)
        pieces.append(plane)
    height = max(piece.shape[0] for piece in pieces)
    return in_a_row(
        [np.pad(piece, ((0, height - piece.shape[0]), (0, 0), (0, 0))) for piece in pieces], gap=1
    )


def _grey(values: np.ndarray) -> np.ndarray:
    """Return intensities as 8 bit; those of 8 bit stay as they are."""
    if values.dtype == np.uint8:
        return values
    low, high = np.percentile(values, SHOWN)
    return (255 * np.clip((values - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def _fullest(classes: np.ndarray, axis: int) -> int:
    """Return the plane across an axis that has the most voxels of any class."""
    found = [np.count_nonzero(plane) for plane in np.moveaxis(classes, axis, 0)]
    return int(np.argmax(found)) if any(found) else classes.shape[axis] // 2


def _plane(volume: np.ndarray, axis: int, share: float) -> np.ndarray:
    """Return the plane across an axis at a share of its length, the first slice at the bottom."""
    plane = volume.take(int(share * volume.shape[axis]), axis)
    return np.ascontiguousarray(plane if axis == 0 else plane[::-1])
