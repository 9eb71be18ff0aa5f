# A diffusion model for machines without a GPU: 6.9 M parameters at 64 px.
# It has 12 output blocks; 2 and 4 are at 16 px, 6 is at 32 px.
model = dict(
    type='DDPM',
    unet=dict(
        type='GuidedDiffusionUNet',
        variant='effective',
        base_channels=32,
        image_size=64,
        multipliers=(1, 2, 4, 4),
    ),
    input_range=(-1, 1),
)
