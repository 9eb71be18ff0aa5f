"""MC-Net and MC-Net+: decoders that upsample differently follow each other, sharpened."""

from typing import Any, Unpack

import torch

from mmssl.models.base.options import Options
from mmssl.models.base.several_heads import SeveralHeads, mutual_distance
from mmssl.models.base.terms import Logits, Losses
from mmssl.models.strategies.pseudo_label import sharpen_each
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step


@MODELS.register_module()
class MCNet(SeveralHeads):
    """Mutual consistency of decoders (MC-Net, MICCAI 2021; MC-Net+, Medical Image Analysis 2022).

    Wu et al., Semi-supervised Left Atrium Segmentation with Mutual Consistency Training,
    https://arxiv.org/abs/2103.02911, and Mutual Consistency Learning for Semi-supervised Medical
    Image Segmentation, https://arxiv.org/abs/2109.09960.

    One encoder, decoders that differ in their upsampling: two in MC-Net, three in MC-Net+
    (`MultiDecoderHead`). With their probabilities p_i on x_w and u_w together::

        L = sum_i L_x(p_i) + weight(t) sum_{i != j} mean (p_i - sharpen(p_j))^2

    Gradients flow into the sharpened side too. The released L_x is a Dice loss without the factor
    2 in its numerator; up to a summand 1/2 that has no gradient it is half of `DiceCELoss` with
    `ce_weight=0`, and that is what the configs use. The first decoder predicts. No teacher.

    Args:
        temperature: T of the sharpening.
    """

    average = False

    def __init__(self, *, temperature: float = 0.1, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.temperature = temperature

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `mutual_<student>`, over labelled and unlabelled images."""
        terms = {}
        for name, views in logits.items():
            decoders = [torch.cat(both) for both in zip(views['x_w'], views['u_w'], strict=True)]
            p = [self.label_space.prob(z) for z in decoders]
            sharp = [sharpen_each(p_i, self.temperature) for p_i in p]
            terms[f'mutual_{name}'] = mutual_distance(p, sharp)
        return terms
