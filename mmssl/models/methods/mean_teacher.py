"""Mean Teacher: a student follows the average of its past on noisy images."""

from collections.abc import Mapping
from typing import Any, Unpack

from torch import Tensor

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views, split_curves
from mmssl.models.strategies.uncertainty import add_noise
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step


class MeanTeacherOptions(Options, total=False):
    """What `MeanTeacher` takes."""

    consistency: dict[str, Any] | None
    noise_std: float
    noise_limit: float
    start: int


@MODELS.register_module()
class MeanTeacher(SemiSegmentor):
    """Mean Teacher for segmentation, in the form of UA-MT and SSL4MIS.

    Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017,
    https://arxiv.org/abs/1703.01780.

    The student f sees the weak views of labelled and unlabelled images in one pass, the teacher g
    the unlabelled ones with noise of its own::

        L = L_x + weight(t) |f(u_w) - g(u_w + n)|^2,   n = clip(N(0, 0.1^2), -0.2, 0.2)

    `EMATeacherHook` moves the teacher and keeps it in train mode, with dropout. Every student has
    its own teacher.

    Args:
        consistency: loss of the student's and the teacher's probabilities.
        noise_std: standard deviation of the noise, in units of the network's input.
        noise_limit: largest absolute value of the noise.
        start: iteration from which the consistency counts; SSL4MIS waits for 1,000.

    Raises:
        ValueError: if a student has no teacher.
    """

    together = (('x_w', 'u_w'),)

    def __init__(
        self,
        *,
        consistency: dict[str, Any] | None = None,
        noise_std: float = 0.1,
        noise_limit: float = 0.2,
        start: int = 0,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault('ramp', dict(type='GaussianRamp', scale=0.1, stairs=200))
        super().__init__(**options)
        if alone := sorted(set(self.students) - set(self.teachers)):
            raise ValueError(f'Every student needs a teacher: name {alone} in `teachers` too.')
        self.consistency = MODELS.build(consistency or dict(type='MSEConsistencyLoss'))
        self.noise = dict(std=noise_std, limit=noise_limit)
        self.start = start

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the unlabelled images too."""
        return {'u_w': batch['u_w']}, None

    def noisy_teacher(self, name: str, x: Tensor) -> Tensor:
        """Return the teacher's probabilities (N, C, H, W) on images with new noise."""
        return self.teacher_prob(name, add_noise(x, **self.noise))

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `consistency_<student>`, 0 before `start`."""
        terms, curves, begun = {}, {}, float(step.iter >= self.start)
        for name, z in logits.items():
            term, of_term = split_curves(self.consistency_terms(name, z, batch, step))
            curves.update(of_term)
            terms.update({key: begun * value for key, value in term.items()})
        return terms, curves

    def consistency_terms(
        self, name: str, logits: Mapping[str, Any], batch: Batch, step: Step
    ) -> Losses:
        """Return the distance of a student's probabilities to its teacher's."""
        p = self.label_space.prob(logits['u_w'])
        distance = self.consistency(p, self.noisy_teacher(name, batch['u_w'][name]))
        return {f'consistency_{name}': distance}
