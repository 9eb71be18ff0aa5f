# The diffusion model that MCSD's extractor runs: 495,921,665 parameters at 256 px.
model = dict(
    type='DDPM',
    unet=dict(
        type='GuidedDiffusionUNet',
        variant='effective',  # 'yaml' is what its yaml says: 552,797,953 parameters
        base_channels=256,
        image_size=256,
        multipliers=(1, 1, 2, 2, 4, 4),
    ),
    input_range=(-1, 1),
)
