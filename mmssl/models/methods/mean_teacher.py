"""Mean Teacher: a student follows the average of its past on noisy images."""

from torch import Tensor

from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.strategies.uncertainty import add_noise
from mmssl.registry import MODELS


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
        *args,
        consistency: dict | None = None,
        noise_std: float = 0.1,
        noise_limit: float = 0.2,
        start: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(
            *args, **{'ramp': dict(type='GaussianRamp', scale=0.1, stairs=200), **kwargs}
        )
        if alone := sorted(set(self.students) - set(self.teachers)):
            raise ValueError(f'Every student needs a teacher: name {alone} in `teachers` too.')
        self.consistency = MODELS.build(consistency or dict(type='MSEConsistencyLoss'))
        self.noise = dict(std=noise_std, limit=noise_limit)
        self.start = start

    def student_views(self, batch: dict) -> dict[str, dict[str, Tensor]]:
        """Return the unlabelled weak view."""
        return {'u_w': batch['u_w']}

    def noisy_teacher(self, name: str, x: Tensor) -> Tensor:
        """Return the teacher's probabilities (N, C, H, W) on images with new noise."""
        return self.teacher_prob(name, add_noise(x, **self.noise))

    def unsup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return `consistency_<student>`, 0 before `start`."""
        begun = float(self.iter >= self.start)
        return {
            f'consistency_{name}': begun
            * self.consistency_loss(name, self.label_space.prob(logits['u_w']), batch)
            for name, logits in batch['logits'].items()
        }

    def consistency_loss(self, name: str, p: Tensor, batch: dict) -> Tensor:
        """Return the distance of the student's probabilities p to its teacher's."""
        return self.consistency(p, self.noisy_teacher(name, batch['u_w'][name]))
