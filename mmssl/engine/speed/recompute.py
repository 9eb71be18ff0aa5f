"""Keep less for the backward pass: what is cheap is computed again."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.checkpoint import checkpoint

NORMS = (_NormBase, nn.GroupNorm)
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def recompute_norms(network: nn.Module) -> int:
    """Let stacks of convolution, norm and activation keep the convolutions' results alone.

    Norm and activation are computed again in the backward pass, from the same numbers by the same
    kernels: the gradients are the same bit for bit. No convolution is made twice, because
    PyTorch's checkpoint ends as soon as the last tensor that was dropped is there. BatchNorm's
    running statistics move once.

    Args:
        network: its `nn.Sequential`s are looked through.

    Returns:
        How many stacks were changed.
    """
    stacks = [m for m in network.modules() if isinstance(m, nn.Sequential) and _is_stack(m)]
    for stack in stacks:
        stack.forward = partial(_in_segments, stack, stack.forward)  # type: ignore[method-assign]
    return len(stacks)


def _is_stack(module: nn.Sequential) -> bool:
    """Return whether a norm follows a convolution, and the modules run one after the other."""
    kinds = [type(child) for child in module]
    follows = any(
        issubclass(a, CONVS) and issubclass(b, NORMS)
        for a, b in zip(kinds, kinds[1:], strict=False)
    )
    own = type(module).forward is not nn.Sequential.forward or 'forward' in vars(module)
    return follows and not own


def _in_segments(stack: nn.Sequential, original: Any, x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return original(x)
    for segment in _segments(stack):
        # The result of an activation in place at the end is kept by what comes next anyway.
        last = isinstance(segment[-1], CONVS) or not getattr(segment[-1], 'inplace', False)
        if isinstance(segment[0], NORMS) and last:
            x = checkpoint(
                partial(_run, segment),
                x,
                use_reentrant=False,
                preserve_rng_state=any(isinstance(m, _DropoutNd) and m.training for m in segment),
                context_fn=partial(_contexts, segment),
            )
        else:
            x = _run(segment, x)
    return x


def _segments(stack: nn.Sequential) -> Iterator[list[nn.Module]]:
    """Give the modules in groups, each from a norm to the convolution after it."""
    group: list[nn.Module] = []
    for module in stack:
        if isinstance(module, NORMS) and group:
            yield group
            group = []
        group.append(module)
    yield group


def _run(segment: list[nn.Module], x: Tensor) -> Tensor:
    for module in segment:
        x = module(x)
    return x


FLAGS = ('training', 'track_running_stats')


def _contexts(segment: list[nn.Module]) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Return what the forward pass runs in, and what its repetition does.

    A method may change modes between a forward pass and its backward pass, as VAT does with running
    statistics: the repetition is in the modes of the forward pass.
    """
    modes = [{key: vars(one)[key] for key in FLAGS if key in vars(one)} for one in segment]
    return nullcontext(), _as_before(segment, modes)


@contextmanager
def _as_before(segment: list[nn.Module], modes: list[dict[str, bool]]) -> Iterator[None]:
    """Set the modes, and let the running statistics be as they are: copies of them move."""
    norms = [module for module in segment if isinstance(module, _BatchNorm)]
    kept = [dict(module._buffers) for module in norms]
    now = [{key: vars(one)[key] for key in own} for one, own in zip(segment, modes, strict=True)]
    for module in norms:
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.clone()
    for one, own in zip(segment, modes, strict=True):
        vars(one).update(own)
    try:
        yield
    finally:
        for one, own in zip(segment, now, strict=True):
            vars(one).update(own)
        for module, buffers in zip(norms, kept, strict=True):
            module._buffers.update(buffers)
