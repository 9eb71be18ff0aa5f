"""Grey values to a network's input, and back: `(x - mean) / std`, for all or each channel."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Normalisation:
    """Mean and standard deviation of a network's input, in grey values 0 to 255.

    Args:
        mean: one number, or one for each channel.
        std: the same.
        whose: for the errors.

    Raises:
        ValueError: a standard deviation is not above 0, or the two differ in length.
    """

    def __init__(
        self, mean: float | Sequence[float], std: float | Sequence[float], whose: str
    ) -> None:
        self.whose = whose
        self.mean, self.std = _plain(mean), _plain(std)
        lengths = {len(x) for x in (self.mean, self.std) if isinstance(x, tuple)}
        if len(lengths) > 1:
            raise ValueError(
                f'mean={mean} and std={std} of the {whose} differ in their channels: give both one '
                'number, or one for each channel'
            )
        self.channels = lengths.pop() if lengths else 1
        if min(self.std if isinstance(self.std, tuple) else (self.std,)) <= 0:
            raise ValueError(f'std={std} of the {whose} must be above 0')

    def __call__(self, x: Tensor) -> Tensor:
        """Return images (N, C, H, W) scaled.

        Raises:
            ValueError: they have another number of channels.
        """
        return (x - self._like(self.mean, x)) / self._like(self.std, x)

    def back(self, x: Tensor) -> Tensor:
        """Return the grey values of scaled images."""
        return x * self._like(self.std, x) + self._like(self.mean, x)

    def _like(self, value: float | tuple[float, ...], x: Tensor) -> float | Tensor:
        if not isinstance(value, tuple):
            return value
        if len(value) != x.shape[1]:
            raise ValueError(
                f'The {self.whose} has means of {len(value)} channels, but its images have '
                f'{x.shape[1]}: give `channels` in data_preprocessor.sizes, or one number'
            )
        # no tensor from the host in each step: the values are baked into the kernels
        parts = [torch.full_like(x[(slice(1),) * x.dim()], number) for number in value]
        return torch.cat(parts, 1)


def own_normalisation(name: str, student: nn.Module) -> dict[str, Any]:
    """Return mean, std and channels that a student's own preprocessor asks for, else nothing.

    A segmentor of mmsegmentation may come with a preprocessor of its own, which would not be asked:
    its means are taken over, and the rest is refused.

    Args:
        name: of the student.
        student: the network.

    Raises:
        ValueError: it does more than to subtract means and divide from RGB images.
    """
    own = getattr(student, 'data_preprocessor', None)
    if getattr(own, 'batch_augments', None):
        raise ValueError(
            f'The data_preprocessor of student "{name}" has batch_augments, which would not be '
            'made: remove them, and change images in the pipeline'
        )
    if own is None or not getattr(own, '_enable_normalize', False):
        return {}
    mean, std = (getattr(own, key).flatten().tolist() for key in ('mean', 'std'))
    turned = bool(getattr(own, '_channel_conversion', False))
    if len(mean) > 1 and not turned:
        raise ValueError(
            f'The data_preprocessor of student "{name}" takes images in the order BGR, but those '
            f'here are RGB: remove it, and write the means in the order RGB into '
            f'data_preprocessor.sizes.{name}=dict(mean=..., std=..., channels=3)'
        )
    return dict(mean=mean, std=std, channels=len(mean))


def _plain(value: float | Sequence[float]) -> float | tuple[float, ...]:
    if isinstance(value, Sequence):
        numbers = tuple(float(number) for number in value)
        return numbers[0] if len(numbers) == 1 else numbers
    return float(value)
