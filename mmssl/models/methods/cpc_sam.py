"""CPC-SAM: two SAM decoders prompt each other and learn from the prompted predictions."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import Tensor

from mmssl.models.base.label_space import ExclusiveClasses
from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.terms import Logits, Losses, Views
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step

ROUNDS = {1: (1, 2), 2: (2, 1)}
"""Step to the decoder i that learns with prompts and the decoder j that they come from."""


@MODELS.register_module()
class CPCSAM(SemiSegmentor):
    """Cross Prompting Consistency with Segment Anything Model (MICCAI 2024).

    Miao et al., https://arxiv.org/abs/2407.05416. Two mask decoders d_1 and d_2 share SAM's
    image and prompt encoder (`CrossPromptHead`). z_i are the logits of d_i without prompts.
    argmax z_j gives a point in the largest component of each class, the innermost (p_j) and a
    random one (r_j), with which the other decoder predicts again::

        o_i = d_i(p_j),  o'_i = d_i(r_j),  q_i = argmax (softmax o_i + softmax o'_i)
        L_1     = S(z_1) + S(z_2)
        L_cross = S(o_i) + S(o'_i) + a C(z_j, q_i) + b C(o'_i, q_i),   (i, j) = (1, 2), (2, 1)

    S (`sup_loss`) is .2 CE + .8 Dice on the labelled images, C (`unsup_criterion`) .5 CE + .5 Dice
    on the unlabelled ones, without a gradient through q and the points. The released code makes
    an optimiser step for L_1 and, after a warm-up, one for each of the two L_cross, each with
    its own pass of the encoder (`three_steps`, see `SemiTrainLoop`); in these the `no mask`
    embedding gets no gradient from z_j. The paper has one sum of all, here from one pass.

    One weak view, no teacher, constant weights.

    Args:
        cross_start: iteration from which the decoders prompt each other.
        three_steps: whether an iteration has an optimiser step for each loss, or one for the sum.
        cross_weight: a.
        prompt_weight: b.
        unsup_criterion: C.

    Raises:
        ValueError: the label space has overlapping parts, or a student has another head.
    """

    def __init__(
        self,
        *,
        cross_start: int = 5000,
        three_steps: bool = True,
        cross_weight: float = 0.4,
        prompt_weight: float = 0.05,
        unsup_criterion: dict[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault(
            'sup_loss', dict(type='DiceCELoss', ce_weight=0.2, dice_weight=0.8, eps=1e-5)
        )
        options.setdefault('ramp', dict(type='ConstantRamp'))
        super().__init__(**options)
        self.cross_start, self.three_steps = cross_start, three_steps
        self.cross_weight, self.prompt_weight = cross_weight, prompt_weight
        self.unsup_criterion = MODELS.build(
            unsup_criterion or dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5)
        )
        if not isinstance(self.label_space, ExclusiveClasses):
            raise ValueError(
                f'CPCSAM makes its points from the most probable class, but label_space is '
                f'{type(self.label_space).__name__}: use ExclusiveClasses'
            )
        for name, student in self.students.items():
            if not hasattr(student.decode_head, 'prompted'):
                raise ValueError(
                    f'CPCSAM needs two decoders that take prompts, but "{name}" has a '
                    f'{type(student.decode_head).__name__}: give it a CrossPromptHead'
                )

    @property
    def phases(self) -> int:
        """Optimiser steps of the iteration under way."""
        return 3 if self.three_steps and self.step.iter >= self.cross_start else 1

    def rounds(self, step: Step) -> tuple[int, ...]:
        """Return what a loss is made of: 0 for L_1, 1 and 2 for the two L_cross."""
        if step.iter < self.cross_start:
            return (0,)
        return (step.phase,) if self.three_steps else (0, 1, 2)

    def prompting(self, step: Step) -> list[tuple[int, int]]:
        """Return the pairs (i, j) of a loss."""
        return [pair for number, pair in ROUNDS.items() if number in self.rounds(step)]

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Show the unlabelled images too."""
        return {'u_w': batch['u_w']}, None

    def forward_students(
        self, batch: Batch, views: Mapping[str, Mapping[str, Tensor]], step: Step
    ) -> dict[str, dict[str, dict[str, Tensor]]]:
        """Return student to view to the logits that the step needs."""
        return {
            name: self.ask(name, {view: x[name] for view, x in views.items()}, step)
            for name in self.students
        }

    def ask(
        self, name: str, views: Mapping[str, Tensor], step: Step
    ) -> dict[str, dict[str, Tensor]]:
        """Return a student's logits on several views, from one pass of the encoder.

        They are named `coarse_<i>`, `optimal_<i>` and `random_<i>` for z_i, o_i and o'_i.
        """
        student: Any = self.students[name]
        found, x = {}, torch.cat(list(views.values()))
        head, features = student.decode_head, student.extract_feat(x)
        if 0 in self.rounds(step):
            found['coarse_1'], found['coarse_2'] = head.forward_all(features)
        for i, j in self.prompting(step):
            if f'coarse_{j}' not in found:
                found[f'coarse_{j}'] = head.coarse(features, j - 1, detach=True)
            both = head.prompted(features, found[f'coarse_{j}'], i - 1)
            found[f'optimal_{i}'], found[f'random_{i}'] = both
        counts = [len(x) for x in views.values()]
        sized = {key: self.to_label_size(name, z, x) for key, z in found.items()}
        parts = {key: torch.split(z, counts) for key, z in sized.items()}
        return {view: {key: part[n] for key, part in parts.items()} for n, view in enumerate(views)}

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `sup_<student>` without prompts and `prompted_<i>_<student>` with them."""
        terms = {}
        for name, z in logits.items():
            x, y = z['x_w'], self.label_space.encode(batch['y'][name])
            outputs = {'sup': ('coarse_1', 'coarse_2')} if 0 in self.rounds(step) else {}
            outputs.update(
                {f'prompted_{i}': (f'optimal_{i}', f'random_{i}') for i, _ in self.prompting(step)}
            )
            terms.update(
                {
                    f'{term}_{name}': self.criterion(x[a], y) + self.criterion(x[b], y)
                    for term, (a, b) in outputs.items()
                }
            )
        return terms

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `cross_<j>_<student>` of z_j, and `consistent_<i>_<student>` of o'_i."""
        terms = {}
        for name, z in logits.items():
            u = z['u_w']
            for i, j in self.prompting(step):
                q = self.pseudo_label(u[f'optimal_{i}'], u[f'random_{i}'])
                cross, consistent = (
                    self.unsup_criterion(u[key], q) for key in (f'coarse_{j}', f'random_{i}')
                )
                terms[f'cross_{j}_{name}'] = self.cross_weight * cross
                terms[f'consistent_{i}_{name}'] = self.prompt_weight * consistent
        return terms

    @torch.no_grad()
    def pseudo_label(self, optimal: Tensor, random: Tensor) -> Tensor:
        """Return q (N, H, W), the class with the highest mean probability."""
        prob = [self.label_space.prob(logits.float()) for logits in (optimal, random)]
        return self.label_space.decide((prob[0] + prob[1]) / 2)[1]

    @torch.no_grad()
    def pseudo_labels(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return q_1 and q_2 (N, H, W) of every student, for diagnosis."""
        maps = {}
        student: Any
        for name, student in self.students.items():
            head, features = student.decode_head, student.extract_feat(inputs[name])
            for i, j in ROUNDS.values():
                both = head.prompted(features, head.coarse(features, j - 1), i - 1)
                maps[f'{name}_{i}'] = self.pseudo_label(*both)
        return maps
