"""SS-Net: smoothness and class separation."""

from mmssl.models.methods.ss_net.ss_net import SSNet

__all__ = ['SSNet']
