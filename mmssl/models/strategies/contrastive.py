"""Pull pixel embeddings to a small memory of their class, or to its mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.utils.dist import sum_over_ranks


@contextmanager
def record_input(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a module is given."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        yield seen
    finally:
        handle.remove()


def last_convolution(name: str, student: Any) -> nn.Conv2d:
    """Return the last convolution of a segmentor, which sees its features.

    Raises:
        ValueError: its decode head has no `conv_seg`.
    """
    head = student.decode_head
    if getattr(head, 'conv_seg', None) is None:
        raise ValueError(
            f'The features are read before conv_seg, but the decode head of student "{name}" '
            f'({type(head).__name__}) has none: choose another head'
        )
    last: nn.Conv2d = head.conv_seg
    return last


def pixel_rows(x: Tensor) -> Tensor:
    """Return the vectors of all pixels of (N, C, H, W), (N H W, C), in the order of labels."""
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def class_contrast(f: Tensor, label: Tensor, num_classes: int, temperature: float) -> Tensor:
    """Return InfoNCE of rows f (P, D) with the means of their classes, each class weighing alike.

    Means and counts span all ranks; a class without a pixel is left out.

    Example:
        >>> f, label = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> round(class_contrast(f, label, 3, 1.0).item(), 4)  # log(e + 1) - 1
        0.3133
    """
    f = F.normalize(f, dim=1)
    one_hot = F.one_hot(label, num_classes).to(f.dtype)
    count = sum_over_ranks(one_hot.sum(0))
    centre = F.normalize(sum_over_ranks(one_hot.T @ f), dim=1)
    similarity = (f @ centre.T / temperature).masked_fill(count == 0, -torch.inf)
    nll = F.cross_entropy(similarity, label, reduction='none')
    of_class = sum_over_ranks(nll @ one_hot) / count.clamp(min=1)
    return of_class.sum() / (count > 0).sum().clamp(min=1)


class RowNorm(nn.Module):
    """BatchNorm of rows (P, C) that can leave rows out and sums over the ranks.

    Example:
        >>> rows, count = torch.tensor([[1.0], [3.0], [50.0]]), torch.tensor([[1.0], [1], [0]])
        >>> RowNorm(1)(rows, count)[:2].flatten().tolist()
        [-0.9999949932098389, 0.9999949932098389]
    """

    over_ranks = {'running_mean': 'mean', 'running_var': 'mean'}
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer('running_mean', torch.zeros(channels))
        self.register_buffer('running_var', torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None, running: bool = False) -> Tensor:
        """Return the normalised rows.

        Args:
            x: rows (P, C).
            mask: 1 for the rows that make the statistics, else 0, (P, 1); all by default.
            running: use the running statistics instead, and leave them as they are.
        """
        x = x.float()
        if running:
            mean, var = self.running_mean, self.running_var
        else:
            mask = torch.ones_like(x[:, :1]) if mask is None else mask
            total = sum_over_ranks(mask.sum())
            count = total.clamp(min=1)
            mean = sum_over_ranks((x * mask).sum(0)) / count
            var = sum_over_ranks(((x - mean) ** 2 * mask).sum(0)) / count
            with torch.no_grad():
                rate = self.momentum * (total > 1)
                self.running_mean += rate * (mean - self.running_mean)
                unbiased = var * count / (count - 1).clamp(min=1)
                self.running_var += rate * (unbiased - self.running_var)
        return (x - mean) * (var + self.eps).rsqrt() * self.weight + self.bias


class RowMLP(nn.Module):
    """Linear layer, `RowNorm`, leaky ReLU and linear layer on rows (P, C)."""

    def __init__(
        self, in_channels: int, channels: int, out_channels: int, slope: float = 0.0
    ) -> None:
        super().__init__()
        self.first = nn.Linear(in_channels, channels)
        self.norm = RowNorm(channels)
        self.last = nn.Linear(channels, out_channels)
        self.slope = slope

    def forward(self, x: Tensor, mask: Tensor | None = None, running: bool = False) -> Tensor:
        """Return rows (P, out_channels); the arguments are those of `RowNorm`."""
        x = self.norm(self.first(x), mask, running)
        y: Tensor = self.last(F.leaky_relu(x, self.slope))
        return y.float()


class PixelContrast(nn.Module):
    """Class separation of SS-Net, after Alonso et al., https://arxiv.org/abs/2104.13415.

    With f the features of the pixels of class c, q = predict(project f), k_n the memory of the
    class (projected features, constant) and s_c a small learned score::

        L_c = sum_m a_m (1 - mean_n cos(q_m, k_n)) / sum_m a_m,   a_m = sigmoid s_c(q_m)
        L   = sum_c L_c / number of classes

    A class with fewer than two pixels or memories gives nothing. Scores see q without its gradient.
    The background has no memory. Batch statistics, sums and memory span all ranks.

    Args:
        in_channels: channels of the features.
        num_classes: with background.
        channels: of the embedding.
        memory_size: features kept for each class.
        keep: `lowest` keeps the features with the lowest scores, as the released code does;
            `highest` those that its comments ask for.
        weigh_memory: let a learned score weigh the memory too. In the released code that weight is
            always 1 (it is normalised over an axis of length 1), and so it is left out by default.

    Raises:
        ValueError: an unknown `keep`.
    """

    over_ranks = {'memory': 'equal', 'filled': 'equal'}
    memory: Tensor
    filled: Tensor

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 32,
        memory_size: int = 32,
        keep: str = 'lowest',
        weigh_memory: bool = False,
    ) -> None:
        super().__init__()
        if keep not in ('lowest', 'highest'):
            raise ValueError(f"keep must be 'lowest' or 'highest', found {keep!r}")
        self.sign = 1 if keep == 'lowest' else -1
        self.num_classes = num_classes
        self.memory_size = memory_size

        def scores() -> nn.ModuleList:
            return nn.ModuleList(
                RowMLP(channels, channels, 1, slope=0.2) for _ in range(1, num_classes)
            )

        self.project = RowMLP(in_channels, channels, channels)
        self.predict = RowMLP(channels, channels, channels)
        self.scores = scores()
        self.memory_scores = scores() if weigh_memory else None
        self.register_buffer('memory', torch.zeros(num_classes - 1, memory_size, channels))
        self.register_buffer('filled', torch.zeros(num_classes - 1, memory_size).bool())

    @torch.no_grad()
    def remember(self, features: Tensor, label: Tensor, correct: Tensor) -> None:
        """Replace the memory of every class by correct features of this batch, where it has any.

        Args:
            features: (P, in_channels).
            label: class of each pixel, (P,).
            correct: whether the pixel may be kept, (P,).
        """
        keys = self.project(features, running=True)
        for i, score in enumerate(self.scores):
            mine = correct & (label == i + 1)
            rank = self.sign * score(keys, mine[:, None].float()).sigmoid()[:, 0]
            rank, found = self._first(torch.where(mine, rank, torch.inf), keys)
            rank, found = self._first(*(_from_all_ranks(x) for x in (rank, found)))
            usable = rank < torch.inf
            found = torch.where(usable[:, None], found, 0)
            self.memory[i] = torch.where(usable.any(), found, self.memory[i])
            self.filled[i] = torch.where(usable.any(), usable, self.filled[i])

    def _first(self, rank: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return rank (K,) and keys (K, C) of the first K rows; infinite ranks fill them up."""
        missing = max(self.memory_size - len(rank), 0)
        rank = F.pad(rank, (0, missing), value=torch.inf)
        rank, index = rank.topk(self.memory_size, largest=False)
        return rank, F.pad(keys, (0, 0, 0, missing)).index_select(0, index)

    def forward(self, features: Tensor, label: Tensor) -> Tensor:
        """Return the loss of features (P, in_channels) with these classes (P,), a scalar."""
        q = self.predict(self.project(features))
        unit, loss = F.normalize(q, dim=1), q.new_zeros(())
        for i, score in enumerate(self.scores):
            mine = (label == i + 1)[:, None].float()
            a = (score(q.detach(), mine).sigmoid() * mine)[:, 0]
            sums = torch.stack([(a * (1 - unit @ self.mean_key(i))).sum(), a.sum(), mine.sum()])
            distance, total, pixels = sum_over_ranks(sums)
            usable = (pixels > 1) & (self.filled[i].sum() > 1)
            term = distance / total.clamp(min=torch.finfo(total.dtype).tiny)
            loss = loss + torch.where(usable, term, 0)
        mean: Tensor = loss / self.num_classes
        return mean

    def mean_key(self, i: int) -> Tensor:
        """Return the (weighted) mean of the memory of class i + 1, each of length one, (C,)."""
        keys, weight = F.normalize(self.memory[i], dim=1), self.filled[i][:, None].float()
        if self.memory_scores is not None:
            score: Tensor = self.memory_scores[i](keys, weight)
            weight = score.sigmoid() * weight
        total: Tensor = weight.sum()
        return (weight * keys).sum(0) / total.clamp(min=1e-8)


def _from_all_ranks(x: Tensor) -> Tensor:
    """Return the rows of all ranks, in their order."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)
