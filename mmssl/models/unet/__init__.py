"""The U-Net of the published codes: encoder, decoders with one output or several."""

from mmssl.models.unet.distance_head import UNetDistanceHead
from mmssl.models.unet.multi_decoder_head import MultiDecoderHead
from mmssl.models.unet.two_stem_encoder import TwoStemUNetEncoder
from mmssl.models.unet.unet import UNet
from mmssl.models.unet.unet_decoder_head import UNetDecoderHead
from mmssl.models.unet.unet_encoder import UNetEncoder
from mmssl.models.unet.unet_pyramid_head import UNetPyramidHead

__all__ = [
    'MultiDecoderHead',
    'TwoStemUNetEncoder',
    'UNet',
    'UNetDecoderHead',
    'UNetDistanceHead',
    'UNetEncoder',
    'UNetPyramidHead',
]
