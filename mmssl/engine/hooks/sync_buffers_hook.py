"""One set of normalisation statistics for all ranks."""

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from torch import nn

from mmssl.registry import HOOKS


@torch.no_grad()
def average_buffers(model: nn.Module) -> None:
    """Average a model's floating-point buffers (running statistics) over all ranks.

    Computed as rank 0's value plus the mean difference from it, so that buffers which are equal
    on all ranks, such as a frozen trunk's, stay exactly as they are.
    """
    if not is_distributed() or dist.get_world_size() == 1:
        return
    buffers = [b for b in model.buffers() if b.is_floating_point() and b.numel()]
    by_type: dict[tuple, list[torch.Tensor]] = {}
    for buffer in buffers:
        by_type.setdefault((buffer.dtype, buffer.device), []).append(buffer)
    for group in by_type.values():
        own = torch.cat([buffer.reshape(-1) for buffer in group])
        first = own.clone()
        dist.broadcast(first, src=0)
        difference = own - first
        dist.all_reduce(difference)
        mean = first + difference / dist.get_world_size()
        for buffer, part in zip(group, mean.split([b.numel() for b in group]), strict=True):
            buffer.copy_(part.view_as(buffer))


@HOOKS.register_module()
class SyncBuffersHook(Hook):
    """Average BatchNorm's running statistics over the ranks before validation and saving."""

    priority = 'VERY_HIGH'

    def before_val_epoch(self, runner) -> None:
        """Average before a validation."""
        average_buffers(runner.model)

    def before_checkpoint(self, runner) -> None:
        """Average before a checkpoint is written (called on all ranks)."""
        average_buffers(runner.model)
