"""SynFoC: a foundation model and a conventional one teach each other."""

from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.base.label_space import OverlappingParts
from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Curves, Logits, Losses, Views
from mmssl.models.strategies.mixing import boxes_at, paste
from mmssl.models.strategies.pseudo_label import agreement, counted
from mmssl.registry import ENSEMBLES, MODELS, THRESHOLDS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_linear, resize_mask


@MODELS.register_module()
class SynFoC(SemiSegmentor):
    """Synergistic training of foundation and conventional models (CVPR 2025).

    Ma et al., Steady Progress Beats Stagnation: Mutual Aid of Foundation and Conventional Models
    in Mixed Domain Semi-Supervised Medical Image Segmentation, https://arxiv.org/abs/2503.16997.

    With teachers q^f (foundation) and q^c (conventional) on the weak view u_w::

        alpha = self x mutual confidence              (SMC, `ensemble`)
        e     = (1 - alpha) q^f + alpha q^c,  yhat = argmax e,  W = [max e > tau]
        u_c   = u_s outside, x_w inside a random box; yhat and W alike (y and 1 inside)
        L     = L_x + weight(t) (L_u + L_consistent + L_discrepant)

    L_x and L_u are cross-entropy + Dice of both students on x_w and u_c; the last two terms are
    `CDCRLoss` of both students on u_c. The foundation student is compared at the size of its
    logits, the conventional one at its input size; e is made at the latter, and yhat and W of the
    former come from e brought down. `EMATeacherHook` moves the teachers.

    Args:
        foundation: name of the foundation student.
        conventional: name of the conventional student.
        threshold: pixels that count; tau of the paper.
        ensemble: rule of alpha.
        consistency: loss between the students on u_c, or None to leave it out.
        smooth: summand of the Dice that makes the confidences; 0 for the paper's formula.

    Raises:
        ValueError: `consistency` is made for the other label space.
    """

    def __init__(
        self,
        *,
        foundation: str = 'sam',
        conventional: str = 'unet',
        threshold: dict[str, Any] | None = None,
        ensemble: dict[str, Any] | None = None,
        consistency: dict[str, Any] | None = None,
        smooth: float = 1.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.foundation, self.conventional = foundation, conventional
        self._check_names('foundation and conventional', [foundation, conventional])
        self.smooth = smooth
        self.threshold = THRESHOLDS.build(threshold or dict(type='FixedThreshold', value=0.95))
        self.ensemble = ENSEMBLES.build(ensemble or dict(type='SelfMutualConfidence'))
        self.consistency = MODELS.build(consistency) if consistency else None
        overlapping = isinstance(self.label_space, OverlappingParts)
        if self.consistency and getattr(self.consistency, 'sigmoid', overlapping) != overlapping:
            fitting = 'sigmoid' if overlapping else 'softmax'
            raise ValueError(
                f'consistency {consistency} does not fit label_space '
                f'{type(self.label_space).__name__}: take '
                f"dict(type='CDCRLoss', activation='{fitting}')"
            )

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show u_c, and teach each student its label and mask (N, H, W) there."""
        lessons, curves = self.lessons(batch['u_w'], step)
        taught, u_c = {}, {}
        for name, (label, confident) in lessons.items():
            inside = self.inside(batch, 'box', label)
            y = self.label_space.encode(batch['y'][name])
            confident = paste(confident, torch.ones_like(confident), inside)
            taught[name] = paste(label, y, inside), confident
            u_s = batch['u_s'][name]
            u_c[name] = paste(u_s, batch['x_w'][name], self.inside(batch, 'box', u_s))
        return {'u_c': u_c}, (taught, curves)

    def inside(self, batch: Batch, key: str, x: Tensor) -> Tensor:
        """Return masks (N, 1, h, w) of the boxes at the size of x, see `SemiSegmentor.inside`."""
        return boxes_at(batch[key], batch['u_w'][self.conventional], x)

    @torch.no_grad()
    def lessons(
        self, u_w: dict[str, Tensor], step: Step
    ) -> tuple[dict[str, tuple[Tensor, Tensor]], Curves]:
        """Return yhat and W (N, H, W) for each student, and the curves of the confidences."""
        q_f, q_c, alphas, confidences = self.teach(u_w, step)
        sizes = {self.foundation: q_f.shape[2:], self.conventional: q_c.shape[2:]}
        q_f, lessons = resize_linear(q_f, q_c.shape[2:]), {}
        for name, alpha in alphas.items():
            e = resize_linear(mix(q_f, q_c, alpha), sizes[name])
            confidence, label = self.label_space.decide(e)
            lessons[name] = label, counted(self.threshold, confidence, label)
        curves = {
            'alpha': alphas[self.conventional],
            'mask': lessons[self.conventional][1],
            **confidences,
        }
        return lessons, {key: value.mean() for key, value in curves.items()}

    @torch.no_grad()
    def teach(self, u_w: dict[str, Tensor], step: Step) -> tuple[Tensor, Tensor, Curves, Curves]:
        """Return both teachers' probabilities, and for each image alpha and the confidences."""
        q_f = self.teacher_prob(self.foundation, u_w[self.foundation])
        q_c = self.teacher_prob(self.conventional, u_w[self.conventional])
        student = self.forward_views(self.conventional, {'u_w': u_w[self.conventional]})['u_w']
        student = self.label_space.prob(student)
        of_f, of_c, of_student = (self.members(q) for q in (q_f, q_c, student))
        self_conf = agreement(of_student, of_c, self.smooth)
        low = resize_mask(of_c.float(), q_f.shape[2:]) > 0
        mutual_conf = agreement(low, of_f, self.smooth)
        alpha_f, alpha_c = self.ensemble(self_conf, mutual_conf, step.progress)
        alphas = {self.foundation: alpha_f, self.conventional: alpha_c}
        return q_f, q_c, alphas, {'self_conf': self_conf, 'mutual_conf': mutual_conf}

    def members(self, prob: Tensor) -> Tensor:
        """Return which pixels belong to each part, boolean (K, N, H, W)."""
        return self.label_space.members(self.label_space.decide(prob)[1])

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `unsup_<student>` of both students, `consistent` and `discrepant`."""
        taught, curves = targets
        u_c = {name: z['u_c'] for name, z in logits.items()}
        terms = {
            f'unsup_{name}': self.criterion(u_c[name], *taught[name]) for name in self.students
        }
        if self.consistency is not None:
            terms.update(self.consistency(u_c[self.foundation], u_c[self.conventional]))
        return terms, curves

    def pseudo_labels(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the class maps (N, H, W) of teachers and ensemble, and the confidences (N,)."""
        q_f, q_c, alphas, confidences = self.teach(inputs, self.step)
        q_f, alpha = resize_linear(q_f, q_c.shape[2:]), alphas[self.conventional]
        maps = {self.foundation: q_f, self.conventional: q_c, 'ensemble': mix(q_f, q_c, alpha)}
        classes = {name: self.label_space.class_map(q) for name, q in maps.items()}
        return {**classes, 'alpha': alpha, **confidences}


def mix(q_f: Tensor, q_c: Tensor, alpha: Tensor) -> Tensor:
    """Return `(1 - alpha) q_f + alpha q_c` with one alpha for each image, (N, C, H, W)."""
    alpha = alpha.view(-1, *(1,) * (q_c.dim() - 1)).to(q_c.dtype)
    return (1 - alpha) * q_f + alpha * q_c
