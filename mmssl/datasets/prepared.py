"""A training set's images before any random transform."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from mmssl.structures import Draw


class PreparedSlices(Dataset):
    """Give the results of the `prepare` transforms alone; no mask is opened.

    Args:
        dataset: a `MixedDomainDataset`, or a wrapper around one.

    Raises:
        ValueError: it is another kind of data set.
    """

    def __init__(self, dataset: Dataset) -> None:
        inner: Any = dataset
        while not hasattr(inner, 'pipelines'):
            if not hasattr(inner, 'dataset'):
                raise ValueError(
                    f'The images of a {type(inner).__name__} before its random transforms are '
                    'not known; use a MixedDomainDataset.'
                )
            inner = inner.dataset
        self.dataset = copy.copy(inner)
        self.dataset.head, self.dataset.pipelines = [], {True: [], False: []}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        """Return the results, with `img` uint8 (H, W, C), `domain` and `name`."""
        return self.dataset[Draw(int(index), 0, 0, False)]


def image_batch(slices: Sequence[dict]) -> torch.Tensor:
    """Return the images (N, C, H, W) of prepared slices, grey values in [0, 1]."""
    images = torch.from_numpy(np.stack([results['img'] for results in slices]))
    return images.permute(0, 3, 1, 2).float() / 255
