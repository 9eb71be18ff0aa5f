"""Cross teaching: a convolutional network and a transformer teach each other."""

from collections.abc import Mapping
from typing import Any

from mmssl.models.methods.cps import CPS
from mmssl.registry import MODELS


@MODELS.register_module()
class CrossTeaching(CPS):
    """Cross teaching between CNN and transformer (MIDL 2022): CPS of two architectures with Dice.

    Luo et al., Semi-Supervised Medical Image Segmentation via Cross Teaching between CNN and
    Transformer, https://arxiv.org/abs/2112.04894.

    With a CNN f_c, a transformer f_t and yhat = argmax without threshold and gradient::

        L = L_x(f_c) + L_x(f_t)
          + weight(t) [Dice(softmax f_c(u), yhat_t) + Dice(softmax f_t(u), yhat_c)]

    Dice is over the whole batch and all classes with the background. The CNN (`primary`) is the
    one that segments afterwards. Any mmsegmentation segmentor can take either part;
    `data_preprocessor.sizes` brings logits of another size to the label's.
    """

    cross_criterion: Mapping[str, Any] = dict(type='DiceCELoss', ce_weight=0, eps=1e-5)
