"""UA-MT: a mean teacher that is followed where it is sure."""

from torch import Tensor

from mmssl.models.base.label_space import OverlappingParts
from mmssl.models.methods.mean_teacher import MeanTeacher
from mmssl.models.strategies.uncertainty import entropy, entropy_of_parts, monte_carlo_mean
from mmssl.registry import MODELS, THRESHOLDS


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
        **kwargs: of `MeanTeacher`.
    """

    def __init__(
        self,
        *args,
        samples: int = 8,
        repeat: int = 2,
        threshold: dict | None = None,
        **kwargs,
    ) -> None:
        consistency = dict(type='MSEConsistencyLoss', channels=2)
        super().__init__(*args, **{'consistency': consistency, **kwargs})
        self.passes = dict(samples=samples, repeat=repeat)
        self.threshold = THRESHOLDS.build(threshold or dict(type='UncertaintyThreshold'))
        parts = isinstance(self.label_space, OverlappingParts)
        self.uncertainty = entropy_of_parts if parts else entropy

    def consistency_loss(self, name: str, p: Tensor, batch: dict) -> Tensor:
        """Return the distance to the teacher over the pixels of which it is sure."""
        u_w = batch['u_w'][name]
        target = self.noisy_teacher(name, u_w)
        mean = monte_carlo_mean(lambda x: self.noisy_teacher(name, x), u_w, **self.passes)
        mask = self.threshold(self.uncertainty(mean), self.iter, self.max_iters).to(p.dtype)
        batch.setdefault('curves', {})[f'mask_{name}'] = mask.mean()
        return self.consistency(p, target, mask)
