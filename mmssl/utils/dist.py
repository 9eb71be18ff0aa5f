"""Several processes: sums that gradients pass through, shared draws, wrappers and the end."""

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Model = TypeVar('Model', bound=nn.Module)


class _SumOverRanks(torch.autograd.Function):
    """Sum over ranks in both directions: every rank's loss depends on every rank's summand."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total


def sum_over_ranks(x: Tensor) -> Tensor:
    """Sum a tensor over all ranks; the gradient flows back to every rank.

    A ratio of sums over the batch (Dice) is not the mean of the ranks' ratios; summed numerators
    and denominators make N ranks equal to one process on the joined batch, together with the mean
    of the gradients that distributed training takes.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    return _SumOverRanks.apply(x)


def gather_over_ranks(x: Tensor) -> Tensor:
    """Stack the ranks' tensors, (ranks, ...); the gradient flows back to every rank.

    For what is no sum, such as the smallest and largest value of a batch.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x[None]
    own = torch.arange(dist.get_world_size(), device=x.device) == dist.get_rank()
    return sum_over_ranks(own.view(-1, *[1] * x.ndim) * x)


def from_first_rank(x: Tensor) -> Tensor:
    """Return the first rank's tensor on every rank: for a draw that holds for the whole batch."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.broadcast(x, src=0)
    return x


def unwrapped(model: Model) -> Model:
    """Return a model without its distributed wrapper, which stands for it everywhere else."""
    from mmengine.model import is_model_wrapper

    if not is_model_wrapper(model):
        return model
    inner: Any = model.module
    return inner


def leave_group() -> None:
    """Leave the process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
