"""SemiSAM: a mean teacher whose student also follows a frozen SAM, asked with its own output."""

from collections.abc import Mapping
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from mmssl.models.base.label_space import OverlappingParts
from mmssl.models.base.terms import Curves, Logits, Losses, Terms, split_curves
from mmssl.models.methods.mean_teacher import MeanTeacher, MeanTeacherOptions
from mmssl.models.methods.semi_sam.clicks import click_masks
from mmssl.models.sam.connected import largest_component_masks
from mmssl.models.sam.prompts import UNASKED, mask_boxes, scale_boxes
from mmssl.registry import MODELS, RAMPS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_linear


@MODELS.register_module()
class SemiSAM(MeanTeacher):
    """SAM-assisted consistency regularisation (BIBM 2024), in two dimensions.

    Zhang et al., SemiSAM: Enhancing Semi-Supervised Medical Image Segmentation via SAM-Assisted
    Consistency Regularization, https://arxiv.org/abs/2312.06316; what SemiSAM+ of the same authors
    (https://arxiv.org/abs/2502.20749) does otherwise are options.

    In the notation of `MeanTeacher`, with x all images of the batch and m the masks that a frozen
    SAM gives for the parts in the student's own prediction on u_w::

        L = L_x + a w(t) |f(x) - g(x + n)|^2 + b w_S(t) |f(u_w) - m|^2,   a = b = 1/2

    w grows and w_S falls. Each part found in the prediction is asked for by itself, with the box
    around it or with clicks (`clicks`); a part that is not found has no prompt and no
    term. No label of an unlabelled image is looked at; the released script clicks by those.

    SAM is a `PromptedSAM`: frozen, no part of a teacher, and in a checkpoint only by its
    fingerprint. `EMATeacherHook` moves the teachers.

    Args:
        sam: config of `PromptedSAM`.
        prompt: `point` or `box`.
        clicks: number of points for each part.
        feedback: show SAM the newest click and its last mask, as released; else all clicks.
        margin: pixels of SAM's image by which each side of a box moves out.
        largest_component: ask for the largest component of each part alone.
        mask_threshold: logit above which a pixel is in SAM's mask; 0.5 as released.
        background_clicks: click where the probability of background is above 0, which is
            everywhere, as the code of SemiSAM+ does.
        self_ratio: divide SAM's term by itself, as the code of SemiSAM+ does: it is constant.
        on_labelled: whether the teacher's term has the labelled images too; not in SemiSAM+.
        consistency_weight: a; 1 in SemiSAM+.
        sam_weight: b; 0.1 in SemiSAM+.
        sam_ramp: w_S.
        **options: of `MeanTeacher`.

    Raises:
        ValueError: an option has another value, or one that does not go with the others.
    """

    scores_parts = False  # `parts` are what SAM is asked for

    def __init__(
        self,
        *,
        sam: dict[str, Any],
        prompt: str = 'point',
        clicks: int = 10,
        feedback: bool = True,
        margin: int = 0,
        largest_component: bool = False,
        mask_threshold: float = 0.5,
        background_clicks: bool = False,
        self_ratio: bool = False,
        on_labelled: bool = True,
        consistency_weight: float = 0.5,
        sam_weight: float = 0.5,
        sam_ramp: dict[str, Any] | None = None,
        **options: Unpack[MeanTeacherOptions],
    ) -> None:
        ramp = dict(scale=0.1, stairs=40)
        options.setdefault('ramp', dict(type='GaussianRamp', **ramp))
        super().__init__(**options)
        if prompt not in ('point', 'box'):
            raise ValueError(f"prompt must be 'point' or 'box', found {prompt!r}")
        if clicks < 1:
            raise ValueError(f'clicks must be at least 1, found {clicks}')
        self.overlapping = isinstance(self.label_space, OverlappingParts)
        if background_clicks and (self.overlapping or prompt == 'box'):
            raise ValueError(
                "background_clicks needs prompt='point' and ExclusiveClasses, found "
                f'prompt={prompt!r} and {type(self.label_space).__name__}'
            )
        orphans = [i for i, known in enumerate(self.label_space.table.any(0).tolist()) if not known]
        if not self.overlapping and orphans != [0]:
            raise ValueError(f'classes {orphans[1:]} are in no part: name them in `parts`')
        self.sam = MODELS.build(sam)
        self.prompt, self.margin, self.largest_component = prompt, margin, largest_component
        self.click_options: dict[str, Any] = dict(
            clicks=clicks, threshold=mask_threshold, feedback=feedback
        )
        self.mask_threshold, self.background_clicks = mask_threshold, background_clicks
        self.self_ratio, self.on_labelled = self_ratio, on_labelled
        self.consistency_weight, self.sam_weight = consistency_weight, sam_weight
        self.sam_ramp = RAMPS.build(sam_ramp or dict(type='FallingGaussianRamp', **ramp))
        self.distance = MODELS.build(dict(type='MSEConsistencyLoss'))

    def init_weights(self) -> None:
        """Initialise students and teachers, and read SAM."""
        super().init_weights()
        if not self.sam.identity.known:
            self.sam.load_trunk()

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the supervised terms, and `sam_<student>`: w(t) does not weigh it either."""
        terms, curves = split_curves(super().sup_loss(batch, logits, targets, step))
        for name, z in logits.items():
            p = self.label_space.prob(z['u_w'])
            term, of_sam = self.sam_term(name, p, batch, step)
            terms.update(term)
            curves.update(of_sam)
        return terms, curves

    def consistency_terms(
        self, name: str, logits: Mapping[str, Any], batch: Batch, step: Step
    ) -> Losses:
        """Return a times the distance to the teacher."""
        p, x = self.label_space.prob(logits['u_w']), batch['u_w'][name]
        if self.on_labelled:
            p = torch.cat([self.label_space.prob(logits['x_w']), p])
            x = torch.cat([batch['x_w'][name], x])
        distance = self.consistency(p, self.noisy_teacher(name, x))
        return {f'consistency_{name}': self.consistency_weight * distance}

    def sam_term(self, name: str, p: Tensor, batch: Batch, step: Step) -> tuple[Terms, Curves]:
        """Return b w_S(t) times the distance of p to SAM's masks, and what is logged of it."""
        weight = self.sam_weight * self.sam_ramp(step.iter, step.max_iters)
        target, counts = self.sam_target(p.detach(), batch['u_w'][name])
        distance = self.distance(p, target, counts[..., None, None].expand_as(p))
        curves = {f'distance_sam_{name}': distance, f'asked_sam_{name}': counts.float().mean()}
        if self.self_ratio:
            distance = distance / (distance + 1e-16)
        return {f'sam_{name}': weight * distance}, curves

    @torch.no_grad()
    def sam_target(self, p: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return SAM's masks in the form of p, and which channels of p follow them.

        Args:
            p: the student's probabilities (N, C, H, W).
            image: what the student saw.

        Returns:
            0 or 1 (N, C, H, W), one class for each pixel unless parts overlap; and (N, C) bool: a
            class follows where all its parts were found, the background where any part was.
        """
        wanted = self.label_space.members(self.label_space.decide(p)[1]).transpose(0, 1)
        if self.background_clicks:
            wanted = (p[:, :1] > 0).expand_as(wanted)
        if self.largest_component:
            wanted = largest_component_masks(wanted)
        found = wanted.flatten(2).any(-1)
        score = self.sam_logits(image, wanted) - self.mask_threshold
        if self.overlapping:
            return (score > 0).to(p.dtype), found
        table = self.label_space.table.to(score.dtype)
        score = score.masked_fill(~found[..., None, None], UNASKED)
        classes = torch.einsum('kc,nkhw->nchw', table, score).argmax(1)
        target = F.one_hot(classes, p.shape[1]).permute(0, 3, 1, 2).to(p.dtype)
        complete = found.to(table.dtype) @ table == table.sum(0)
        return target, torch.cat([found.any(1, keepdim=True), complete[:, 1:]], 1)

    def sam_logits(self, image: Tensor, wanted: Tensor) -> Tensor:
        """Return SAM's logits (N, K, H, W) when it is asked for masks (N, K, H, W).

        It sees each image in [0, 1], as MedSAM does. Where nothing is wanted they mean nothing.
        """
        size, side = wanted.shape[-2:], (self.sam.img_size,) * 2
        low, high = (f(image.float(), (1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
        x = (image.float() - low) / (high - low).clamp(min=1e-8)
        embedding = self.sam.embed(resize_linear(x, side))
        if self.prompt == 'point':
            return click_masks(self.sam, embedding, wanted, **self.click_options)
        boxes = scale_boxes(mask_boxes(wanted)[0], size, side, self.margin)
        return resize_linear(self.sam.masks(embedding, boxes=boxes).float(), size)
