"""What a network makes of an image at the bottom of its encoder."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class DeepestMap:
    """Average the deepest map of a network's encoder while the network predicts.

    The deepest map is the smallest one of more than one element in space that any module of the
    encoder gives, the last such one; so it is found in any network, whatever its modules are
    called. The encoder is `backbone` where the network has one.

    Args:
        network: a student, or a whole model.

    Example:
        >>> down = [nn.Conv2d(1, 4, 3), nn.MaxPool2d(2)]
        >>> encoder = nn.Sequential(*down, nn.Upsample(scale_factor=2))
        >>> images = torch.ones(2, 1, 6, 6)
        >>> DeepestMap(encoder).of(2, lambda: encoder(images))[1].shape
        torch.Size([2, 4])
    """

    def __init__(self, network: nn.Module) -> None:
        encoder = getattr(network, 'backbone', None)
        self.encoder = encoder if isinstance(encoder, nn.Module) else network
        self.module: nn.Module | None = None

    def of(self, count: int, predict: Callable[[], Any]) -> tuple[Any, Tensor]:
        """Return what a prediction gives, and the features (count, C) of its images.

        Several passes over one image, as of a sliding window, are averaged.

        Args:
            count: number of images.
            predict: asks the network; the first time it is called twice.

        Raises:
            ValueError: the network has no maps.
        """
        if self.module is None:
            with _watched([*self.encoder.modules()]) as seen:
                predict()
            least = min((area for _, area, _ in seen), default=None)
            self.module = next((m for m, area, _ in reversed(seen) if area == least), None)
        with _watched([self.module] if self.module is not None else []) as seen:
            answer = predict()
        least = min((area for _, area, _ in seen), default=None)
        rows = [row for _, area, row in seen if area == least]
        if not rows or sum(map(len, rows)) % count:
            raise ValueError(
                f'{type(self.encoder).__name__} gives no map (N, C, H, W), so that images have no '
                'features: rank without distance and with --diversity 1'
            )
        together = torch.cat(rows)
        return answer, together.view(-1, count, together.shape[1]).mean(0).cpu()


@contextmanager
def _watched(modules: Sequence[nn.Module]) -> Iterator[list[tuple[nn.Module, int, Tensor]]]:
    """Give the list that fills with module, size in space and mean (N, C) of every map."""
    seen: list[tuple[nn.Module, int, Tensor]] = []

    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        for one in output if isinstance(output, (tuple, list)) else [output]:
            if isinstance(one, Tensor) and one.ndim > 3 and math.prod(one.shape[2:]) > 1:
                mean = one.detach().float().flatten(2).mean(2)
                seen.append((module, math.prod(one.shape[2:]), mean))

    hooks = [module.register_forward_hook(look) for module in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
