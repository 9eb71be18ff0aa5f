"""An image of the pool, what is found in it, and where the networks are uncertain."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmssl.visualization.overlay import draw_overlay, in_a_row, to_rgb

HEIGHT = 160  # of a picture in pixels
QUALITY = 85  # of the JPEG
FULL = 0.7  # uncertainty that has the brightest colour


def draw(
    packed: dict, classes: np.ndarray, uncertainty: np.ndarray, palette: Sequence[Sequence[int]]
) -> bytes:
    """Return image, prediction and uncertainty side by side as JPEG; of a volume, one slice.

    Args:
        packed: the image as the test pipeline packs it.
        classes: class ids (h, w) or (d, h, w).
        uncertainty: 0 to 1, of the same shape.
        palette: RGB colour of each class.
    """
    image = packed['inputs'].numpy()
    shape = packed['data_samples'].get('ori_shape') or image.shape[1:]
    if classes.ndim == 3:  # the slice that the networks are least certain of
        depth = int(uncertainty.mean((1, 2)).argmax())
        image = image[:, min(depth * image.shape[1] // len(classes), image.shape[1] - 1)]
        classes, uncertainty = classes[depth], uncertainty[depth]
    width = int(np.clip(round(HEIGHT * shape[-1] / shape[-2]), 1, 4 * HEIGHT))
    size = (width, HEIGHT)
    scan = cv2.resize(to_rgb(_eight_bit(image).transpose(1, 2, 0)), size)
    shown = cv2.resize(classes.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    level = np.clip(cv2.resize(uncertainty.astype(np.float32), size) / FULL, 0, 1)
    heat = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_INFERNO)
    row = in_a_row([scan, draw_overlay(scan, shown, palette, alpha=0.2), heat[..., ::-1]], 2)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return cv2.imencode('.jpg', np.ascontiguousarray(row[..., ::-1]), options)[1].tobytes()


def _eight_bit(image: np.ndarray) -> np.ndarray:
    """Return an image (C, H, W) with grey levels of 8 bit."""
    if image.dtype == np.uint8:
        return image
    low, high = float(image.min()), float(image.max())
    return ((image - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
