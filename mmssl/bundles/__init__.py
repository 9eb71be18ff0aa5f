"""One file for a trained model: tensors, what reads images, and a card; no code, no paths.

What needs no network is here; `opening`, `networks`, `card` and `data` are for those that have one.
"""

from mmssl.bundles.archive import SUFFIX, BundleError, Contents, is_bundle, read_card
from mmssl.bundles.distance import channels_of, far_from_training
from mmssl.bundles.shown import describe

__all__ = [
    'SUFFIX',
    'BundleError',
    'Contents',
    'channels_of',
    'describe',
    'far_from_training',
    'is_bundle',
    'read_card',
]
