"""DTC: the classes and the distances to their boundaries say the same."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from mmssl.models.base.options import Options
from mmssl.models.base.several_heads import SeveralHeads
from mmssl.models.base.terms import Logits, Losses
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_linear


@MODELS.register_module()
class DTC(SeveralHeads):
    """Dual-task consistency (AAAI 2021).

    Luo et al., Semi-supervised Medical Image Segmentation through Dual-task Consistency,
    https://arxiv.org/abs/2009.04448.

    A student gives probabilities p and signed distances s = tanh(its second output), negative
    inside, for each part (`VNetDistanceHead`, `UNetDistanceHead`). With the distances d of the
    label (`SignedDistance` in the pipeline of the labelled images)::

        L = L_x(p) + beta mean (s - d)^2 + weight(t) mean (sigmoid(-k s) - p)^2

    the last mean over x_w and u_w together; gradients flow into both sides. L_x is Dice alone in
    the released code. p of a part is the sum over its classes. The logits predict. No teacher.

    Args:
        distance_weight: beta.
        steepness: k of the step from distances to a mask.

    Raises:
        ValueError: there are no distances of the label, or not one map for each part.
    """

    several_heads = False
    head_types = 'UNetDistanceHead or VNetDistanceHead'

    def __init__(
        self,
        *,
        distance_weight: float = 0.3,
        steepness: float = 1500.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.distance_weight = distance_weight
        self.steepness = steepness

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `sup_<student>` and `sup_distance_<student>`, weighted by beta."""
        terms = {}
        for name, z in logits.items():
            scores, level = z['x_w']
            y = self.label_space.encode(batch['y'][name])
            terms[f'sup_{name}'] = self.criterion(scores, y)
            distance = F.mse_loss(level.tanh(), self.true_distances(name, batch, level))
            terms[f'sup_distance_{name}'] = self.distance_weight * distance
        return terms

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `consistency_<student>`, over labelled and unlabelled images."""
        terms = {}
        for name, z in logits.items():
            scores, level = (torch.cat(both) for both in zip(z['x_w'], z['u_w'], strict=True))
            p = self.label_space.part_prob(self.label_space.prob(scores))
            inside = torch.sigmoid(-self.steepness * level.tanh())
            terms[f'consistency_{name}'] = F.mse_loss(inside, p)
        return terms

    def true_distances(self, name: str, batch: Batch, level: Tensor) -> Tensor:
        """Return the label's distances (N, K, H, W) at the size of a student's, `level`."""
        maps: Tensor | None = batch.get('x_maps')
        if maps is None:
            raise ValueError(
                'The batch has no distances of the labels, "x_maps": add SignedDistance to '
                'labelled_pipeline, before PackSemiInputs.'
            )
        parts = len(self.label_space.table)
        if not maps.shape[1] == level.shape[1] == parts:
            raise ValueError(
                f'DTC has a map of distances for each of the {parts} parts, but "{name}" gives '
                f'{level.shape[1]} and the labels have {maps.shape[1]}: set distances={parts} in '
                'its decode head, and the parts of the model in SignedDistance.'
            )
        return resize_linear(maps.to(level.dtype), level.shape[2:])
