"""DINOv2's vision transformers, and the head that turns their tokens into maps."""

from mmssl.models.dinov2.dinov2 import DINOv2
from mmssl.models.dinov2.dpt_decoder_head import DPTDecoderHead

__all__ = ['DINOv2', 'DPTDecoderHead']
