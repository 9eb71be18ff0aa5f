"""What counts of a mask file: whole numbers, palette indices, colours or opacity."""

import numpy as np

from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.label_map import LabelMap
from mmssl.datasets.reading.pictures import Picture

# A scaled mask whose steps are finer than this can only mean the whole number next to a value.
_FINE_STEP = 0.2


def whole_numbers(
    mask: np.ndarray, path: str, label_map: LabelMap, step: float = 0.0
) -> np.ndarray:
    """Return label values as uint8 or uint16, whatever numeric type a file has them in.

    Values that miss a whole number by rounding are rounded: by 1e-5 of their size (or four times
    the precision of a shorter type), or by half a step where whole numbers are stored with a
    scale of fine steps. With `nearest` the label map takes any finite value.

    Args:
        mask: values of any numeric type.
        path: the file, for messages.
        label_map: what the values mean.
        step: how far apart two neighbouring stored values are; 0 if they are not scaled.

    Raises:
        DataError: a value is not a whole number from 0 to 65535.
    """
    if mask.dtype in (np.uint8, np.uint16) and mask.dtype.isnative:
        return mask
    if mask.dtype.kind == 'f' and not np.isfinite(mask).all():
        raise DataError(
            f'Mask {path} has value {mask[~np.isfinite(mask)].flat[0]}; labels are whole numbers. '
            'Write the value of the background there (numpy.nan_to_num).'
        )
    if label_map.nearest and not label_map.colour:
        return label_map.nearest_listed(mask)
    values = mask.astype(np.float64)
    whole = np.rint(values)
    tolerance = np.maximum(1, np.abs(values)) * 1e-5
    if mask.dtype.kind == 'f':
        tolerance = np.maximum(1, np.abs(values)) * max(1e-5, 4 * float(np.finfo(mask.dtype).eps))
    if 0 < step <= _FINE_STEP:
        tolerance += 0.5001 * step
    wrong = mask[(np.abs(values - whole) > tolerance) | (whole < 0) | (whole > 65535)]
    if wrong.size:
        found = wrong.flat[0]
        cause = (
            'numbers from 0 to 65535 are read; add 256 to what was 128 or more in 8 bits'
            if float(found).is_integer()
            else f'a mask must not be interpolated; write it without, or set '
            f'{label_map.written(nearest=True)}'
        )
        raise DataError(
            f'Mask {path} has value {found}; labels are whole numbers from 0 to 65535. '
            f'Correct the file: {cause}.'
        )
    return whole.astype(np.uint16)


def what_counts(picture: Picture, label_map: LabelMap, path: str) -> np.ndarray:
    """Return the part of a picture that a label map reads, (H, W) or (H, W, 3).

    A palette is read by its colours if the map lists colours, else by index or grey value,
    whichever the map lists. Opacity is left aside as long as nothing is hidden by it.

    Raises:
        DataError: two things could be meant and give different masks.
    """
    if label_map.counts == 'alpha':
        if picture.alpha is None:
            raise DataError(
                f'Mask {path} has no alpha channel with a shape, but label_map says counts="alpha".'
                ' Leave counts out for this mask (overrides= for its domain).'
            )
        return picture.alpha
    if label_map.counts == 'index' and picture.indices is not None:
        return picture.indices
    if label_map.counts is not None:
        return picture.pixels
    if picture.indices is not None:
        return _of_palette(picture, picture.indices, label_map, path)
    if picture.alpha is not None:
        _check_hidden(picture, picture.alpha, label_map, path)
    return picture.pixels


def _of_palette(
    picture: Picture, indices: np.ndarray, label_map: LabelMap, path: str
) -> np.ndarray:
    """Return indices or colours of a palette picture."""
    used, first = np.unique(indices, return_index=True)
    colours = picture.pixels.reshape(-1, 3)[first]
    merged = len(np.unique(colours, axis=0)) < len(used)
    choice = (
        f'Palette of mask {path}: its numbers {used[:8].tolist()} have the colours '
        f'{[tuple(colour) for colour in colours[:8].tolist()]}; '
    )
    seen = 'set "counts": "colour" in label_map if the colours count'
    if label_map.colour:
        if merged:
            listed = ', '.join(f'{number}: ...' for number in used[:4].tolist())
            raise DataError(
                f'{choice}a label map of colours cannot tell them apart. List the numbers, '
                f'label_map={{{listed}}}, or {seen}.'
            )
        return picture.pixels
    if not (colours == colours[:, :1]).all():
        return indices
    by_index, by_grey = label_map.lists(used), label_map.lists(colours[:, 0])
    if by_grey and not by_index and not merged:
        return picture.pixels
    if by_index and (merged or not by_grey):
        return indices
    if (used == colours[:, 0]).all():
        return indices
    if by_index and by_grey and (label_map(used[None]) == label_map(colours[None, :, 0])).all():
        return indices
    raise DataError(
        f'{choice}the label map ({label_map}) can mean either. Set "counts": "index" in label_map '
        f'if the numbers count, {seen[4:]}.'
    )


def _check_hidden(picture: Picture, alpha: np.ndarray, label_map: LabelMap, path: str) -> None:
    """Refuse a mask whose shape is drawn by opacity, or hidden by it."""
    pixels = picture.pixels.reshape(*alpha.shape, -1)
    shapes = f'{label_map.written(counts="colour")} to leave it aside'
    if (pixels == pixels[0, 0]).all():
        raise DataError(
            f'Mask {path} has one colour, {tuple(pixels[0, 0].tolist())}; its shape is in the '
            'alpha channel. Say what opacity means, label_map={0: 0, 255: 1, "counts": "alpha"}, '
            f'or set {shapes}.'
        )
    hidden = np.unique(pixels[alpha == 0], axis=0)
    if not len(hidden):
        return
    classes = label_map(hidden[None, ...] if pixels.shape[2] == 3 else hidden[None, :, 0], path)
    if classes.any():
        shown = hidden[np.flatnonzero(classes[0])[0]].tolist()
        raise DataError(
            f'Mask {path} has transparent pixels of colour {tuple(shown)}, which is class '
            f'{classes.max()}: hidden or meant? Save it without alpha channel, as it is seen, '
            f'or set {shapes}.'
        )
