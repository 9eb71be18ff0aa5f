"""DTC: the classes and the distances to their boundaries say the same."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F

from mmssl.models.base.distances import Distances
from mmssl.models.base.options import Options
from mmssl.models.base.terms import Logits, Losses
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step


@MODELS.register_module()
class DTC(Distances):
    """Dual-task consistency (AAAI 2021).

    Luo et al., Semi-supervised Medical Image Segmentation through Dual-task Consistency,
    https://arxiv.org/abs/2009.04448.

    In the notation of `Distances`::

        L = L_x(p) + beta mean (s - d)^2 + weight(t) mean (sigmoid(-k s) - p)^2

    the last mean over x_w and u_w together; gradients flow into both sides. L_x is Dice alone in
    the released code. p of a part is the sum over its classes. The logits predict. No teacher.

    Args:
        distance_weight: beta.
        steepness: k of the step from distances to a mask.
    """

    def __init__(
        self,
        *,
        distance_weight: float = 0.3,
        steepness: float = 1500.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(distance_weight=distance_weight, **options)
        self.steepness = steepness

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `consistency_<student>`, over labelled and unlabelled images."""
        terms = {}
        for name, z in logits.items():
            scores, level = (torch.cat(both) for both in zip(z['x_w'], z['u_w'], strict=True))
            p = self.label_space.part_prob(self.label_space.prob(scores))
            inside = torch.sigmoid(-self.steepness * level.tanh())
            terms[f'consistency_{name}'] = F.mse_loss(inside, p)
        return terms
