"""Draw the features of a network to those of another, in training alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.registry import MODELS
from mmssl.utils.resize import resize_linear

LOSSES = ('cosine', 'l2')


@MODELS.register_module()
class FeatureDistillation(nn.Module):
    """The distance of a network's features f, through a 1x1 convolution h, from features phi.

    With phi without gradient and at the size of f, the mean over the pixels::

        cosine    1 - h(f) . phi / (|h(f)| |phi|)
        l2        |h(f) - phi|^2 / D

    h is no part of the network: prediction and its checkpoint's use need neither h nor phi.

    Args:
        layer: the module of the network whose result is f, by its name.
        dim: D, the channels of phi.
        loss: `cosine` or `l2`.
        weight: factor of the term.

    Raises:
        ValueError: an unknown `loss`.
    """

    def __init__(
        self,
        layer: str = 'decode_head.convs.2',
        dim: int = 30,
        loss: str = 'cosine',
        weight: float = 0.1,
    ) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise ValueError(f'loss must be one of {LOSSES}, found {loss!r}')
        self.layer, self.dim, self.loss, self.weight = layer, dim, loss, weight
        self.head: Any = None

    def attach(self, network: nn.Module) -> None:
        """Make h for the channels of a network's layer.

        Raises:
            ValueError: the network has no such layer, or that has no convolution.
        """
        named = dict(network.named_modules())
        inner = named[self.layer].modules() if self.layer in named else ()
        widths = [module.out_channels for module in inner if isinstance(module, nn.Conv2d)]
        if not widths:
            raise ValueError(
                f'layer="{self.layer}" is no module with a convolution of the network; its decode '
                f'head has {[name for name in named if name.count(".") == 2 and "head" in name]}'
            )
        self.head = nn.Conv2d(widths[-1], self.dim, 1)

    @contextmanager
    def record(self, network: nn.Module) -> Iterator[list[Tensor]]:
        """Collect what the layer gives in every pass of the network."""
        seen: list[Tensor] = []
        layer = network.get_submodule(self.layer)
        handle = layer.register_forward_hook(lambda module, args, result: seen.append(result))
        try:
            yield seen
        finally:
            handle.remove()

    def forward(self, f: Tensor, phi: Tensor) -> Tensor:
        """Return the weighted term.

        Args:
            f: features of the network, (N, C, h, w).
            phi: features to follow, (N, D, H, W).
        """
        phi = resize_linear(phi.detach().float(), f.shape[2:])
        h: Tensor = self.head(f).float()
        if self.loss == 'l2':
            return self.weight * F.mse_loss(h, phi)
        return self.weight * (1 - F.cosine_similarity(h, phi)).mean()
