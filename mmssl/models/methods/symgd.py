"""SymGD: copy-paste both ways, and two pseudo-labels that must agree."""

from typing import Any, NamedTuple, Unpack

import torch
from torch import Tensor

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Curves, Logits, Losses, Views
from mmssl.models.strategies.frequency import in_8_bits, mix_amplitude
from mmssl.models.strategies.mixing import paste, repeat_to
from mmssl.models.strategies.pseudo_label import counted
from mmssl.registry import MODELS, THRESHOLDS
from mmssl.structures import Batch, Step


class SymGDTargets(NamedTuple):
    """What the students of `SymGD` are taught.

    Attributes:
        taught: student to view to label and mask.
        direct: student to the label of u_w, yhat, and the pixels of it that count, W.
        curves: what is logged.
    """

    taught: dict[str, dict[str, tuple[Tensor, Tensor]]]
    direct: dict[str, tuple[Tensor, Tensor]]
    curves: Curves


@MODELS.register_module()
class SymGD(SemiSegmentor):
    """Symmetric guidance over intermediate domains, also known as MiDSS (CVPR 2024).

    Ma et al., Constructing and Exploring Intermediate Domains in Mixed Domain Semi-supervised
    Medical Image Segmentation, https://arxiv.org/abs/2404.08951.

    With a box M for each unlabelled image u, a labelled image x and the teacher q::

        yhat  = argmax q(u_w),                       W = [max q(u_w) > tau]
        yhat' = argmax q(u_w outside M, x in M) outside M, argmax q(x outside M, u_w in M) inside
        W'    = W, and yhat' confident (W likewise), and yhat' = yhat
        x~    = x with low-frequency amplitudes (1 - rho) |x| + rho |u_w|, rho ~ U(0, t / T)
        ul, lu = (u_s outside M, x~ in M), (x~ outside M, u_s in M); labels and masks alike
        L = L_x + lambda (L(ul) + L(lu) + lambda L(u_s, yhat', W')),     lambda = weight(t)

    The labelled part of ul and lu always counts. The students' forward passes are separate: x, ul,
    lu and u_s. `EMATeacherHook` moves the teachers; boxes come from `RandomPasteBox`. Fundus has
    `OverlappingParts` and `DiceBCELoss`; there, confidence is that of each part. A method with
    other x in the mixed images overrides `partners`.

    Args:
        threshold: pixels that count.
        amplitude: half of the window of low frequencies, as a part of the image's side; None
            leaves x~ = x.

    Raises:
        ValueError: if a student has no teacher.
    """

    def __init__(
        self,
        *,
        threshold: dict[str, Any] | None = None,
        amplitude: float | None = 0.01,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        if alone := sorted(set(self.students) - set(self.teachers)):
            raise ValueError(f'Every student needs a teacher: name {alone} in `teachers` too.')
        self.threshold = THRESHOLDS.build(threshold or dict(type='FixedThreshold', value=0.95))
        self.amplitude = amplitude

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, SymGDTargets]:
        """Show the intermediate images ul and lu, and the strong view."""
        views: Views = {'ul': {}, 'lu': {}, 'u_s': batch['u_s']}
        targets = SymGDTargets({}, {}, {})
        for name in self.students:
            u_w, u_s = batch['u_w'][name], batch['u_s'][name]
            x, y, counts = self.partners(batch, name, step)
            mutated = self.mutate(name, x, u_w, step)
            box_x, box_y = (self.inside(batch, 'box', z) for z in (u_w, y))
            label, mask = self.pseudo_label(name, u_w)
            targets.direct[name] = label, mask
            targets.curves[f'mask_{name}'] = mask.mean()
            guide = self.guidance(name, (x, u_w), (box_x, box_y), (label, mask))
            views['ul'][name] = paste(u_s, mutated, box_x)
            views['lu'][name] = paste(mutated, u_s, box_x)
            targets.taught[name] = {
                'ul': (paste(label, y, box_y), paste(mask, counts, box_y)),
                'lu': (paste(y, label, box_y), paste(counts, mask, box_y)),
                'u_s': guide,
            }
        return views, targets

    def partners(self, batch: Batch, name: str, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """Return for each unlabelled image the one that it is mixed with: image, label, mask.

        They are the labelled ones in order, from the start again where there are fewer, and all
        their pixels count. The label is in the form of the losses, the mask of its shape.
        """
        count = len(batch['u_w'][name])
        label = self.label_space.encode(repeat_to(batch['y'][name], count))
        ones = torch.ones_like(label, dtype=torch.float32)
        return repeat_to(batch['x_w'][name], count), label, ones

    def pseudo_label(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the teacher's label of images and which pixels count, 0 or 1 in float."""
        confidence, label = self.label_space.decide(self.teacher_prob(name, x))
        return label, counted(self.threshold, confidence, label)

    def guidance(
        self,
        name: str,
        images: tuple[Tensor, Tensor],
        boxes: tuple[Tensor, Tensor],
        direct: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return yhat' and W' of the weak views.

        Args:
            name: the student.
            images: x and u_w.
            boxes: M at the size of the images and at that of the labels.
            direct: yhat and W.
        """
        (x, u_w), (box_x, box_y), (label, mask) = images, boxes, direct
        ul = self.pseudo_label(name, paste(u_w, x, box_x))
        lu = self.pseudo_label(name, paste(x, u_w, box_x))
        merged, confident = (
            paste(of_ul, of_lu, box_y) for of_ul, of_lu in zip(ul, lu, strict=True)
        )
        return merged, confident * mask * (merged == label)

    def mutate(self, name: str, x: Tensor, u_w: Tensor, step: Step) -> Tensor:
        """Return x~, labelled images with amplitudes of the unlabelled ones."""
        if self.amplitude is None:
            return x
        degree = torch.rand(len(x), *(1,) * (x.dim() - 1), device=x.device) * step.progress
        of = self.data_preprocessor
        grey, style = (of.grey(name, z.float()) for z in (x, u_w))
        mixed = mix_amplitude(grey, style, self.amplitude, degree)
        changed: Tensor = of.scaled(name, in_8_bits(mixed))
        return changed

    def unsup_loss(self, batch: Batch, logits: Logits, targets: SymGDTargets, step: Step) -> Losses:
        """Return `ul_<student>`, `lu_<student>` and `direct_<student>`, the latter with lambda."""
        weights = {'ul': 1.0, 'lu': 1.0, 'u_s': self.ramp(step.iter, step.max_iters)}
        names = {'ul': 'ul', 'lu': 'lu', 'u_s': 'direct'}
        terms = {
            f'{names[view]}_{name}': weight
            * self.criterion(logits[name][view], *targets.taught[name][view])
            for name in self.students
            for view, weight in weights.items()
        }
        return terms, targets.curves
