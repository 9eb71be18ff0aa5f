"""The base of methods whose student predicts several times from one encoder."""

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views
from mmssl.structures import Batch, Step


def all_logits(student: Any, x: Tensor) -> list[Tensor]:
    """Return the logits of all heads of a segmentor, the predicting one's first, at its size.

    The heads are those of a decode head with `forward_all` (`MultiDecoderHead`,
    `UNetPyramidHead`), mmsegmentation's auxiliary heads, or the resolutions of a network with
    `forward_all` (`MonaiNetwork`). Smaller logits are enlarged on the nearest grid.
    """
    logits = student.forward_all(x) if hasattr(student, 'forward_all') else _of_heads(student, x)
    size = logits[0].shape[2:]
    return [y if y.shape[2:] == size else F.interpolate(y, size=size) for y in logits]


def _of_heads(student: Any, x: Tensor) -> list[Tensor]:
    features, head = student.extract_feat(x), student.decode_head
    logits = head.forward_all(features) if hasattr(head, 'forward_all') else [head(features)]
    extra = student.auxiliary_head if student.with_auxiliary_head else []
    extra = extra if isinstance(extra, nn.ModuleList | list) else [extra]
    return [*logits, *(head(features) for head in extra)]


def mutual_distance(p: list[Tensor], sharp: list[Tensor]) -> Tensor:
    """Return `sum_{i != j} mean (p_i - s_j)^2` of heads' probabilities and sharpened ones.

    Example:
        >>> p, s = [torch.tensor([x]) for x in (0.5, 0.7)], [torch.tensor([x]) for x in (0.0, 1.0)]
        >>> round(mutual_distance(p, s).item(), 4)  # (0.5 - 1)^2 + 0.7^2
        0.74
    """
    distances = (
        ((p_i - s_j) ** 2).mean()
        for i, p_i in enumerate(p)
        for j, s_j in enumerate(sharp)
        if i != j
    )
    return cast(Tensor, sum(distances))


class SeveralHeads(SemiSegmentor):
    """Show x_w and u_w together to students with several heads.

    `logits[student][view]` is a list, an entry for each head. The first head predicts.

    Raises:
        ValueError: a student has one head only.
    """

    several_heads = True
    average = True
    """Whether the supervised term is the mean over the heads, and not their sum."""

    head_types = 'MultiDecoderHead, UNetPyramidHead, or an auxiliary_head'
    """What gives a student several heads."""

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the unlabelled images too."""
        return {'u_w': batch['u_w']}, None

    def forward_views(self, name: str, views: Mapping[str, Tensor]) -> dict[str, list[Tensor]]:
        """Return the logits of all heads on every view, from one pass over all views."""
        x = torch.cat(list(views.values()))
        heads = all_logits(self.students[name], x)
        if len(heads) < 2:
            raise ValueError(
                f'{type(self).__name__} compares the heads of a student, but "{name}" has one: '
                f'give it {self.head_types}'
            )
        counts = [len(x) for x in views.values()]
        parts = [torch.split(self.to_label_size(name, logits, x), counts) for logits in heads]
        return dict(zip(views, map(list, zip(*parts, strict=True)), strict=True))

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the supervised term of every student, over all its heads."""
        terms = {}
        for name, z in logits.items():
            y = self.label_space.encode(batch['y'][name])
            total = sum(self.criterion(head, y) for head in z['x_w'])
            terms[f'sup_{name}'] = total / len(z['x_w']) if self.average else total
        return terms
