"""What a model keeps in buffers, with several processes: one statistic, one value, or one each."""

import hashlib
from collections.abc import Iterator

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mmssl.registry import HOOKS
from mmssl.utils.dist import unwrapped

MEAN, EQUAL, LOCAL = KINDS = ('mean', 'equal', 'local')
STATISTICS = ('running_mean', 'running_var')
KEY = 'rank_buffers'


def buffer_kinds(model: nn.Module) -> Iterator[tuple[str, torch.Tensor, str, bool]]:
    """Yield name, tensor, kind, and whether it is saved, of every buffer of a model.

    The running statistics of PyTorch's normalisation layers are 'mean', all else is 'local'. A
    module says otherwise by an attribute `over_ranks`, buffer name to kind:

    * 'mean': averaged over the processes before a validation and a checkpoint;
    * 'equal': the same on all processes; a difference is an error;
    * 'local': each process has its own. Where they differ a checkpoint holds one for each.

    Raises:
        ValueError: `over_ranks` names no buffer, or no such kind.
    """
    for prefix, module in model.named_modules():
        declared = getattr(module, 'over_ranks', {})
        own = dict(module.named_buffers(recurse=False))
        for name, kind in declared.items():
            if name not in module._buffers or kind not in KINDS:
                raise ValueError(
                    f'{type(module).__name__}.over_ranks has {name!r}: {kind!r}; give its buffers '
                    f'({", ".join(module._buffers) or "it has none"}) one of {", ".join(KINDS)}'
                )
        for name, buffer in own.items():
            statistic = isinstance(module, _NormBase) and name in STATISTICS
            kind = declared.get(name, MEAN if statistic else LOCAL)
            full = f'{prefix}.{name}' if prefix else name
            yield full, buffer, kind, name not in module._non_persistent_buffers_set


@torch.no_grad()
def average_buffers(model: nn.Module) -> None:
    """Average a model's running statistics over all processes, and no other state.

    Computed as the first process's value plus the mean difference from it, so that buffers which
    are equal on all processes, such as a frozen trunk's, stay exactly as they are.
    """
    if not _several():
        return
    by_type: dict[tuple, list[torch.Tensor]] = {}
    for _, buffer, kind, _ in buffer_kinds(model):
        if kind == MEAN and buffer.numel():
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


@torch.no_grad()
def differing_buffers(model: nn.Module) -> dict[str, list[torch.Tensor]]:
    """Return the saved buffers that differ between the processes, name to one tensor for each.

    Every process must call it; the tensors are on the CPU.

    Raises:
        ValueError: a buffer that is declared 'equal' differs; raised on all processes.
    """
    if not _several():
        return {}
    saved = {
        n: (b.detach().cpu(), kind)
        for n, b, kind, kept in buffer_kinds(model)
        if kept and kind != MEAN
    }
    digests: list = [None] * dist.get_world_size()
    dist.all_gather_object(digests, {name: _digest(buffer) for name, (buffer, _) in saved.items()})
    names = [name for name in saved if len({one[name] for one in digests}) > 1]
    wrong = [name for name in names if saved[name][1] == EQUAL]
    if wrong:
        raise ValueError(
            f'{", ".join(wrong)} must be equal on all processes (over_ranks), but differ: compute '
            'them from sums over all processes (mmssl.utils.dist), or declare them "local"'
        )
    if not names:
        return {}
    every: list = [None] * dist.get_world_size()
    dist.all_gather_object(every, {name: saved[name][0] for name in names})
    return {name: [one[name] for one in every] for name in names}


def _digest(x: torch.Tensor) -> str:
    values = x.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f'{x.dtype} {tuple(x.shape)}'.encode() + values).hexdigest()


def _several() -> bool:
    return is_distributed() and dist.get_world_size() > 1


@HOOKS.register_module()
class SyncBuffersHook(Hook):
    """Keep the buffers of a model right with several processes, see `buffer_kinds`.

    Running statistics are averaged before validation and saving. A checkpoint holds what the first
    process has; of buffers that differ between the processes it holds all, under `rank_buffers`,
    and a resumed run gives each process its own again.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._differing: dict[str, list[torch.Tensor]] = {}

    def before_val_epoch(self, runner) -> None:
        """Average before a validation."""
        average_buffers(runner.model)

    def before_checkpoint(self, runner) -> None:
        """Average before a checkpoint is written, and collect what differs (on all ranks)."""
        average_buffers(runner.model)
        self._differing = differing_buffers(unwrapped(runner.model))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the buffers of all processes where they differ."""
        if self._differing:
            checkpoint[KEY] = self._differing

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Give this process its own buffers, if the run that goes on has as many processes."""
        kept = checkpoint.get(KEY)
        if not kept:
            return
        count = len(next(iter(kept.values())))
        if count != runner.world_size:
            runner.logger.warning(
                f'{", ".join(kept)} differ between the {count} processes of the run that wrote the '
                f'checkpoint; this one has {runner.world_size}, so all take those of the first'
            )
            return
        state = checkpoint.get('state_dict', {})
        state.update({name: values[runner.rank] for name, values in kept.items() if name in state})
