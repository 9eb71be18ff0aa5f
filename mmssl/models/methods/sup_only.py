"""SupOnly: the labelled images alone, the lower bound of every table."""

from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.registry import MODELS


@MODELS.register_module()
class SupOnly(SemiSegmentor):
    """Train on the labelled images alone: `L = L_x`.

    Works with a batch without unlabelled images (`num_unlabelled=0`) and needs no teacher.
    """
