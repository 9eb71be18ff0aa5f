"""Networks for volumes: V-Net and 3D U-Net of the published codes, and those of MONAI."""

from mmssl.models.volumetric.monai_network import MonaiNetwork
from mmssl.models.volumetric.unet3d import UNet3DDecoderHead, UNet3DEncoder, UNet3DPyramidHead
from mmssl.models.volumetric.vnet_decoder_head import VNetDecoderHead
from mmssl.models.volumetric.vnet_encoder import VNetEncoder
from mmssl.models.volumetric.vnet_heads import (
    VNetDistanceHead,
    VNetMultiDecoderHead,
    VNetPyramidHead,
)

__all__ = [
    'MonaiNetwork',
    'UNet3DDecoderHead',
    'UNet3DEncoder',
    'UNet3DPyramidHead',
    'VNetDecoderHead',
    'VNetDistanceHead',
    'VNetEncoder',
    'VNetMultiDecoderHead',
    'VNetPyramidHead',
]
