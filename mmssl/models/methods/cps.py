"""CPS: two networks learn from each other's hard pseudo-labels."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views
from mmssl.models.strategies.mixing import pairs, paste
from mmssl.models.strategies.pseudo_label import learn_from_others
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step


class CPSOptions(Options, total=False):
    """What `CPS` takes."""

    cps_weight: float
    unsup_criterion: dict[str, Any] | None
    on_labelled: bool
    cutmix: bool


@MODELS.register_module()
class CPS(SemiSegmentor):
    """Cross pseudo supervision (CVPR 2021), by default as SSL4MIS trains it on slices.

    Chen et al., Semi-Supervised Semantic Segmentation with Cross Pseudo Supervision,
    https://arxiv.org/abs/2106.01226.

    Networks f_i of one shape and different first weights see the same images, labelled and
    unlabelled in one pass; with yhat_j = argmax f_j(u), no threshold and no gradient through it::

        L = sum_i L_x(f_i) + weight(t) w sum_{i != j} CE(f_i(u), yhat_j)

    The authors' code has a plain version, with `on_labelled`, and one with `cutmix`, whose u and
    partner u' are the even and odd unlabelled images of the batch::

        u_m = CutMix(u, u', box),  yhat_j = CutMix(argmax f_j(u), argmax f_j(u'), box)

    No teacher. The first weights of each student are its own `init_cfg`.

    Args:
        cps_weight: w.
        unsup_criterion: loss of logits and pseudo-label; cross-entropy by default.
        on_labelled: let the cross terms count labelled images too.
        cutmix: mix the unlabelled images in pairs (needs `box` in the batch).

    Raises:
        ValueError: there are fewer than two students.
    """

    together = (('x_w', 'u_w'),)
    cross_criterion: Mapping[str, Any] = dict(type='DiceCELoss', dice_weight=0)

    def __init__(
        self,
        *,
        cps_weight: float = 1.0,
        unsup_criterion: dict[str, Any] | None = None,
        on_labelled: bool = False,
        cutmix: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        if len(self.students) < 2:
            raise ValueError(
                f'{type(self).__name__} needs two students that teach each other, '
                f'found {list(self.students)}: add one to `model.students`'
            )
        self.cps_weight = cps_weight
        self.unsup_criterion = MODELS.build(dict(unsup_criterion or self.cross_criterion))
        self.on_labelled, self.cutmix = on_labelled, cutmix

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the unlabelled view, or where asked for its mixed pairs with their labels."""
        if not self.cutmix:
            return {'u_w': batch['u_w']}, {}
        boxes, targets, mixed = Batch(batch), {}, {}
        boxes['box'] = batch['box'][0::2]
        for name, (u, partner) in pairs(batch, 'u_w', self.students).items():
            with torch.no_grad():
                logits = self.forward_views(name, {'u': u, 'partner': partner})
            label = {view: self.label_space.harden(z) for view, z in logits.items()}
            inside = self.inside(boxes, 'box', label['u'])
            targets[name] = paste(label['u'], label['partner'], inside)
            mixed[name] = paste(u, partner, self.inside(boxes, 'box', u))
        return {'u_m': mixed}, targets

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `cps_<student>`: the student on the labels of every other one."""
        view, harden = 'u_m' if self.cutmix else 'u_w', self.label_space.harden
        own, labels = {}, {}
        for name, z in logits.items():
            own[name] = z[view]
            labels[name] = targets[name] if self.cutmix else harden(z[view])
            if self.on_labelled:
                own[name] = torch.cat([z['x_w'], own[name]])
                labels[name] = torch.cat([harden(z['x_w']), labels[name]])
        losses = learn_from_others(own, labels, self.unsup_criterion)
        return {f'cps_{name}': self.cps_weight * loss for name, loss in losses.items()}
