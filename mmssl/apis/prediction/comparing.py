"""A prediction beside its truth, and on its image."""

from pathlib import Path
from typing import Any

import numpy as np

from mmssl.apis.prediction.inputs import Item
from mmssl.apis.prediction.predictor import Predictor
from mmssl.apis.prediction.result import Prediction


def truth_of(folder: Path, item: Item) -> Path:
    """Return the mask of an image in a folder: the same path, with any suffix that is read.

    Raises:
        FileNotFoundError: there is none, or there are several.
    """
    from mmssl.datasets.reading import known_suffixes, split_suffix

    stem = Path(item.name).with_name(split_suffix(Path(item.name).name)[0] or item.name)
    tried = [folder / f'{stem}{suffix}' for suffix in known_suffixes()]
    found = [path for path in tried if path.is_file()]
    if len(found) != 1:
        what = f'several masks, {found[0].name} and {found[1].name}' if found else 'no mask'
        raise FileNotFoundError(f'"{folder}" has {what} for "{item.name}", as {stem}.*')
    return found[0]


def overlap(mask: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the Dice coefficient of two masks, 0 to 1; None where both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / total if total else None


def overlay(found: Prediction, predictor: Predictor, item: Item, most: int = 9) -> np.ndarray:
    """Return a picture (H, W, 3) of a mask on its image, of a volume on up to nine slices.

    Of a model of whole volumes it is three planes, see `volume_strip`.

    Args:
        found: the prediction.
        predictor: that made it.
        item: the image.
        most: number of slices; they are spread over those in which something was found.
    """
    from mmssl.datasets.reading import read_image
    from mmssl.visualization.overlay import draw_overlay, in_a_row, panel

    layout, axes = predictor.pipeline.layout, predictor.pipeline.axes
    if item.image.series is not None:
        axes = axes._replace(series=item.image.series)
    if predictor.pipeline.whole:
        return _planes(found, layout, axes, item)
    indices: list[int | None] = [None]
    if found.classes.ndim == 3:
        there = np.flatnonzero(found.classes.any((1, 2)))
        there = there if len(there) else np.arange(len(found.classes))
        chosen = np.linspace(0, len(there) - 1, min(most, len(there))).round().astype(int)
        indices = [int(there[index]) for index in chosen]
    panels = []
    for index in indices:
        scan = read_image(
            str(item.image.path), layout.channels, layout.image_key, index, layout.value_range, axes
        )
        classes = found.classes if index is None else found.classes[index]
        drawn = draw_overlay(scan.array, classes, found.labels.colours)
        title = item.name if index is None else f'slice {index + 1} of {len(found.classes)}'
        panels.append(panel(drawn, title, 320))
    rows = [in_a_row(panels[start : start + 3]) for start in range(0, len(panels), 3)]
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    )


def _planes(found: Prediction, layout: Any, axes: Any, item: Item) -> np.ndarray:
    """Return three planes of a whole volume with the mask on them."""
    from mmssl.datasets.reading.whole import read_whole
    from mmssl.visualization.planes import volume_strip

    image = read_whole(str(item.image.path), layout.image_key, axes, fill=0)
    return volume_strip(
        image.array,
        {'mask': found.classes},
        found.labels.colours,
        found.labels.names,
        title=item.name,
        height=320,
        spacing=found.spacing,
    )
