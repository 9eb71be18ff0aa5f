"""What tells labelled from unlabelled images by the distances that a student gives."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class Discriminator(nn.Module):
    """Two scores of an image with its distances: that it is unlabelled, that it is labelled.

    Distances and image are halved by a 4 x 4 (x 4) convolution each and added; further ones halve
    the sum, with leaky ReLU and dropout of whole channels but for the last; the mean over the image
    is classified. The released code takes that mean over windows as large as its patches are then.

    Args:
        distances: maps of distances.
        axes: 2 for images, 3 for volumes.
        in_channels: channels of the image.
        widths: channels behind each convolution.
        dropout: rate at which channels are dropped.
    """

    def __init__(
        self,
        distances: int,
        axes: int,
        in_channels: int = 1,
        widths: Sequence[int] = (64, 128, 256, 512),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        conv: Any = nn.Conv3d if axes == 3 else nn.Conv2d
        first = widths[0]
        self.of_distances = conv(distances, first, 4, stride=2, padding=1)
        self.of_image = conv(in_channels, first, 4, stride=2, padding=1)
        self.convs = nn.ModuleList(
            conv(low, high, 4, stride=2, padding=1)
            for low, high in zip(widths[:-1], widths[1:], strict=True)
        )
        self.drop: nn.Module = nn.Dropout3d(dropout) if axes == 3 else nn.Dropout2d(dropout)
        self.classifier = nn.Linear(widths[-1], 2)

    def forward(self, distances: Tensor, image: Tensor) -> Tensor:
        """Return scores (N, 2).

        Args:
            distances: (N, K, ...), of one size with the image.
            image: (N, C, ...).

        Raises:
            ValueError: the image is too small to be halved so often.
        """
        smallest = 2 ** (1 + len(self.convs))
        if min(image.shape[2:]) < smallest:
            raise ValueError(
                f'The discriminator of SASSNet halves an image {1 + len(self.convs)} times and '
                f'needs {smallest} pixels a side, got {tuple(image.shape[2:])}: give it fewer '
                'widths in model.discriminator.'
            )
        x = F.leaky_relu(self.of_distances(distances) + self.of_image(image), 0.2)
        for conv in self.convs:
            x = F.leaky_relu(conv(self.drop(x)), 0.2)
        scores: Tensor = self.classifier(x.flatten(2).mean(2))
        return scores
