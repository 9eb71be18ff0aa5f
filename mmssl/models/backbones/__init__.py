"""Networks from an image to features."""

from .lora_medsam import LoRAMedSAM
from .unet import UNet
from .unet_encoder import UNetEncoder

__all__ = ['LoRAMedSAM', 'UNet', 'UNetEncoder']
