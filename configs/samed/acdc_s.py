# SAMed_s: LoRA in the mask decoder's transformer too, whose own weights are frozen.
_base_ = './acdc.py'
model = dict(students=dict(sam=dict(decode_head=dict(lora_rank=4))))
