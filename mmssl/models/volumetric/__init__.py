"""Networks for volumes: the V-Net and the 3D U-Net of the published codes in their forms."""

from mmssl.models.volumetric.unet3d import UNet3DDecoderHead, UNet3DEncoder, UNet3DPyramidHead
from mmssl.models.volumetric.vnet_decoder_head import VNetDecoderHead
from mmssl.models.volumetric.vnet_encoder import VNetEncoder
from mmssl.models.volumetric.vnet_heads import VNetMultiDecoderHead, VNetPyramidHead

__all__ = [
    'UNet3DDecoderHead',
    'UNet3DEncoder',
    'UNet3DPyramidHead',
    'VNetDecoderHead',
    'VNetEncoder',
    'VNetMultiDecoderHead',
    'VNetPyramidHead',
]
