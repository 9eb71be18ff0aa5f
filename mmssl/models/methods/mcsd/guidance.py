"""What two networks that see a pixel make of it for a third look at it."""

from collections.abc import Callable

import torch
from torch import Tensor

Decision = tuple[Tensor, Tensor]
"""Confidence and label of every pixel."""


def agreement(a: Decision, b: Decision) -> Decision:
    """Return a's decision, with confidence 0 where b has another label.

    Example:
        >>> a, b = torch.tensor([0.9, 0.8]), torch.tensor([0.6, 0.7])
        >>> agreement((a, torch.tensor([1, 2])), (b, torch.tensor([1, 0])))
        (tensor([0.9000, 0.0000]), tensor([1, 2]))
    """
    confidence, label = a
    return confidence * (label == b[1]).to(confidence.dtype), label


def confident(a: Decision, b: Decision) -> Decision:
    """Return the decision of the more confident one, a's where both are as confident.

    Example:
        >>> a, b = torch.tensor([0.9, 0.6]), torch.tensor([0.6, 0.7])
        >>> confident((a, torch.tensor([1, 2])), (b, torch.tensor([1, 0])))
        (tensor([0.9000, 0.7000]), tensor([1, 0]))
    """
    return torch.maximum(a[0], b[0]), torch.where(b[0] > a[0], b[1], a[1])


GUIDANCE: dict[str, Callable[[Decision, Decision], Decision]] = {
    'agreement': agreement,
    'confident': confident,
}
"""How network B has a say in what network A is taught, by the names that configs use."""
