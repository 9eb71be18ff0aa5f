"""A queue of images that a method shows again, with what it has said of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

KEPT = 'kept_'


class SampleQueue(nn.Module):
    """Keep the newest samples that are let in, each of them a row of some tensors.

    The tensors get their shapes from the first `push`, or from the checkpoint of a run that goes
    on. Each process has a queue of its own. Nothing waits for the device.

    Args:
        length: number of samples that are kept.

    Raises:
        ValueError: the length is below 1.

    Example:
        >>> queue = SampleQueue(3)
        >>> queue.push([torch.tensor([1, 2, 3])], torch.tensor([True, False, True]))
        >>> queue.push([torch.tensor([4, 5])], torch.tensor([False, True]))
        >>> queue.tensors[0].tolist(), queue.filled.tolist()
        ([5, 1, 3], [True, True, True])
    """

    of_run = True
    """What it holds is for the run that goes on, and for none that begins with its weights."""
    filled: Tensor
    """Which places hold a sample, the newest one first, (length,)."""

    def __init__(self, length: int) -> None:
        super().__init__()
        if length < 1:
            raise ValueError(f'A queue has a length of at least 1, found {length}')
        self.length = length
        self.register_buffer('filled', torch.zeros(length).bool())

    @property
    def tensors(self) -> list[Tensor]:
        """What is kept of every sample, (length, ...) each; nothing before the first `push`."""
        return [value for name, value in self.named_buffers() if name.startswith(KEPT)]

    @torch.no_grad()
    def push(self, samples: Sequence[Tensor], accepted: Tensor) -> None:
        """Let samples in; where there are too many, the oldest go.

        Args:
            samples: some tensors of N samples, (N, ...) each.
            accepted: which of them are let in, bool (N,).
        """
        if not self.tensors:
            for i, x in enumerate(samples):
                self.register_buffer(f'{KEPT}{i}', x.new_zeros(self.length, *x.shape[1:]))
        valid = torch.cat([accepted, self.filled])
        order = valid.to(torch.uint8).argsort(descending=True, stable=True)[: self.length]
        for kept, new in zip([self.filled, *self.tensors], [accepted, *samples], strict=True):
            kept.copy_(torch.cat([new, kept])[order])

    def draw(self, count: int, replacement: bool = False) -> tuple[list[Tensor], Tensor]:
        """Return some samples at random, and which of them there are.

        Args:
            count: number of samples, at most `length`.
            replacement: whether a sample may come more than once.

        Returns:
            The tensors (count, ...), none before the first `push`; and bool (count,), False at the
            end where the queue holds fewer.
        """
        if replacement:
            held = self.filled.sum()
            index = (torch.rand(count, device=held.device) * held).long()
            return [x[index] for x in self.tensors], torch.arange(count, device=held.device) < held
        chance = torch.rand(self.length, device=self.filled.device) + self.filled
        index = chance.topk(count).indices
        return [x[index] for x in self.tensors], self.filled[index]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take the shapes from the checkpoint."""
        for key, value in state_dict.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and name.startswith(KEPT):
                self.register_buffer(name, torch.zeros_like(value, device=self.filled.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
