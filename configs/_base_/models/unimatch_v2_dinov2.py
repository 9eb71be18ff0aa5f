# UniMatch V2 as published for photographs: DINOv2-S, a DPT head and cross-entropies.
_base_ = './dinov2.py'
model = dict(
    type='UniMatchV2',
    teachers=['vit'],
    threshold=dict(type='FixedThreshold', value=0.95, strict=False),
    weights=dict(sup=0.5, image=0.25),
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.996, buffers='ema', mode='eval')]
