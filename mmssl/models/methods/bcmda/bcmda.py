"""BCMDA: virtual images between two domains, and prototypes that correct pseudo-labels."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Unpack

import torch
from torch import Tensor

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Curves, Logits, Losses, Views
from mmssl.models.methods.bcmda.correlation import redraw
from mmssl.models.methods.bcmda.prototype_head import PrototypeHead
from mmssl.models.strategies.contrastive import record_input
from mmssl.models.strategies.mixing import paste, repeat_to
from mmssl.registry import MODELS, RAMPS, THRESHOLDS
from mmssl.structures import Batch, Step

MIXED = {'ul1': 1, 'lu1': 1, 'ul2': 2, 'lu2': 2}
"""The mixed images, and the branch of each."""


class BCMDATargets(NamedTuple):
    """What the students of `BCMDA` are taught.

    Attributes:
        taught: student to view to label and mask.
        curves: what is logged.
    """

    taught: dict[str, dict[str, tuple[Tensor, Tensor]]]
    curves: Curves


class VirtualImages(NamedTuple):
    """Images between the domains, (N, C, ...) each.

    Attributes:
        x: labelled image with a fixed part of the unlabelled one's grey values.
        u: unlabelled image, the reverse.
        x_moving: labelled image with a part that grows with the training.
    """

    x: Tensor
    u: Tensor
    x_moving: Tensor


@MODELS.register_module()
class BCMDA(SemiSegmentor):
    """Bidirectional correlation maps domain adaptation (Neural Networks 2026).

    Song et al., BCMDA: Bidirectional Correlation Maps Domain Adaptation for Mixed Domain
    Semi-Supervised Medical Image Segmentation, https://arxiv.org/abs/2603.24691.

    With x^ and u^ from `redraw` by the teacher's features of the weak views x and u, r a constant
    and m ~ Beta(a, a) min(r, t / T)::

        v_x = (1 - r) x + r x^,    v_u = (1 - r) u + r u^,    d_x = (1 - m) x + m x^
        p(z) = the teacher's probability by prototypes (mu1 + mu2) / 2 where that of a foreground
               passes tau, by its convolution elsewhere
        yhat, W = label and confidence of (p(u) + p(v_u)) / 2
        ul1, lu1 = (v_u outside M1, v_x in M1), (v_x outside M1, v_u in M1)
        ul2, lu2 = (u_s outside M2, d_x in M2), (d_x outside M2, u_s in M2); labels alike
        L = (l(ul1) + l(lu1) + l(ul2) + l(lu2)) / 2

    l is the mean of the losses of the convolution and of prototypes, which are
    (2 mu1 + (1 + lambda) mu2) / (3 + lambda) in the first and with mu1 and mu2 exchanged in the
    second branch. The labelled part always counts. The students' passes are separate; `box` and
    `box2` come from the pipeline, and the students have a `PrototypeHead`.

    Args:
        threshold: tau, of labels and of prototypes.
        prototype_ramp: lambda, over the training.
        ratio: r.
        beta: a.
        reduction: the image's side as a multiple of that of the correlation maps.
        centre: see `redraw`; 127.5 in the released code on Fundus.
        normalise: see `transport`.
        keep_black: leave pixels of grey value 0 as they are, as the released code on Fundus does.
        same_domain: where an unlabelled image is of its labelled partner's domain, leave both as
            they are and label it by p(u) alone, as the released code does. This asks for the
            domains of unlabelled images, which the task does not give.

    Raises:
        ValueError: a student has another head or no teacher, or `normalise` is unknown.
    """

    def __init__(
        self,
        *,
        threshold: dict[str, Any] | None = None,
        prototype_ramp: dict[str, Any] | None = None,
        ratio: float = 0.65,
        beta: float = 1.0,
        reduction: int = 4,
        centre: float = 0.0,
        normalise: str = 'target',
        keep_black: bool = False,
        same_domain: bool = False,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault('ramp', dict(type='ConstantRamp'))
        super().__init__(**options)
        if alone := sorted(set(self.students) - set(self.teachers)):
            raise ValueError(f'Every student needs a teacher: name {alone} in `teachers` too.')
        student: Any
        for name, student in self.students.items():
            if not isinstance(student.decode_head, PrototypeHead):
                raise ValueError(
                    f'BCMDA needs PrototypeHead, but the decode head of "{name}" is '
                    f'{type(student.decode_head).__name__}: set type there.'
                )
        if normalise not in ('target', 'source'):
            raise ValueError(f"normalise must be 'target' or 'source', found {normalise!r}.")
        self.threshold = THRESHOLDS.build(threshold or dict(type='FixedThreshold', value=0.95))
        self.prototype_ramp = RAMPS.build(prototype_ramp or dict(type='GaussianRamp', stairs=200))
        self.ratio, self.beta, self.reduction = ratio, beta, reduction
        self.centre, self.normalise, self.keep_black = centre, normalise, keep_black
        self.same_domain = same_domain

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, BCMDATargets]:
        """Show the four mixed images."""
        views: Views = {view: {} for view in MIXED}
        targets = BCMDATargets({}, {})
        for name in self.students:
            u_w, u_s = batch['u_w'][name], batch['u_s'][name]
            x, y = (repeat_to(batch[key][name], len(u_w)) for key in ('x_w', 'y'))
            virtual, label, mask = self.bridge(batch, name, (x, u_w), step)
            taught = targets.taught[name] = {}
            y = self.label_space.encode(y)
            counts = torch.ones_like(mask)
            for branch, box, new, old in (
                (1, 'box', virtual.x, virtual.u),
                (2, 'box2', virtual.x_moving, u_s),
            ):
                box_x, box_y = (self.inside(batch, box, z) for z in (u_w, y))
                views[f'ul{branch}'][name] = paste(old, new, box_x)
                views[f'lu{branch}'][name] = paste(new, old, box_x)
                taught[f'ul{branch}'] = paste(label, y, box_y), paste(mask, counts, box_y)
                taught[f'lu{branch}'] = paste(y, label, box_y), paste(counts, mask, box_y)
            targets.curves[f'mask_{name}'] = mask.mean()
        return views, targets

    @torch.no_grad()
    def bridge(
        self, batch: Batch, name: str, images: tuple[Tensor, Tensor], step: Step
    ) -> tuple[VirtualImages, Tensor, Tensor]:
        """Return the virtual images of x and u, and yhat and W of u."""
        x, u = images
        of_u, p_u = self.teacher_says(name, u)
        of_x, _ = self.teacher_says(name, batch['x_w'][name])
        virtual = self.virtual_images(name, images, (repeat_to(of_x, len(u)), of_u), step)
        stable = (p_u + self.teacher_says(name, virtual.u)[1]) / 2
        if self.same_domain:
            same = self.pairs_of_one_domain(batch, len(u))
            stable = choose(same, p_u, stable)
            originals = VirtualImages(x, u, x)
            virtual = VirtualImages(
                *(choose(same, *z) for z in zip(originals, virtual, strict=True))
            )
        confidence, label = self.label_space.decide(stable)
        return virtual, label, self.threshold(confidence).float()

    def teacher_says(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the teacher's features of images, and its probability p."""
        head: Any = self.teachers[name].decode_head
        with record_input(head.conv_seg) as seen:
            by_convolution = self.teacher_prob(name, x)
        scores = head.prototype_scores(seen[0], (0.5, 0.5))
        by_prototypes = self.label_space.prob(self.to_label_size(name, scores, x))
        foreground = (
            by_prototypes
            if self.label_space.of_parts
            else by_prototypes[:, 1:].amax(1, keepdim=True)
        )
        p = torch.where(self.threshold(foreground), by_prototypes, by_convolution)
        return seen[0], p

    def virtual_images(
        self,
        name: str,
        images: tuple[Tensor, Tensor],
        features: tuple[Tensor, Tensor],
        step: Step,
    ) -> VirtualImages:
        """Return v_x, v_u and d_x of x and u."""
        of = self.data_preprocessor
        x, u = (of.grey(name, z.float()) for z in images)
        size = tuple(max(side // self.reduction, 1) for side in x.shape[2:])
        redrawn = redraw((x, u), features, size, self.centre, self.normalise)
        moving = self.moving_ratio(step, x.device)

        def mixed(old: Tensor, new: Tensor, ratio: float | Tensor) -> Tensor:
            image = (1 - ratio) * old + ratio * new
            image = torch.where(old < 0.5, old, image) if self.keep_black else image
            scaled: Tensor = of.scaled(name, image)
            return scaled

        return VirtualImages(
            mixed(x, redrawn[0], self.ratio),
            mixed(u, redrawn[1], self.ratio),
            mixed(x, redrawn[0], moving),
        )

    def moving_ratio(self, step: Step, device: torch.device) -> Tensor:
        """Draw m, one for all images."""
        # two Gamma variables make a Beta variable, on every device
        gamma = torch._standard_gamma(torch.full((2,), self.beta, device=device))
        drawn: Tensor = gamma[0] / gamma.sum() * min(self.ratio, step.progress)
        return drawn

    @staticmethod
    def pairs_of_one_domain(batch: Batch, count: int) -> list[bool]:
        """Return whether each unlabelled image is of the domain of its labelled partner."""
        domains = batch.about('domain', labelled=True)
        return [
            domain == domains[i % len(domains)] for i, domain in enumerate(batch.about('domain'))
        ]

    def forward_students(
        self, batch: Batch, views: Mapping[str, Mapping[str, Tensor]], step: Step
    ) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
        """Return the logits of convolution and prototypes on the mixed images; x_w is not seen."""
        ratio = self.prototype_ramp(step.iter, step.max_iters)
        weights = mixture(ratio)
        logits: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
        for name in self.students:
            head: Any = self.students[name].decode_head
            shown = {view: views[view][name] for view in MIXED}
            with record_input(head.conv_seg) as seen:
                linear = self.forward_views(name, shown)
            features = torch.split(torch.cat(seen), [len(x) for x in shown.values()])
            logits[name] = {}
            for (view, x), f in zip(shown.items(), features, strict=True):
                scores = head.prototype_scores(f, weights[MIXED[view]])
                logits[name][view] = linear[view], self.to_label_size(name, scores, x)
        return logits

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return nothing: the labels teach in the mixed images."""
        return {}

    def unsup_loss(self, batch: Batch, logits: Logits, targets: BCMDATargets, step: Step) -> Losses:
        """Return `ul1_`, `lu1_`, `ul2_` and `lu2_<student>`, a half of each loss."""
        terms = {}
        for name, of_views in logits.items():
            for view, (linear, scores) in of_views.items():
                label, mask = targets.taught[name][view]
                loss = self.criterion(linear, label, mask) + self.criterion(scores, label, mask)
                terms[f'{view}_{name}'] = loss / 4
        return terms, targets.curves


def mixture(ratio: float) -> dict[int, tuple[float, float]]:
    """Return the weights of mu1 and mu2 in each branch.

    Example:
        >>> mixture(1.0)
        {1: (0.5, 0.5), 2: (0.5, 0.5)}
    """
    own, other = 2 / (3 + ratio), (1 + ratio) / (3 + ratio)
    return {1: (own, other), 2: (other, own)}


def choose(which: list[bool], a: Tensor, b: Tensor) -> Tensor:
    """Return images of a where `which` says so, else of b."""
    return torch.stack([p if first else q for first, p, q in zip(which, a, b, strict=True)])
