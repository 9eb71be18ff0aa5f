"""ABD: parts of two views change places by confidence, on cross teaching and on BCP."""

from typing import Any, Unpack

import torch

from mmssl.models.base.terms import Logits, Losses, Views, split_curves
from mmssl.models.methods.abd.displacement import (
    Displacement,
    DisplacementOptions,
    Seen,
    trouble_sure,
)
from mmssl.models.methods.bcp.bcp import BCP, BCPOptions, BCPTargets
from mmssl.models.methods.cps import CPSOptions
from mmssl.models.methods.cross_teaching import CrossTeaching
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step


class OnCrossTeaching(DisplacementOptions, CPSOptions, total=False):
    """What `Displacement` and `CrossTeaching` take."""


class OnBCP(DisplacementOptions, BCPOptions, total=False):
    """What `Displacement` and `BCP` take."""


@MODELS.register_module()
class ABDCrossTeaching(Displacement, CrossTeaching):
    """ABD over cross teaching (CVPR 2024).

    Chi et al., Adaptive Bidirectional Displacement for Semi-Supervised Medical Image Segmentation,
    https://arxiv.org/abs/2405.00378. The displaced views (ABD-R) are `Displacement`'s.

    With views 1 (weak) and 2 (strong), `~` displaced views and the labels yhat_j of the other
    network on the same picture::

        L = sum_i L_x(f_i(x_i), y_i) + 2 L_x(f_i(x~), y~)
                + weight(t) [Dice(f_i(u_i), yhat_j) + Dice(f_i(u~), yhat_j)]

    In x~ (ABD-I), for half of the images, the surest patch of each view gives way to the least
    sure one of the other, with its label; the term ends after two thirds of the training.

    Args:
        trouble: weight of ABD-I.
        trouble_prob: share of the labelled images that are displaced.
        trouble_until: share of the training in which ABD-I counts.
        **options: of `Displacement` and `CrossTeaching`.

    Raises:
        ValueError: `cutmix` is set.
    """

    def __init__(
        self,
        *,
        trouble: float = 2.0,
        trouble_prob: float = 0.5,
        trouble_until: float = 2 / 3,
        **options: Unpack[OnCrossTeaching],
    ) -> None:
        super().__init__(**options)
        if self.cutmix:
            raise ValueError('ABDCrossTeaching displaces patches in place of cutmix: remove cutmix')
        self.trouble, self.trouble_prob = trouble, trouble_prob
        self.trouble_until = trouble_until

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show weak views to the first network and strong ones to the second."""
        seen = self.show_strong(batch)
        views, _ = super().prepare(seen.batch, step)
        return {'x_w': seen.batch['x_w'], **views}, seen

    def sup_loss(self, batch: Batch, logits: Logits, targets: Seen, step: Step) -> Losses:
        """Return `sup_<student>`, and `trouble_<student>` on displaced labelled images."""
        terms, curves = split_curves(super().sup_loss(targets.batch, logits, targets, step))
        counts = step.iter <= self.trouble_until * step.max_iters
        x = targets.both['x_w'][self.primary][0]
        where = torch.rand(len(x), device=x.device) < self.trouble_prob
        # when the term is over, the images still enter the statistics of BatchNorm, as published
        with torch.set_grad_enabled(counts and torch.is_grad_enabled()):
            moved, y = self.displaced(
                trouble_sure,
                {name: z['x_w'] for name, z in logits.items()},
                targets.both['x_w'],
                where,
                targets.both['y'],
            )
        if counts:
            terms.update(
                {
                    f'trouble_{name}': self.trouble
                    * self.criterion(z, self.label_space.encode(y[name]))
                    for name, z in moved.items()
                }
            )
        return terms, curves

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Seen, step: Step) -> Losses:
        """Return the terms of cross teaching, and `displaced_<student>` on displaced images."""
        own = {name: z['u_w'] for name, z in logits.items()}
        moved, _ = self.displaced(self.replace_unsure, own, targets.both['u_w'])
        terms, curves = split_curves(super().unsup_loss(targets.batch, logits, {}, step))
        return {**terms, **self.follow('displaced', moved)}, curves


@MODELS.register_module()
class ABDBCP(Displacement, BCP):
    """ABD over BCP, see `ABDCrossTeaching` and `Displacement`.

    The pre-training is BCP's, of the first network alone; both start from its weights and
    optimiser state. Then, with m_1 and m_2 the mixed images of BCP made of weak and of strong
    views, pseudo-labels of both by the one teacher, which follows the first network, and one
    rectangle for both::

        L = sum_i L_BCP(f_i(m_i)) + Dice(f_i(m_i), yhat_j) + Dice(f_i(m~), yhat_j)

    For half of the images the most similar of the surest patches is taken, for the others the
    surest. There is no ramp, and ABD-I is not used.

    Args:
        unsup_criterion: loss of the networks on each other's labels.
        **options: of `Displacement` and `BCP`.
    """

    def __init__(
        self, *, unsup_criterion: dict[str, Any] | None = None, **options: Unpack[OnBCP]
    ) -> None:
        options.setdefault('similar', 0.5)
        super().__init__(**options)
        self.unsup_criterion = MODELS.build(
            unsup_criterion or dict(type='DiceCELoss', ce_weight=0, eps=1e-5)
        )

    @property
    def pretrained(self) -> list[str]:
        """Names of the students that are pre-trained: the first one."""
        return [self.primary]

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, BCPTargets]:
        """Show the mixed images, to the second network those of the strong views."""
        if step.iter >= self.pretrain_iters:
            batch = self.show_strong(batch).batch
        return super().prepare(batch, step)

    def unsup_loss(self, batch: Batch, logits: Logits, targets: BCPTargets, step: Step) -> Losses:
        """Return the terms of BCP, and `cps_<student>` and `displaced_<student>`."""
        terms, curves = split_curves(super().unsup_loss(batch, logits, targets, step))
        if not terms:
            return terms, curves
        own = {name: torch.cat([z['u'], z['x']]) for name, z in logits.items()}
        weak, strong = (
            torch.cat([targets.images[view][name] for view in ('u', 'x')])
            for name in (self.primary, self.second)
        )
        moved, _ = self.displaced(
            self.replace_unsure, own, dict.fromkeys(self.students, (weak, strong))
        )
        return {**terms, **self.follow('cps', own), **self.follow('displaced', moved)}, curves
