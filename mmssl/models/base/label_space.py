"""What a network's channels mean: exclusive classes, or parts that may overlap."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmssl.registry import MODELS


def part_table(parts: Sequence[Sequence[int]], num_classes: int) -> Tensor:
    """Return the boolean table (K, C) that says which classes make up each part.

    Args:
        parts: class ids of each part; parts may overlap (disc = cup and rim).
        num_classes: number of classes, background included.

    Raises:
        ValueError: if there is no part, or one is empty or names a class that does not exist.

    Example:
        >>> part_table([[1], [1, 2]], 3).int().tolist()
        [[0, 1, 0], [0, 1, 1]]
    """
    if not parts:
        raise ValueError(
            'parts is empty, so nothing is segmented; name the classes of each part, '
            'for example parts=[[1]]'
        )
    table = torch.zeros(len(parts), num_classes, dtype=torch.bool, device='cpu')
    for row, ids in zip(table, parts, strict=True):
        if not ids or min(ids) < 1 or max(ids) >= num_classes:
            raise ValueError(
                f'part {list(ids)} must name classes from 1 to {num_classes - 1}; '
                'check `parts` and the number of classes of the networks'
            )
        row[list(ids)] = True
    return table


class LabelSpace(nn.Module):
    """Base: the table of the parts, (K, C), and what follows from it.

    Args:
        parts: class ids of each part; None takes those of the data, see `meet`.
        num_channels: channels of the networks' logits.

    Raises:
        ValueError: there is no part, or parts and channels do not go together.
    """

    table: Tensor
    of_parts: bool
    """Whether the channels are parts, and not classes."""

    @staticmethod
    def usual_parts(num_channels: int) -> list[list[int]]:
        """Return the parts where neither the model nor the data names any."""
        raise NotImplementedError('A label space must define `usual_parts`')

    @staticmethod
    def count_classes(parts: Sequence[Sequence[int]], num_channels: int) -> int:
        """Return the number of classes with background."""
        raise NotImplementedError('A label space must define `count_classes`')

    def prob(self, logits: Tensor) -> Tensor:
        """Return probabilities (N, C, H, W)."""
        raise NotImplementedError(f'{type(self).__name__} must define `prob`')

    def part_prob(self, prob: Tensor) -> Tensor:
        """Return the probability of each part, (N, K, H, W)."""
        raise NotImplementedError(f'{type(self).__name__} must define `part_prob`')

    def decide(self, prob: Tensor) -> tuple[Tensor, Tensor]:
        """Return confidence and label."""
        raise NotImplementedError(f'{type(self).__name__} must define `decide`')

    def __init__(self, parts: Sequence[Sequence[int]] | None, num_channels: int) -> None:
        super().__init__()
        self.given = parts is not None
        parts = self.usual_parts(num_channels) if parts is None else parts
        if not len(parts):
            raise ValueError(
                f'parts={list(parts)} has no part: set parts=None, and the model '
                'takes those of the data set, or name some, [[1]]'
            )
        table = part_table(parts, self.count_classes(parts, num_channels))
        self.register_buffer('table', table, persistent=False)

    def meet(self, metainfo: Mapping[str, Any], compare_parts: bool = True) -> None:
        """Compare the classes and the parts with those of a data set; take over parts not given.

        Args:
            metainfo: what the data set says of itself: `num_classes` of its masks, `classes` by
                name and `parts`, a mapping; what it does not say is not compared.
            compare_parts: whether the parts are what the data set scores.

        Raises:
            ValueError: one of the two has classes or parts that the other does not have.
        """
        found, known = metainfo.get('num_classes', 0), self.table.shape[1]
        names = tuple(metainfo.get('classes', ()))
        if found > known:
            raise ValueError(
                f'The masks have {found} classes ({", ".join(names[:found])}), but '
                f'the networks know {known}: set num_classes in the heads of the '
                'students and `parts`, or map classes together in the label_map of '
                'the data set'
            )
        if found and known > max(found, len(names)):
            raise ValueError(
                f'The networks know {known} classes, but the data set has '
                f'{max(found, len(names))} ({", ".join(names)}): set num_classes in '
                'the heads of the students and `parts`, or name the classes in the '
                'metainfo of the data set'
            )
        scored = [list(ids) for ids in (metainfo.get('parts') or {}).values() if max(ids) < known]
        if not scored or not compare_parts:
            return
        if not self.given:
            self.count_classes(scored, len(self.table) if self.of_parts else known)
            self.table = part_table(scored, known).to(self.table.device)
            self.given = True
        own = [row.nonzero().flatten().tolist() for row in self.table.cpu()]
        if {*map(frozenset, own)} != {*map(frozenset, scored)}:
            raise ValueError(
                f'The model has parts={own}, but the data set scores {scored} '
                f'({", ".join(metainfo["parts"])}): set parts=None in the model, and '
                'it takes them from the data, or change `parts` in the metainfo of '
                'the data set'
            )

    @torch.no_grad()
    def harden(self, logits: Tensor) -> Tensor:
        """Return the label that logits decide on, in the form that losses compare with."""
        return self.decide(self.prob(logits))[1]


@MODELS.register_module()
class ExclusiveClasses(LabelSpace):
    """Softmax: a channel for each class with background, one class for each pixel."""

    of_parts = False

    @staticmethod
    def usual_parts(num_channels: int) -> list[list[int]]:
        """Return a part for each class but the background."""
        return [[index] for index in range(1, max(num_channels, 2))]

    @staticmethod
    def count_classes(parts: Sequence[Sequence[int]], num_channels: int) -> int:
        """Return the number of classes; there must be two channels or more."""
        if num_channels < 2:
            raise ValueError(
                'ExclusiveClasses needs a channel for each class, the background too, but the '
                'networks have 1: set num_classes=2 in the heads and leave out_channels out, or '
                "take label_space=dict(type='OverlappingParts')"
            )
        return num_channels

    def prob(self, logits: Tensor) -> Tensor:
        """Return probabilities (N, C, H, W)."""
        return logits.softmax(1)

    def log_prob(self, logits: Tensor) -> Tensor:
        """Return log-probabilities, (N, C, H, W)."""
        return logits.log_softmax(1)

    def encode(self, y: Tensor) -> Tensor:
        """Return class ids (N, H, W) in the form that losses compare with: as they are."""
        return y

    def decide(self, prob: Tensor) -> tuple[Tensor, Tensor]:
        """Return confidence and label, (N, H, W) each."""
        return prob.max(1)

    def members(self, label: Tensor) -> Tensor:
        """Return which pixels belong to each part, (K, N, H, W)."""
        return self.table[:, label]

    def part_prob(self, prob: Tensor) -> Tensor:
        """Return the probability of each part, (N, K, H, W), the sum over its classes.

        Example:
            >>> space = ExclusiveClasses([[1], [1, 2]], 3)
            >>> space.part_prob(torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1)).flatten().tolist()
            [0.25, 0.5]
        """
        table = self.table.to(prob.dtype)
        return (prob[:, None] * table.view(1, *table.shape, *[1] * (prob.dim() - 2))).sum(2)

    def class_scores(self, logits: Tensor) -> Tensor:
        """Return a score for each class, (N, C, H, W); the highest one is predicted."""
        return logits

    def class_map(self, prob: Tensor) -> Tensor:
        """Return the most probable class (N, H, W) of probabilities."""
        return prob.argmax(1)


@MODELS.register_module()
class OverlappingParts(LabelSpace):
    """Sigmoid: a channel for each part and no background, as MiDSS has on Fundus.

    Example:
        >>> space = OverlappingParts([[1], [1, 2]], 2)
        >>> space.encode(torch.tensor([[[0, 1, 2]]])).int().tolist()
        [[[[0, 1, 0]], [[0, 1, 1]]]]
    """

    of_parts = True

    @staticmethod
    def usual_parts(num_channels: int) -> list[list[int]]:
        """Return the one part; several channels do not say what they mean."""
        if num_channels > 1:
            raise ValueError(
                f'OverlappingParts with {num_channels} channels needs `parts`: write '
                'the class ids of each channel, as in parts=[[1], [1, 2]]'
            )
        return [[1]]

    @staticmethod
    def count_classes(parts: Sequence[Sequence[int]], num_channels: int) -> int:
        """Return the number of classes; there must be a channel for each part."""
        if num_channels != len(parts):
            raise ValueError(
                f'OverlappingParts needs a channel for each of the {len(parts)} parts, the '
                f"networks have {num_channels}: set num_classes={len(parts)} in the students' heads"
            )
        return 1 + max(max(ids) for ids in parts)

    def prob(self, logits: Tensor) -> Tensor:
        """Return probabilities (N, K, H, W)."""
        return logits.sigmoid()

    def log_prob(self, logits: Tensor) -> Tensor:
        """Return log-probabilities of yes for all parts, then of no, (N, 2K, H, W).

        Example:
            >>> space = OverlappingParts([[1]], 1)
            >>> space.log_prob(torch.zeros(1, 1, 1, 1)).exp().flatten().tolist()
            [0.5, 0.5]
        """
        return torch.cat([nn.functional.logsigmoid(x) for x in (logits, -logits)], 1)

    def encode(self, y: Tensor) -> Tensor:
        """Return class ids (N, H, W) as membership of each part, (N, K, H, W) in float."""
        return self.members_of_classes(y).transpose(0, 1).float()

    def members_of_classes(self, y: Tensor) -> Tensor:
        """Return which pixels of class ids (N, H, W) belong to each part, (K, N, H, W)."""
        return self.table[:, y]

    def decide(self, prob: Tensor) -> tuple[Tensor, Tensor]:
        """Return confidence max(p, 1 - p) and label p >= 0.5, (N, K, H, W) each."""
        return torch.maximum(prob, 1 - prob), (prob >= 0.5).float()

    def members(self, label: Tensor) -> Tensor:
        """Return which pixels of a label (N, K, H, W) belong to each part, (K, N, H, W)."""
        return label.transpose(0, 1) > 0.5

    def part_prob(self, prob: Tensor) -> Tensor:
        """Return the probability of each part, (N, K, H, W): they are those."""
        return prob

    def class_scores(self, logits: Tensor) -> Tensor:
        """Return the sum of the logits of a class's parts, (N, C, H, W).

        Up to a summand that all classes share, it is the log-likelihood of the class when the
        parts are independent.
        """
        return torch.einsum('kc,nk...->nc...', self.table.to(logits.dtype), logits)

    def class_map(self, prob: Tensor) -> Tensor:
        """Return the most probable class (N, H, W) of the parts' probabilities."""
        return self.class_scores(torch.logit(prob, eps=1e-6)).argmax(1)
