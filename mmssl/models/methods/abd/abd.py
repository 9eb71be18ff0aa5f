"""ABD: parts of two views change places by confidence, on cross teaching and on BCP."""

import torch
from torch import Tensor

from mmssl.models.methods.abd.displacement import Displacement, trouble_sure
from mmssl.models.methods.bcp.bcp import BCP
from mmssl.models.methods.cross_teaching import CrossTeaching
from mmssl.registry import MODELS


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
        **kwargs: of `Displacement` and `CrossTeaching`.

    Raises:
        ValueError: `cutmix` is set.
    """

    def __init__(
        self,
        *args,
        trouble: float = 2.0,
        trouble_prob: float = 0.5,
        trouble_until: float = 2 / 3,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.cutmix:
            raise ValueError('ABDCrossTeaching displaces patches in place of cutmix: remove cutmix')
        self.trouble, self.trouble_prob = trouble, trouble_prob
        self.trouble_until = trouble_until

    def student_views(self, batch: dict) -> dict[str, dict[str, Tensor]]:
        """Return weak views for the first network and strong ones for the second."""
        batch['both'] = self.show_strong(batch)
        return {'x_w': batch['x_w'], **super().student_views(batch)}

    def sup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return `sup_<student>`, and `trouble_<student>` on displaced labelled images."""
        terms, both = super().sup_loss(batch), batch['both']
        counts = self.iter <= self.trouble_until * self.max_iters
        x = both['x_w'][self.primary][0]
        where = torch.rand(len(x), device=x.device) < self.trouble_prob
        # when the term is over, the images still enter the statistics of BatchNorm, as published
        with torch.set_grad_enabled(counts and torch.is_grad_enabled()):
            logits, y = self.displaced(
                trouble_sure,
                {name: z['x_w'] for name, z in batch['logits'].items()},
                both['x_w'],
                where,
                both['y'],
            )
        if counts:
            terms.update(
                {
                    f'trouble_{name}': self.trouble
                    * self.criterion(z, self.label_space.encode(y[name]))
                    for name, z in logits.items()
                }
            )
        return terms

    def unsup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return the terms of cross teaching, and `displaced_<student>` on displaced images."""
        own = {name: z['u_w'] for name, z in batch['logits'].items()}
        logits, _ = self.displaced(self.replace_unsure, own, batch['both']['u_w'])
        return {**super().unsup_loss(batch), **self.follow('displaced', logits)}


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
        **kwargs: of `Displacement` and `BCP`.
    """

    def __init__(
        self, *args, similar: float = 0.5, unsup_criterion: dict | None = None, **kwargs
    ) -> None:
        super().__init__(*args, similar=similar, **kwargs)
        self.unsup_criterion = MODELS.build(
            unsup_criterion or dict(type='DiceCELoss', ce_weight=0, eps=1e-5)
        )

    @property
    def pretrained(self) -> list[str]:
        """Names of the students that are pre-trained: the first one."""
        return [self.primary]

    def student_views(self, batch: dict) -> dict[str, dict[str, Tensor]]:
        """Return the mixed images, for the second network those of the strong views."""
        if self.iter >= self.pretrain_iters:
            self.show_strong(batch)
        batch['mixed'] = super().student_views(batch)
        return batch['mixed']

    def unsup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return the terms of BCP, and `cps_<student>` and `displaced_<student>`."""
        terms = super().unsup_loss(batch)
        if not terms:
            return terms
        own = {name: torch.cat([z['u'], z['x']]) for name, z in batch['logits'].items()}
        mixed = [
            torch.cat([batch['mixed'][view][name] for view in ('u', 'x')])
            for name in (self.primary, self.second)
        ]
        logits, _ = self.displaced(
            self.replace_unsure, own, dict.fromkeys(self.students, tuple(mixed))
        )
        return {**terms, **self.follow('cps', own), **self.follow('displaced', logits)}
