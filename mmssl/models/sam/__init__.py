"""SAM and its relatives: encoders with LoRA, heads, prompts and released weights."""

from mmssl.models.sam.adapter_medsam import AdapterMedSAM
from mmssl.models.sam.cross_prompt_head import CrossPromptHead
from mmssl.models.sam.hsam_head import HSAMHead
from mmssl.models.sam.learned_prompt_head import LearnedPromptHead
from mmssl.models.sam.lora_medsam import LoRAMedSAM
from mmssl.models.sam.prompted_sam import PromptedSAM
from mmssl.models.sam.sam_mask_head import SAMMaskHead

__all__ = [
    'AdapterMedSAM',
    'CrossPromptHead',
    'HSAMHead',
    'LearnedPromptHead',
    'LoRAMedSAM',
    'PromptedSAM',
    'SAMMaskHead',
]
