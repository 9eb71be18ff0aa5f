"""MC-Net and MC-Net+: decoders that upsample differently follow each other, sharpened."""

import torch
from torch import Tensor

from mmssl.models.several_heads import SeveralHeads
from mmssl.registry import MODELS


def sharpen(p: Tensor, temperature: float = 0.1) -> Tensor:
    """Return `p^(1/T) / (p^(1/T) + (1 - p)^(1/T))`, for each class by itself.

    Source: Wu et al., MC-Net+, https://arxiv.org/abs/2109.09960. Over the classes it does not sum
    to one. In single precision: the powers underflow in half.

    Example:
        >>> [round(x, 4) for x in sharpen(torch.tensor([0.0, 0.4, 0.5, 0.6, 1.0])).tolist()]
        [0.0, 0.017, 0.5, 0.983, 1.0]
    """
    p = p.float()
    a, b = p ** (1 / temperature), (1 - p) ** (1 / temperature)
    return a / (a + b)


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

    def __init__(self, *args, temperature: float = 0.1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.temperature = temperature

    def unsup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return `mutual_<student>`, over labelled and unlabelled images."""
        terms = {}
        for name, views in batch['logits'].items():
            decoders = [torch.cat(both) for both in zip(views['x_w'], views['u_w'], strict=True)]
            p = [self.label_space.prob(logits) for logits in decoders]
            s = [sharpen(p_i, self.temperature) for p_i in p]
            pairs = [(i, j) for i in range(len(p)) for j in range(len(p)) if i != j]
            terms[f'mutual_{name}'] = sum(((p[i] - s[j]) ** 2).mean() for i, j in pairs)
        return terms
