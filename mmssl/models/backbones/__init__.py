"""Networks from an image to features."""

from .lora_medsam import LoRAMedSAM
from .unet import UNet

__all__ = ['LoRAMedSAM', 'UNet']
