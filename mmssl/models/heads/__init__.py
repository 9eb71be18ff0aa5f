"""Networks from features to class logits."""

from .cross_prompt_head import CrossPromptHead
from .hsam_head import HSAMHead
from .multi_decoder_head import MultiDecoderHead
from .sam_mask_head import SAMMaskHead
from .unet_decoder_head import UNetDecoderHead
from .unet_pyramid_head import UNetPyramidHead

__all__ = [
    'CrossPromptHead',
    'HSAMHead',
    'MultiDecoderHead',
    'SAMMaskHead',
    'UNetDecoderHead',
    'UNetPyramidHead',
]
