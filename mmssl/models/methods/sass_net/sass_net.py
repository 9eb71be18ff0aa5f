"""SASSNet: distances of unlabelled images that look like those of labelled ones."""

from collections.abc import Mapping
from typing import Any, Unpack, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mmssl.models.base.distances import Distances
from mmssl.models.base.options import Options
from mmssl.models.base.terms import Logits, Losses
from mmssl.models.methods.sass_net.discriminator import Discriminator
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_linear


@MODELS.register_module()
class SASSNet(Distances):
    """Shape-aware semi-supervised segmentation (MICCAI 2020).

    Li et al., Shape-aware Semi-supervised 3D Semantic Segmentation for Medical Images,
    https://arxiv.org/abs/2007.10732.

    In the notation of `Distances`, an iteration has two steps. In the first the student learns,
    while the discriminator D, which sees distances and image, stays as it is and drops nothing::

        L = L_x(p) + beta mean (s - d)^2 + weight(t) CE(D(s(u_w), u_w), labelled)

    in the second D learns, on distances of the student in eval mode::

        L = CE(D(s, x), labelled or not) over x_w and u_w together

    The discriminators are `discriminators.<student>` and need an optimiser of their own in the
    config. The logits predict. No teacher.

    Args:
        distance_weight: beta.
        discriminator: arguments of `Discriminator` but `distances` and `axes`.

    Raises:
        ValueError: the decode head of a student gives no distances.
    """

    phases = 2

    def __init__(
        self,
        *,
        distance_weight: float = 0.3,
        discriminator: dict[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(distance_weight=distance_weight, **options)
        self.discriminators = nn.ModuleDict()
        student: Any
        for name, student in self.students.items():
            last = getattr(student.decode_head, 'conv_distance', None)
            if last is None:
                raise ValueError(
                    f'SASSNet judges the distances of a student, but "{name}" gives none: give it '
                    f'{self.head_types}'
                )
            self.discriminators[name] = Discriminator(
                last.out_channels, last.weight.dim() - 2, **(discriminator or {})
            )

    def forward_views(self, name: str, views: Mapping[str, Tensor]) -> dict[str, list[Tensor]]:
        """Return the outputs on every view; in the second step without a gradient, in eval mode."""
        if self.step.phase == 0:
            return super().forward_views(name, views)
        student = self.students[name]
        was_training = student.training
        student.eval()
        with torch.no_grad():
            found = super().forward_views(name, views)
        student.train(was_training)
        return found

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the terms of the labels, in the second step `discriminator_<student>`."""
        if step.phase == 0:
            return super().sup_loss(batch, logits, targets, step)
        terms = {}
        for name, z in logits.items():
            scores = torch.cat([self.judge(name, batch, z, view) for view in ('x_w', 'u_w')])
            labelled = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
            labelled[: len(z['x_w'][1])] = 1
            terms[f'discriminator_{name}'] = F.cross_entropy(scores, labelled)
        return terms

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `adversarial_<student>` in the first step."""
        if step.phase > 0:
            return {}
        terms = {}
        for name, z in logits.items():
            scores = self.judge(name, batch, z, 'u_w', learning=False)
            labelled = torch.ones(len(scores), dtype=torch.long, device=scores.device)
            terms[f'adversarial_{name}'] = F.cross_entropy(scores, labelled)
        return terms

    def judge(
        self,
        name: str,
        batch: Batch,
        logits: Mapping[str, list[Tensor]],
        view: str,
        learning: bool = True,
    ) -> Tensor:
        """Return a discriminator's scores (N, 2) of a view; `learning`: whether it is trained."""
        discriminator = cast(Discriminator, self.discriminators[name])
        image = batch[view][name]
        seen = resize_linear(logits[view][1].tanh(), image.shape[2:]), image
        if learning:
            return cast(Tensor, discriminator(*seen).float())
        was_training = discriminator.training
        discriminator.eval()
        frozen = {key: value.detach() for key, value in discriminator.named_parameters()}
        scores: Tensor = functional_call(discriminator, frozen, seen)
        discriminator.train(was_training)
        return scores.float()
