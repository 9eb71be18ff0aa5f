"""End a training between two iterations, on all ranks at the same one."""

import datetime

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed
from mmengine.hooks import Hook

from mmssl.utils.processes.signals import signals


class LeftValidation(Exception):
    """A validation was left because the run was asked to end."""


class StopVote:
    """Tell every rank whether one of them was asked to end, without waiting for a device.

    A signal may reach one rank alone. So all ranks call `ask` equally often, and each call takes
    the largest signal of all on the CPU (gloo) while the next iteration is at work: its answer, the
    same on all ranks, comes with the call after it. With one process it is there at once.

    Args:
        timeout: seconds after which a rank gives up waiting for another.
    """

    def __init__(self, timeout: float = 600) -> None:
        self._group: dist.ProcessGroup | None = None
        self._pending: tuple[torch.Tensor, dist.Work | None] | None = None
        if is_distributed() and dist.get_world_size() > 1:
            limit = datetime.timedelta(seconds=timeout)
            group = dist.new_group(backend='gloo', timeout=limit)
            if isinstance(group, dist.ProcessGroup):  # every rank is in it
                self._group = group

    def ask(self) -> bool:
        """Return whether any rank had been asked to end by its last call (one process: by now)."""
        if self._group is None:
            return signals.asked is not None
        if self.close():
            return True
        flag = torch.tensor(signals.asked or 0)
        largest = dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group, async_op=True)
        self._pending = flag, largest
        return False

    def close(self) -> bool:
        """Wait for the answer that is under way and return whether it is to end."""
        if self._pending is None:
            return False
        flag, work = self._pending
        self._pending = None
        if work is not None:
            work.wait()
        signals.asked = signals.asked or int(flag) or None
        return bool(flag)

    def agree(self, number: int) -> bool:
        """Return whether all ranks give the same number."""
        if self._group is None:
            return True
        both = torch.tensor([number, -number])
        dist.all_reduce(both, op=dist.ReduceOp.MAX, group=self._group)
        return int(both[0]) == -int(both[1])


class LeaveValidationHook(Hook):
    """Leave a validation after the batch at which the ranks learn that they shall end.

    Where the ranks have different numbers of batches, it is left after its end.

    Args:
        vote: the vote of the training loop.
    """

    priority = 'LOWEST'

    def __init__(self, vote: StopVote) -> None:
        self.vote, self.counts = vote, True

    def before_val_epoch(self, runner) -> None:
        """Compare the numbers of batches."""
        self.counts = self.vote.agree(len(runner.val_dataloader))

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Leave if a rank was asked to end.

        Raises:
            LeftValidation: one was.
        """
        if self.counts and self.vote.ask():
            raise LeftValidation
