"""Networks for volumes: the V-Net of the published codes in its forms."""

from mmssl.models.volumetric.vnet_decoder_head import VNetDecoderHead
from mmssl.models.volumetric.vnet_encoder import VNetEncoder

__all__ = ['VNetDecoderHead', 'VNetEncoder']
