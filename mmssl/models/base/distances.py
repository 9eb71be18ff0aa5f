"""The base of methods whose student says how far each pixel is from a boundary, too."""

from typing import Any, Unpack

import torch.nn.functional as F
from torch import Tensor

from mmssl.models.base.options import Options
from mmssl.models.base.several_heads import SeveralHeads
from mmssl.models.base.terms import Logits, Losses
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_linear


class Distances(SeveralHeads):
    """Teach students classes and signed distances.

    A student gives logits and a second output, whose tanh s are the distances to the boundary of
    each part, negative inside (`VNetDistanceHead`, `UNetDistanceHead`). With p the probabilities
    and d the distances of the label (`SignedDistance` in the pipeline of the labelled images), the
    supervised terms are `L_x(p) + beta mean (s - d)^2`. `logits[student][view]` is the list of the
    logits and the distances before their tanh. The logits predict.

    Args:
        distance_weight: beta.

    Raises:
        ValueError: there are no distances of the label, or not one map for each part.
    """

    several_heads = False
    head_types = 'UNetDistanceHead or VNetDistanceHead'

    def __init__(self, *, distance_weight: float = 0.3, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.distance_weight = distance_weight

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
                f'{type(self).__name__} has a map of distances for each of the {parts} parts, but '
                f'"{name}" gives {level.shape[1]} and the labels have {maps.shape[1]}: set '
                f'distances={parts} in its decode head, and the parts of the model in '
                'SignedDistance.'
            )
        return resize_linear(maps.to(level.dtype), level.shape[2:])
