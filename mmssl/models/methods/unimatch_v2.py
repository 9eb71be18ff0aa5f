"""UniMatch V2: two strong views with complementary channels follow a teacher's weak view."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views
from mmssl.models.methods.unimatch import STRONG, UniMatch
from mmssl.models.strategies.mixing import paste
from mmssl.models.unet.feature_noise import keep_complementary, logits_of_changed_maps
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step


@MODELS.register_module()
class UniMatchV2(UniMatch):
    """UniMatch V2 (TPAMI 2025), on any network whose encoder gives feature maps.

    Yang et al., UniMatch V2: Pushing the Limit of Semi-Supervised Semantic Segmentation,
    https://arxiv.org/abs/2410.10777.

    The partner u' of an unlabelled image is the one at the same place from the end of the batch.
    With p = teacher(u_w), for the two strong views s::

        s    = CutMix(u_s, u'_s, box)
        yhat = CutMix(argmax p, argmax p', box),   W = [CutMix(max p, max p', box) >= tau]
        L    = w_x L_x + w_i sum_s L(A_c(s), yhat, W)

    A_c drops channels of the encoder's maps: those that one of the two views keeps, scaled up, are
    those that the other loses; half of the images keep all (`keep_complementary`). Both views go
    through the network together. `EMATeacherHook(momentum=0.996, buffers='ema', mode='eval')` moves
    the teacher. L and L_x are cross-entropies, w_x 1/2 and w_i 1/4, as published.

    Args:
        complementary: drop channels; without it this is FixMatch with two strong views.
        threshold: pixels that count; `p >= 0.95` by default.
        unsup_criterion: L.
        weights: w_x (`sup`) and w_i (`image`).
        sup_loss: L_x.
        **options: of `SemiSegmentor`; every student needs a teacher.

    Raises:
        ValueError: a student has no teacher, or a weight has another name.
    """

    together = (('u_s', 'u_s2'),)
    published: Mapping[str, float] = {'sup': 0.5, 'image': 0.25}

    def __init__(
        self,
        *,
        complementary: bool = True,
        threshold: dict[str, Any] | None = None,
        unsup_criterion: dict[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
        **options: Unpack[Options],
    ) -> None:
        cross_entropy = dict(type='DiceCELoss', dice_weight=0)
        options.setdefault('sup_loss', cross_entropy)
        super().__init__(
            threshold=threshold,
            unsup_criterion=unsup_criterion or cross_entropy,
            weights=weights,
            feature_dropout=None,
            **options,
        )
        if left := [name for name in self.students if name not in self.teachers]:
            raise ValueError(
                f'UniMatchV2 needs a teacher for every student: name {left} in `teachers`, too.'
            )
        self.complementary = complementary

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, dict[str, Any]]:
        """Show the strong views with boxes of their partners, taught by the weak view's label."""
        targets = {
            name: self.label_space.decide(self.teacher_prob(name, batch['u_w'][name]))
            for name in self.students
        }
        views = {
            view: {name: self.cut_mix(batch, key, batch[view][name]) for name in self.students}
            for view, key in STRONG.items()
        }
        return views, targets

    def cut_mix(self, batch: Batch, key: str, x: Tensor) -> Tensor:
        """Return images or labels with the boxes of their partners in them."""
        return paste(x, x.flip(0), self.inside(batch, key, x))

    def forward_views(self, name: str, views: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return a student's logits, those of the strong views with complementary channels."""
        if not self.complementary:
            return super().forward_views(name, views)
        weak = {view: x for view, x in views.items() if view not in STRONG}
        logits = super().forward_views(name, weak)  # first, as the statistics of batch norms tell
        x = torch.cat([views[view] for view in STRONG])
        joint = logits_of_changed_maps(self.students[name], x, keep_complementary)
        strong = self.to_label_size(name, joint, x).chunk(2)
        return {**logits, **dict(zip(STRONG, strong, strict=True))}

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the weighted terms of the strong views."""
        terms, curves = {}, {}
        for name, (confidence, label) in targets.items():
            curves[f'mask_{name}'] = self.counts(confidence, step).mean()
            for view, key in STRONG.items():
                mask = self.counts(self.cut_mix(batch, key, confidence), step)
                target = self.cut_mix(batch, key, label)
                term = self.unsup_criterion(logits[name][view], target, mask)
                terms[f'image_{name}_{view}'] = self.weights['image'] * term
        return terms, curves

    def pseudo_labels(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the class maps (N, H, W) of every teacher, for diagnosis."""
        return SemiSegmentor.pseudo_labels(self, inputs)
