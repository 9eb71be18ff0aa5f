"""UA-MT: a mean teacher that is followed where it is sure."""

from collections.abc import Mapping
from typing import Any, Unpack

from mmssl.models.base.label_space import OverlappingParts
from mmssl.models.base.terms import Losses
from mmssl.models.methods.mean_teacher import MeanTeacher, MeanTeacherOptions
from mmssl.models.strategies.uncertainty import entropy, entropy_of_parts, monte_carlo_mean
from mmssl.registry import MODELS, THRESHOLDS
from mmssl.structures import Batch, Step


@MODELS.register_module()
class UAMT(MeanTeacher):
    """Uncertainty-aware self-ensembling (MICCAI 2019).

    Yu et al., Uncertainty-aware Self-ensembling Model for Semi-supervised 3D Left Atrium
    Segmentation, https://arxiv.org/abs/1907.07034.

    In the notation of `MeanTeacher`, with S passes of the teacher, each with new noise and
    dropout::

        pbar = mean of g(u_w + n_s) over s = 1 ... S,   U = -sum_c pbar_c ln(pbar_c + 1e-6)
        m    = [U < (0.75 + 0.25 exp(-5 (1 - t / T)^2)) ln 2]
        L    = L_x + weight(t) sum(m |f(u_w) - g(u_w + n)|^2) / (2 sum m)

    ln 2 and the 2 of the mean come from two classes. The published codes keep them for any number
    of classes, and so do the defaults: for C classes as meant, `threshold.classes=C` and
    `consistency.channels=None`. Where parts overlap every part has an entropy and a mask of its
    own. The students should have dropout; noise alone moves the passes little.

    Args:
        samples: passes S.
        repeat: passes that share one batch.
        threshold: `UncertaintyThreshold`.
        **options: of `MeanTeacher`.
    """

    def __init__(
        self,
        *,
        samples: int = 8,
        repeat: int = 2,
        threshold: dict[str, Any] | None = None,
        **options: Unpack[MeanTeacherOptions],
    ) -> None:
        options.setdefault('consistency', dict(type='MSEConsistencyLoss', channels=2))
        super().__init__(**options)
        self.passes = dict(samples=samples, repeat=repeat)
        self.threshold = THRESHOLDS.build(threshold or dict(type='UncertaintyThreshold'))
        parts = isinstance(self.label_space, OverlappingParts)
        self.uncertainty = entropy_of_parts if parts else entropy

    def consistency_terms(
        self, name: str, logits: Mapping[str, Any], batch: Batch, step: Step
    ) -> Losses:
        """Return the distance to the teacher over the pixels of which it is sure."""
        p, u_w = self.label_space.prob(logits['u_w']), batch['u_w'][name]
        target = self.noisy_teacher(name, u_w)
        mean = monte_carlo_mean(lambda x: self.noisy_teacher(name, x), u_w, **self.passes)
        mask = self.threshold(self.uncertainty(mean), step.iter, step.max_iters).to(p.dtype)
        terms = {f'consistency_{name}': self.consistency(p, target, mask)}
        return terms, {f'mask_{name}': mask.mean()}
