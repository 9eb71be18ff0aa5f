"""SASSNet: shapes that a discriminator cannot tell from those of labelled images."""

from mmssl.models.methods.sass_net.sass_net import SASSNet

__all__ = ['SASSNet']
