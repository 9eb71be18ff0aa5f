"""Pictures of cases that are small enough to lie inside a page: one image, thin layers over it."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from mmssl.reports.scores import mean_dice

SIDES = ((60, 320), (150, 256), (400, 192))
"""Up to so many cases, the longer side of their pictures in pixels."""
SMALLEST = 160
MOST_SLICES = 24
WHITE = (255, 255, 255, 255)
MISSED, EXTRA, OTHER = (213, 0, 110, 205), (255, 200, 0, 205), (0, 170, 235, 205)
APART = (150, 80, 255, 200)
DOUBT_STEPS = 7


class Pictures:
    """Draw cases for the gallery.

    An image is a JPEG; what lies over it are PNG of a few colours, some hundred bytes each, which
    the browser puts on top. So all methods share the image, and layers can be switched.

    Args:
        cases: how many there are; more cases have smaller pictures.
        palette: RGB colour of each class.
    """

    def __init__(self, cases: int, palette: Sequence[Sequence[int]]) -> None:
        self.side = next((side for most, side in SIDES if cases <= most), SMALLEST)
        self.palette = [tuple(colour) for colour in palette] or [(0, 0, 0), (230, 60, 60)]

    def draw(self, case: dict[str, Any], share: int) -> int:
        """Put pictures into the slices of a case, as many as its share of the bytes allows.

        The slice with the lowest Dice comes first, then the others spread evenly; a slice without
        pictures is taken out.

        Args:
            case: `slices` and `arrays`, see `mmssl.reports.cases`.
            share: bytes.

        Returns:
            The bytes used.
        """
        used = 0
        kept: list[int] = []
        for at in _order(case['slices']):
            if kept and (used >= share or len(kept) >= MOST_SLICES):
                break
            entry = case['slices'][at]
            arrays = case['arrays'][entry['name']]
            used += self._draw_slice(entry, arrays)
            kept.append(at)
        case['worst'] = sorted(kept).index(kept[0]) if kept else 0
        case['slices'] = [case['slices'][at] for at in sorted(kept)]
        case['all_slices'] = len(case['arrays'])
        case['arrays'] = {}
        return used

    def _draw_slice(self, entry: dict[str, Any], arrays: Mapping[str, Mapping]) -> int:
        first = next(iter(arrays.values()))
        size = self._size(first['pred'].shape)
        entry['image'] = jpeg(cv2.resize(first['image'], size, interpolation=_mode(first, size)))
        texts = [entry['image']]
        if 'truth' in first:
            entry['seen'] = png(*self._outlines(_fit(first['truth'], size), True))
            texts.append(entry['seen'])
        for row, one in arrays.items():
            layers = entry['rows'][row]
            pred = _fit(one['pred'], size)
            layers['pred'] = png(*self._outlines(pred, False))
            if 'truth' in one:
                layers['error'] = png(*_errors(pred, _fit(one['truth'], size)))
            if 'teacher' in one:
                differs = (pred != _fit(one['teacher'], size)).astype(np.uint8)
                layers['apart'] = png(differs, [(0, 0, 0, 0), APART])
            if 'doubt' in one:
                layers['doubt'] = png(*_doubt(one['doubt'], size))
            texts += [value for key, value in layers.items() if key != 'scores']
        return sum(map(len, texts))

    def _size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Return width and height of a picture; a small map is enlarged to thin outlines."""
        scale = self.side / max(shape)
        return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))

    def _outlines(self, classes: np.ndarray, truth: bool) -> tuple[np.ndarray, list]:
        """Return a map of colours: tint and outline of each class, outlines alone of a truth."""
        if truth:  # on one side of an edge only, so that a ring has thin lines inside, too
            lowest = cv2.erode(classes, np.ones((3, 3), np.uint8))
            return (lowest != classes).astype(np.uint8), [(0, 0, 0, 0), WHITE]
        drawn = np.zeros_like(classes)
        colours: list[tuple[int, ...]] = [(0, 0, 0, 0)]
        for index in (int(i) for i in np.unique(classes) if i):
            mask = (classes == index).astype(np.uint8)
            inner = cv2.erode(mask, np.ones((3, 3), np.uint8), borderValue=0)
            colour = (*self.palette[index % len(self.palette)], 255)
            drawn[mask > 0] = len(colours)
            colours.append((*colour[:3], 70))
            drawn[(mask > 0) & (inner == 0)] = len(colours)
            colours.append(colour)
        return drawn, colours


def _order(slices: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the order in which slices are drawn: the worst, then halves, quarters and so on."""

    def badness(at: int) -> float:
        found = [mean_dice(row['scores']) for row in slices[at]['rows'].values()]
        return min((value for value in found if value is not None), default=100.0)

    count = len(slices)
    values = [badness(at) for at in range(count)]
    first = values.index(min(values)) if len(set(values)) > 1 else count // 2
    spread, step = [first], float(count)
    while len(set(spread)) < count:
        spread += [int(at) for at in np.arange(step / 2, count, step)]
        step /= 2
        if step < 1:
            spread += range(count)
    return list(dict.fromkeys(spread))


def _fit(classes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(classes, size, interpolation=cv2.INTER_NEAREST)


def _mode(arrays: Mapping[str, np.ndarray], size: tuple[int, int]) -> int:
    return cv2.INTER_AREA if size[0] < arrays['image'].shape[1] else cv2.INTER_CUBIC


def _errors(pred: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, list]:
    """Return where something is missed, too much, or of another class."""
    wrong = pred != truth
    drawn = np.where(
        wrong & (pred == 0), 1, np.where(wrong & (truth == 0), 2, np.where(wrong, 3, 0))
    )
    return drawn.astype(np.uint8), [(0, 0, 0, 0), MISSED, EXTRA, OTHER]


def _doubt(entropy: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, list]:
    """Return the entropy in a few steps of an orange that becomes denser; half the size will do."""
    half = (max(1, size[0] // 2), max(1, size[1] // 2))
    small = cv2.resize(entropy.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    steps = np.clip(np.round(small * DOUBT_STEPS), 0, DOUBT_STEPS).astype(np.uint8)
    return steps, [(255, 120, 0, round(235 * i / DOUBT_STEPS)) for i in range(DOUBT_STEPS + 1)]


def jpeg(image: np.ndarray) -> str:
    """Return a grey or RGB picture as the address of a JPEG that lies in it."""
    image = image[..., ::-1] if image.ndim == 3 else image
    _, data = cv2.imencode('.jpg', np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, 78])
    return f'data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}'


def png(classes: np.ndarray, colours: Sequence[Sequence[int]]) -> str:
    """Return a map of colours as the address of a PNG that lies in it.

    Args:
        classes: number of the colour of each pixel (H, W).
        colours: RGB and opacity of each, 0 to 255.
    """
    from PIL import Image

    picture = Image.frombytes('P', classes.shape[::-1], classes.astype(np.uint8).tobytes())
    picture.putpalette([value for colour in colours for value in colour[:3]])
    file = io.BytesIO()
    bits = 1 if len(colours) <= 2 else 2 if len(colours) <= 4 else 4 if len(colours) <= 16 else 8
    picture.save(
        file,
        'PNG',
        transparency=bytes(colour[3] for colour in colours),
        bits=bits,
        compress_level=9,
    )
    return f'data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}'
