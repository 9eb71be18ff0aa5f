"""Average the weights of several checkpoints of one training."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from mmssl.engine.label_free import UnlabelledImages
from mmssl.engine.looking import untouched

if TYPE_CHECKING:
    from mmssl.models.base.semi_segmentor import SemiSegmentor


def equal_shares(iterations: Sequence[int]) -> list[float]:
    """Return the weights of an equal mean (SWA, Izmailov et al., UAI 2018).

    Example:
        >>> equal_shares([300, 400])
        [0.5, 0.5]
    """
    return [1 / len(iterations)] * len(iterations)


def fading_shares(iterations: Sequence[int], memory: float) -> list[float]:
    """Return the weights of an exponential mean: after `memory` iterations 1 / e is left.

    Args:
        iterations: of the checkpoints.
        memory: in iterations.

    Example:
        >>> [round(share, 3) for share in fading_shares([0, 100], 100 / 0.6931472)]
        [0.333, 0.667]
    """
    raw = [math.exp((iteration - max(iterations)) / memory) for iteration in iterations]
    return [share / sum(raw) for share in raw]


def average(states: Iterable[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted mean of parameters and buffers; what is no float comes from the last.

    Frozen parts, which all states share, stay what they are, bit for bit.

    Args:
        states: parameters by name, one after the other, so that they need not be in memory at once.
        shares: their weights, which add up to 1.

    Raises:
        ValueError: the states are of different models.
    """
    total: dict[str, Tensor] = {}
    first: dict[str, Tensor] = {}
    last: Mapping[str, Tensor] = {}
    for state, share in zip(states, shares, strict=True):
        first = first or dict(state)
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in first.items()}:
            raise ValueError(
                'The checkpoints are of different models, so that they have no mean: take those of '
                'one run'
            )
        for name, value in state.items():
            if value.is_floating_point():
                # As a difference from the first: what is equal in all stays exactly equal.
                difference = share * (value.double() - first[name].double())
                total[name] = total[name].add_(difference) if name in total else difference
        last = state
    return {
        name: (first[name].double() + total[name]).to(value.dtype) if name in total else value
        for name, value in last.items()
    }


def recompute_statistics(model: 'SemiSegmentor', images: UnlabelledImages) -> int:
    """Give normalisation layers the statistics that the images have under the model's weights.

    Means of weights have other activations than each of them, so that mean statistics are not
    theirs. The training images go through all students and teachers once, as in a test; the
    statistics are the mean over the batches, in which the domains are mixed. Frozen layers keep
    theirs.

    Args:
        model: the model.
        images: training images.

    Returns:
        How many layers have new statistics.
    """
    model.train()  # frozen layers stay in eval mode
    layers = [
        m
        for m in model.modules()
        if isinstance(m, _BatchNorm) and m.training and m.running_mean is not None
    ]
    if not layers:
        model.eval()
        return 0
    before = [{k: v.clone() for k, v in layer.named_buffers()} for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
    networks = [(name, False) for name in model.outputs]
    networks += [(name, True) for name in getattr(model, 'teachers', ()) if name in model.outputs]
    momenta = [layer.momentum for layer in layers]
    with untouched(model):
        for layer in layers:
            layer.momentum = None  # the mean over all batches
            layer.train()
        for samples in images.mixed():
            images.ask(model, samples, networks)
    seen = 0
    for layer, momentum, old in zip(layers, momenta, before, strict=True):
        layer.momentum = momentum
        if layer.num_batches_tracked:
            seen += 1
        else:  # of a network that sees no images
            layer.load_state_dict({**layer.state_dict(), **old})
    model.eval()
    return seen


def greedy_soup(order: Sequence[int], score: Callable[[list[int]], float]) -> list[int]:
    """Return what goes into a soup: one after the other, if the mean does not get worse by it.

    Source: Wortsman et al., Model soups, ICML 2022, with a score that needs no label.

    Args:
        order: candidates, the best first.
        score: of the mean of some candidates; more is better.

    Example:
        >>> greedy_soup([3, 0, 2], lambda chosen: -abs(sum(chosen) / len(chosen) - 2.5))
        [3, 2]
    """
    soup = [order[0]]
    best = score(soup)
    for candidate in order[1:]:
        found = score([*soup, candidate])
        if found >= best:
            soup, best = [*soup, candidate], found
    return soup
