"""The largest connected component of every class: what BCP keeps of a pseudo-label."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from mmssl.models.sam.prompts import class_masks, largest_component_masks

EIGHT = np.ones((3, 3), dtype=bool)
"""Pixels that touch by a side or a corner are connected."""


def largest_components(label: Tensor, num_classes: int | None = None) -> Tensor:
    """Keep the largest connected component of every class in every image.

    What is cut off becomes background. Of two components of one size the first one in reading
    order stays. Background (class 0) has no components of its own.

    On the CPU it is SciPy's labelling, about a millisecond for each class of a 256 px image;
    elsewhere `largest_component_masks`, which stays on the device. No gradient passes.

    Args:
        label: class ids (N, H, W), or membership of parts that may overlap (N, K, H, W), where
            each part is taken by itself.
        num_classes: of class ids, with background; without it the device is asked for the
            largest one, once.

    Returns:
        A label of the same shape, type and device.

    Example:
        >>> y = torch.tensor([[[1, 0, 2, 2], [0, 1, 0, 0], [0, 0, 0, 1]]])
        >>> largest_components(y)[0].tolist()
        [[1, 0, 2, 2], [0, 1, 0, 0], [0, 0, 0, 0]]
    """
    if label.device.type != 'cpu':
        return components_on_device(label, num_classes)
    maps = label.detach().numpy()
    out = np.zeros_like(maps)
    for source, target in zip(
        maps.reshape(-1, *maps.shape[-2:]), out.reshape(-1, *maps.shape[-2:]), strict=True
    ):
        for value in np.unique(source):
            if value != 0:
                target[largest_component(source == value)] = value
    return torch.from_numpy(out)


def components_on_device(label: Tensor, num_classes: int | None = None) -> Tensor:
    """Do what `largest_components` does with the label's device alone."""
    if label.dim() == 4:
        return largest_component_masks(label != 0).to(label.dtype)
    classes = int(label.max()) + 1 if num_classes is None else num_classes
    kept = largest_component_masks(class_masks(label, classes)[:, 1:]).any(1)
    return torch.where(kept, label, 0)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest component of a boolean picture (H, W), connected by sides and corners.

    Example:
        >>> largest_component(np.array([[1, 0, 1], [0, 0, 1]], dtype=bool)).astype(int).tolist()
        [[0, 0, 1], [0, 0, 1]]
    """
    numbered, count = ndimage.label(mask, structure=EIGHT)
    if count < 2:
        return mask
    return numbered == np.bincount(numbered.ravel())[1:].argmax() + 1
