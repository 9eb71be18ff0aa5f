"""Networks from features to class logits."""

from .sam_mask_head import SAMMaskHead
from .unet_decoder_head import UNetDecoderHead

__all__ = ['SAMMaskHead', 'UNetDecoderHead']
