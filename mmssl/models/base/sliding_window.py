"""Inference on images larger than a network sees at once: windows whose probabilities are averaged.

The windows are MONAI's (`monai.inferers.sliding_window_inference`), which is imported on first use.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor

from mmssl.registry import MODELS

WEIGHTS = ('constant', 'gaussian')
SMALLEST = torch.finfo(torch.float32).tiny


@MODELS.register_module()
class SlidingWindow:
    """Ask a network window by window, and average the probabilities where windows overlap.

    Windows start every `stride` voxels; the last along an axis ends at the border. An image that
    is smaller than the window is padded with zeros on both sides, and the result cut back, as the
    published code of the Left Atrium benchmark does.

    Args:
        size: the window along each spatial axis, in voxels of the network's input.
        stride: step between windows along each axis; excludes `overlap`.
        overlap: share of a window that the next one covers, 0 <= overlap < 1, for all axes or for
            each; 0.5 where neither is given.
        weights: how a voxel counts by its place in the window: `constant`, or `gaussian`, less
            towards the window's border (standard deviation an eighth of its side).
        mirror: spatial axes along which each window is also seen mirrored, in all combinations
            (2, 4 or 8 passes in place of one); the mean of the probabilities counts.
        batch: windows in one forward pass.
        accumulate: device on which the probabilities of the whole image are summed, `cpu` to
            spare the memory of a GPU; None is that of the image.

    Raises:
        ValueError: an option does not go with the others; on a call, an image has another number
            of spatial axes than `size`.
    """

    def __init__(
        self,
        size: Sequence[int],
        stride: Sequence[int] | None = None,
        overlap: float | Sequence[float] | None = None,
        weights: str = 'constant',
        mirror: Sequence[int] = (),
        batch: int = 4,
        accumulate: str | None = None,
    ) -> None:
        self.size = tuple(int(side) for side in size)
        if not self.size or min(self.size) < 1:
            raise ValueError(f'size={tuple(size)} of the window must be at least 1 along each axis')
        if stride is not None and overlap is not None:
            raise ValueError(
                f'stride={tuple(stride)} and overlap={overlap} both say where windows start: give '
                'one of them'
            )
        self.stride = self._steps(overlap) if stride is None else tuple(int(s) for s in stride)
        if len(self.stride) != len(self.size) or not all(
            1 <= step <= side for step, side in zip(self.stride, self.size, strict=True)
        ):
            raise ValueError(
                f'stride={self.stride} must have a step for each axis, from 1 to the window '
                f'size={self.size}, so that no voxel is left out'
            )
        if weights not in WEIGHTS:
            raise ValueError(f'weights={weights!r} is not known (known: {", ".join(WEIGHTS)})')
        if odd := [axis for axis in mirror if axis not in range(len(self.size))]:
            raise ValueError(
                f'mirror names axes {odd}, but the window size={self.size} has axes 0 to '
                f'{len(self.size) - 1}'
            )
        if batch < 1:
            raise ValueError(f'batch={batch} must be at least 1')
        self.weights, self.batch, self.accumulate = weights, batch, accumulate
        axes = self.mirror = sorted(set(mirror))
        self.flips = [c for number in range(len(axes) + 1) for c in combinations(axes, number)]

    def _steps(self, overlap: float | Sequence[float] | None) -> tuple[int, ...]:
        """Return the step along each axis that an overlap gives."""
        overlap = 0.5 if overlap is None else overlap
        shares = tuple(overlap) if isinstance(overlap, Sequence) else (overlap,) * len(self.size)
        if len(shares) != len(self.size) or not all(0 <= share < 1 for share in shares):
            raise ValueError(
                f'overlap={overlap} must be one share from 0 to below 1, or one for each of the '
                f'{len(self.size)} axes of the window'
            )
        sides = zip(self.size, shares, strict=True)
        return tuple(max(1, int(side * (1 - share))) for side, share in sides)

    def windows(self, shape: Sequence[int]) -> int:
        """Return the number of windows of an image of a shape.

        Example:
            >>> SlidingWindow((112, 112, 80), stride=(18, 18, 4)).windows((176, 130, 88))
            30
        """
        axes = zip(shape, self.size, self.stride, strict=True)
        return prod(ceil(max(length - side, 0) / step) + 1 for length, side, step in axes)

    def __call__(self, images: Tensor, scores: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the logarithm of the mean probabilities (N, C, *shape) of images (N, K, *shape).

        Args:
            images: the network's input.
            scores: gives the class scores (n, C, *size) of windows (n, K, *size), whose softmax
                are probabilities.
        """
        from monai.inferers.utils import sliding_window_inference

        if images.dim() != len(self.size) + 2:
            raise ValueError(
                f'The window size={self.size} of the inferer is for images of {len(self.size)} '
                f'axes, but these have the shape {tuple(images.shape)} (N, channels, ...): set '
                "`size` of the inferer, or `sample` of the data set ('slice' or 'volume')"
            )
        mean: Any = sliding_window_inference(
            images,
            self.size,
            self.batch,
            lambda windows: self._prob(windows, scores),
            # MONAI takes the whole part of (1 - overlap) x size: half a voxel keeps rounding off.
            overlap=[
                max(0.0, 1 - (step + 0.5) / side)
                for step, side in zip(self.stride, self.size, strict=True)
            ],
            mode=self.weights,
            device=self.accumulate or images.device,
        )
        # In place, as the image may be large; no copy of it is made.
        logarithm: Tensor = mean.clamp_(min=SMALLEST).log_()
        return logarithm

    def _prob(self, windows: Tensor, scores: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the probabilities of windows, the mean over the mirrored passes."""
        total: Tensor | None = None
        for axes in self.flips:
            dims = [axis + 2 for axis in axes]
            prob = scores(windows.flip(dims)).softmax(1).flip(dims)
            total = prob if total is None else total + prob
        assert total is not None  # one pass is not mirrored
        return total / len(self.flips) if len(self.flips) > 1 else total
