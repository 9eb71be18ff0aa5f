"""SAMed: SAM with LoRA learns to segment classes, from labels alone."""

from typing import Unpack

from mmssl.models.base.options import Options
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.registry import MODELS


@MODELS.register_module()
class SAMed(SemiSegmentor):
    """Customise SAM for the classes of a medical data set.

    Zhang and Liu, Customized Segment Anything Model for Medical Image Segmentation,
    https://arxiv.org/abs/2304.13785.

    The image encoder is frozen but for LoRA on q and v of every block; prompt encoder (without a
    prompt) and mask decoder, one mask token for each class, are trained::

        L = (1 - d) CE(z, y) + d Dice(z, y),        d = 0.8

    with z the decoder's own low-resolution logits (a quarter of the image's side) and y the label
    at that size; Dice is the mean over all classes, background included, with sums over the
    batch. At test z is resized to the image.

    The network is `LoRAMedSAM` with `SAMMaskHead` (`lora_rank` there makes it SAMed_s, whose
    decoder has a frozen transformer with LoRA too); the size of y is the student's label size in
    `data_preprocessor.sizes`; `WarmupPolyLR` is the learning rate. Learns from labelled images
    alone, so a batch needs no others (`num_unlabelled=0`).

    Args:
        dice_weight: d; an explicit `sup_loss` replaces the whole of L.
    """

    def __init__(
        self,
        *,
        dice_weight: float = 0.8,
        **options: Unpack[Options],
    ) -> None:
        if not 0 <= dice_weight <= 1:
            raise ValueError(f'dice_weight must be between 0 and 1, got {dice_weight}')
        weights = dict(ce_weight=1 - dice_weight, dice_weight=dice_weight)
        if options.get('sup_loss') is None:
            options['sup_loss'] = dict(type='DiceCELoss', eps=1e-5, **weights)
        super().__init__(**options)
