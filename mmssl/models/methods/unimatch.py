"""UniMatch: two strong views and a perturbed feature stream follow one weak view."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Terms, Views, split_curves
from mmssl.models.strategies.mixing import pairs, paste
from mmssl.models.unet.feature_noise import drop_channels
from mmssl.registry import MODELS, THRESHOLDS
from mmssl.structures import Batch, Step

STRONG = {'u_s': 'box', 'u_s2': 'box2'}
"""The strong views, and the entry of the batch that holds each one's CutMix boxes."""


class UniMatchOptions(Options, total=False):
    """What `UniMatch` takes."""

    threshold: dict[str, Any] | None
    unsup_criterion: dict[str, Any] | None
    weights: Mapping[str, float] | None
    feature_dropout: float | None


@MODELS.register_module()
class UniMatch(SemiSegmentor):
    """UniMatch on medical images (CVPR 2023), as in the code released for ACDC.

    Yang et al., Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic Segmentation,
    https://arxiv.org/abs/2208.09910.

    The unlabelled images of a batch are pairs: u at even positions, and the partner u' behind it.
    With p = A(u_w) of the training pass and p' = A(u'_w) in eval mode, for each strong view s::

        s     = CutMix(u_s, u'_s, box)
        yhat  = CutMix(argmax p, argmax p', box),   W = [CutMix(max p, max p', box) >= tau]
        L     = w_x L_x + w_i sum_s M(A(s), yhat, W) + w_f M(A_drop(u_w), argmax p, [max p >= tau])

    M is the Dice loss over the pixels that count (0 if there is none) and A_drop the network with
    channels of every feature map dropped. The published weights are the default. No teacher.

    Args:
        threshold: pixels that count.
        unsup_criterion: M.
        weights: w_x (`sup`), w_i (`image`) and w_f (`feature`).
        feature_dropout: rate of the dropped channels; None leaves the feature stream out.

    Raises:
        ValueError: a weight has another name.
    """

    together: tuple[tuple[str, ...], ...] = (('x_w', 'u_w'), ('u_s', 'u_s2'))
    published: Mapping[str, float] = {'sup': 0.5, 'image': 0.125, 'feature': 0.25}

    def __init__(
        self,
        *,
        threshold: dict[str, Any] | None = None,
        unsup_criterion: dict[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
        feature_dropout: float | None = 0.5,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault('ramp', dict(type='ConstantRamp'))
        super().__init__(**options)
        fixed = dict(type='FixedThreshold', value=0.95, strict=False)
        self.threshold = THRESHOLDS.build(threshold or fixed)
        masked_dice = dict(type='DiceCELoss', ce_weight=0, mask_background=True, eps=1e-5)
        self.unsup_criterion = MODELS.build(unsup_criterion or masked_dice)
        self.weights = dict(self.published)
        if unknown := set(weights or {}) - set(self.weights):
            raise ValueError(f'weights has {sorted(unknown)}; known are {list(self.weights)}')
        self.weights.update(weights or {})
        self.feature_dropout = feature_dropout

    @property
    def shows_strong(self) -> bool:
        """Whether anything is learnt from the strong views."""
        return bool(self.weights['image'])

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, dict[str, Any]]:
        """Show the weak view of u and its strong views with boxes of u' in them.

        The targets are those of u', from which a box is cut later.
        """
        u_w = pairs(batch, 'u_w', self.image_students)
        views = {'u_w': {name: u for name, (u, _) in u_w.items()}}
        if not self.shows_strong:
            return views, {}
        partners = {
            name: self.partner_target(name, partner, batch) for name, (_, partner) in u_w.items()
        }
        for view, key in STRONG.items():
            both = pairs(batch, view, self.image_students)
            views[view] = {
                name: paste(u, partner, self.inside_pairs(batch, key, u))
                for name, (u, partner) in both.items()
            }
        return views, partners

    def partner_target(self, name: str, partner: Tensor, batch: Batch) -> Any:
        """Return confidence and label of images u'."""
        return self.label_space.decide(self.student_prob(name, partner))

    def inside_pairs(self, batch: Batch, key: str, x: Tensor) -> Tensor:
        """Return the masks (N, 1, ...) of the boxes of every u, at the size of x."""
        pairs_of_boxes = Batch(batch)
        pairs_of_boxes[key] = batch[key][0::2]
        return self.inside(pairs_of_boxes, key, x)

    def forward_views(self, name: str, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a student's logits, and under `u_f` those of u_w with dropped channels.

        The clean and the dropped features of x_w and u_w go through the decoder together.
        """
        if self.feature_dropout is None or 'u_w' not in views:
            return super().forward_views(name, views)
        weak = {view: views[view] for view in ('x_w', 'u_w')}
        strong = {view: x for view, x in views.items() if view not in weak}
        x = torch.cat(list(weak.values()))
        student: Any = self.students[name]
        features = student.extract_feat(x)
        dropped = [torch.cat([f, drop_channels(f, self.feature_dropout)]) for f in features]
        joint = self.to_label_size(name, student.decode_head(dropped), x)
        n_x, n_u = len(weak['x_w']), len(weak['u_w'])
        x_w, u_w, _, u_f = torch.split(joint, [n_x, n_u, n_x, n_u])
        logits = super().forward_views(name, strong) if strong else {}
        return {'x_w': x_w, 'u_w': u_w, 'u_f': u_f, **logits}

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the weighted supervised terms."""
        terms, curves = split_curves(super().sup_loss(batch, logits, targets, step))
        return {key: self.weights['sup'] * term for key, term in terms.items()}, curves

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the weighted terms of the strong views and of the feature stream."""
        terms, curves = {}, {}
        for name in self.image_students:
            z = logits[name]
            weak = self.label_space.decide(self.label_space.prob(z['u_w'].detach()))
            own = weak[1], self.counts(weak[0], step)
            curves['mask'] = own[1].mean()
            confidence, label = self.strong_target(name, weak, logits)
            for view, key in STRONG.items():
                if view not in z:
                    continue
                inside = self.inside_pairs(batch, key, label)
                partner_confidence, partner_label = targets[name]
                mask = self.counts(paste(confidence, partner_confidence, inside), step)
                term = self.unsup_criterion(z[view], paste(label, partner_label, inside), mask)
                terms[f'image_{name}_{view}'] = self.weights['image'] * term
            terms.update(self.feature_loss(name, logits, own))
        return terms, curves

    def strong_target(
        self, name: str, weak: tuple[Tensor, Tensor], logits: Logits
    ) -> tuple[Tensor, Tensor]:
        """Return confidence and label that the strong views follow: those of the weak view."""
        return weak

    def counts(self, confidence: Tensor, step: Step) -> Tensor:
        """Return the mask of the pixels that count."""
        mask: Tensor = self.threshold(confidence, step.iter, step.max_iters)
        return mask.float()

    def feature_loss(self, name: str, logits: Logits, target: tuple[Tensor, Tensor]) -> Terms:
        """Return the term of the feature stream that follows the weak view's label and mask."""
        if 'u_f' not in logits[name]:
            return {}
        term = self.unsup_criterion(logits[name]['u_f'], *target)
        return {f'feature_{name}': self.weights['feature'] * term}

    def pseudo_labels(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the class maps (N, H, W) of every student, for diagnosis."""
        return {name: self.predict_logits(inputs, name).argmax(1) for name in self.image_students}
