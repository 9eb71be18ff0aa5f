"""How the teachers of two networks are mixed into one pseudo-label.

Every rule returns the weight of the conventional network's teacher, per image, in the target of
the foundation network and in the target of the conventional network; the foundation teacher has
the rest. Most rules give both networks the same target.
"""

import torch
from torch import Tensor

from mmssl.registry import ENSEMBLES


class EnsembleRule:
    """Base of the rules: both students learn from one ensemble of weight `ratio`."""

    def ratio(self, self_conf: Tensor, mutual_conf: Tensor, progress: float) -> Tensor:
        """Return the weight (N,) of the conventional network's teacher.

        Args:
            self_conf: agreement (N,) of the conventional student with its own teacher.
            mutual_conf: agreement (N,) of the two teachers.
            progress: share of the training that is done, in [0, 1].
        """
        raise NotImplementedError(f'{type(self).__name__} must define `ratio`')

    def __call__(
        self, self_conf: Tensor, mutual_conf: Tensor, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Return the weights (N,) for the foundation and for the conventional student."""
        ratio = self.ratio(self_conf, mutual_conf, progress)
        return ratio, ratio


@ENSEMBLES.register_module()
class SelfMutualConfidence(EnsembleRule):
    """Self-Mutual Confidence: the product of both agreements (SynFoC, equation of alpha).

    Example:
        >>> rule = SelfMutualConfidence()
        >>> rule(torch.tensor([0.5]), torch.tensor([0.5]), 0.0)[0].item()
        0.25
    """

    def ratio(self, self_conf: Tensor, mutual_conf: Tensor, progress: float) -> Tensor:
        """Return self confidence times mutual confidence."""
        return self_conf * mutual_conf


@ENSEMBLES.register_module()
class SelfConfidence(EnsembleRule):
    """Trust the conventional network as far as it agrees with its own teacher."""

    def ratio(self, self_conf: Tensor, mutual_conf: Tensor, progress: float) -> Tensor:
        """Return the self confidence."""
        return self_conf


@ENSEMBLES.register_module()
class MutualConfidence(EnsembleRule):
    """Trust the conventional network as far as the two teachers agree."""

    def ratio(self, self_conf: Tensor, mutual_conf: Tensor, progress: float) -> Tensor:
        """Return the mutual confidence."""
        return mutual_conf


@ENSEMBLES.register_module()
class ConstantRatio(EnsembleRule):
    """Mix with one weight for all images and times."""

    def __init__(self, value: float = 0.5) -> None:
        self.value = value

    def ratio(self, self_conf: Tensor, mutual_conf: Tensor, progress: float) -> Tensor:
        """Return the constant."""
        return torch.full_like(self_conf, self.value)


@ENSEMBLES.register_module()
class LinearRatio(EnsembleRule):
    """Move from the foundation to the conventional network linearly with the training."""

    def ratio(self, self_conf: Tensor, mutual_conf: Tensor, progress: float) -> Tensor:
        """Return the progress of the training."""
        return progress * torch.ones_like(self_conf)


@ENSEMBLES.register_module()
class OwnTeacher(EnsembleRule):
    """Let every student learn from its own teacher alone: no ensemble."""

    def __call__(
        self, self_conf: Tensor, mutual_conf: Tensor, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Return 0 for the foundation and 1 for the conventional student."""
        return torch.zeros_like(self_conf), torch.ones_like(self_conf)


@ENSEMBLES.register_module()
class CrossTeacher(EnsembleRule):
    """Cross pseudo supervision: every student learns from the other network's teacher."""

    def __call__(
        self, self_conf: Tensor, mutual_conf: Tensor, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Return 1 for the foundation and 0 for the conventional student."""
        return torch.ones_like(self_conf), torch.zeros_like(self_conf)
