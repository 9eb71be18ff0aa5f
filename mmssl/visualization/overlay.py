"""Segmentations drawn over their image, side by side in one strip."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmssl.utils.io import write_atomic

WHITE = (255, 255, 255)
BAR = 22  # height in pixels of the bars with titles and legend
FONT = cv2.FONT_HERSHEY_SIMPLEX


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W), (H, W, 1) or (H, W, 3) of 8 bit as RGB (H, W, 3)."""
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    return np.ascontiguousarray(np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image)


def draw_overlay(
    image: np.ndarray,
    classes: np.ndarray,
    palette: Sequence[Sequence[int]],
    truth: np.ndarray | None = None,
    alpha: float = 0.35,
) -> np.ndarray:
    """Tint every class, outline it, and outline the truth in white.

    Args:
        image: RGB or grey image (H, W, C), 8 bit.
        classes: class map (H, W); class 0 is not drawn.
        palette: RGB colour of each class.
        truth: class map (H, W) of the truth, or None.
        alpha: opacity of the tint.

    Returns:
        RGB image (H, W, 3).
    """
    drawn = to_rgb(image).copy()
    for index in _drawn_classes(classes):
        mask = classes == index
        colour = np.array(palette[index % len(palette)], np.float32)
        drawn[mask] = (drawn[mask] * (1 - alpha) + colour * alpha).astype(np.uint8)
        _outline(drawn, mask, colour.tolist())
    if truth is not None:
        for index in _drawn_classes(truth):
            _outline(drawn, truth == index, WHITE)
    return drawn


def overlay_strip(
    image: np.ndarray,
    maps: Mapping[str, np.ndarray],
    palette: Sequence[Sequence[int]],
    class_names: Sequence[str] = (),
    truth: np.ndarray | None = None,
    title: str = '',
    height: int = 256,
    legend: bool = True,
) -> np.ndarray:
    """Draw the image, the truth and every segmentation side by side, with titles and a legend.

    Args:
        image: RGB or grey image (H, W, C), 8 bit.
        maps: title to class map of any size with the image's field of view.
        palette: RGB colour of each class.
        class_names: names of the classes, background first.
        truth: class map, or None where there is no truth; then nothing stands for it.
        title: title of the first panel.
        height: height of a panel in pixels.
        legend: whether the legend stands below.

    Returns:
        RGB image (height + bars, width, 3).
    """
    image = to_rgb(image)
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    size = (width, height)
    shrinks = height < image.shape[0]
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    panels = [panel(image, title or 'image', height)]
    if truth is not None:
        truth = _resize_map(truth, size)
        panels.append(panel(draw_overlay(image, truth, palette), 'truth', height))
    for name, classes in maps.items():
        drawn = draw_overlay(image, _resize_map(classes, size), palette, truth)
        panels.append(panel(drawn, name, height))
    strip = in_a_row(panels)
    if not legend:
        return strip
    bar = _legend(strip.shape[1], palette, class_names, truth is not None)
    return np.concatenate((strip, bar), axis=0)


def panel(image: np.ndarray, title: str, height: int) -> np.ndarray:
    """Bring a picture to a height, with a bar above it that has its title.

    Args:
        image: RGB image (H, W, 3), 8 bit; enlarged, its pixels stay as they are.
        title: text of the bar.
        height: in pixels, without the bar.
    """
    if image.shape[0] != height:
        width = max(1, round(image.shape[1] * height / image.shape[0]))
        mode = cv2.INTER_NEAREST if height > image.shape[0] else cv2.INTER_AREA
        image = cv2.resize(image, (width, height), interpolation=mode)
    bar = np.zeros((BAR, image.shape[1], 3), np.uint8)
    _text(bar, title, (4, BAR - 7), WHITE, image.shape[1] - 8)
    return np.concatenate((bar, image))


def in_a_row(panels: Sequence[np.ndarray], gap: int = 0) -> np.ndarray:
    """Put panels of one height side by side, with `gap` white pixels between them."""
    between = np.full((panels[0].shape[0], gap, 3), 255, np.uint8)
    pieces = [piece for one in panels for piece in (one, between)]
    return np.concatenate(pieces[:-1], axis=1)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write an RGB image as PNG, whole or not at all."""
    done, data = cv2.imencode('.png', np.ascontiguousarray(image[..., ::-1]))
    if not done:
        raise ValueError(f'An image of shape {image.shape} cannot be written as {path}.')
    write_atomic(path, data.tobytes())


def _drawn_classes(classes: np.ndarray) -> list[int]:
    return [int(index) for index in np.unique(classes) if index > 0]


def _resize_map(classes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.asarray(classes, np.uint8), size, interpolation=cv2.INTER_NEAREST)


def _outline(image: np.ndarray, mask: np.ndarray, colour: Sequence[float]) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(image, contours, -1, colour, 1)


def _text(image, text: str, origin: tuple[int, int], colour, room: int) -> int:
    """Write text that shrinks to the room it has, and return its width in pixels."""
    scale = 0.45
    width = cv2.getTextSize(text, FONT, scale, 1)[0][0]
    if width > room > 0:
        scale, width = scale * room / width, room
    cv2.putText(image, text, origin, FONT, scale, colour, 1, cv2.LINE_AA)
    return width


def _legend(width: int, palette, class_names: Sequence[str], with_truth: bool) -> np.ndarray:
    entries = [
        (name, tuple(map(int, palette[i % len(palette)])))
        for i, name in enumerate(class_names)
        if i > 0
    ]
    if with_truth:
        entries.append(('truth (outline)', WHITE))
    bar = np.zeros((BAR, width, 3), np.uint8)
    x = 6
    for name, colour in entries:
        if x + 30 > width:
            break
        cv2.rectangle(bar, (x, 6), (x + 10, BAR - 7), colour, -1)
        x += 16 + _text(bar, name, (x + 14, BAR - 7), WHITE, width - x - 18) + 14
    return bar
