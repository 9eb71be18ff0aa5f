"""Denoising diffusion models and the features that their decoders give."""
