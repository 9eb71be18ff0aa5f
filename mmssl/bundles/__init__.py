"""One file for a trained model: tensors, what reads images, and a card; no code, no paths."""

from mmssl.bundles.archive import SUFFIX, BundleError, Contents, is_bundle, read_card, write_archive
from mmssl.bundles.card import About, describe, make_card
from mmssl.bundles.data import channels_of, far_from_training, summarise, training_dataset
from mmssl.bundles.networks import Choice, small_model, whole_model
from mmssl.bundles.opening import fill_model, open_bundle

__all__ = [
    'SUFFIX',
    'About',
    'BundleError',
    'Choice',
    'Contents',
    'channels_of',
    'describe',
    'far_from_training',
    'fill_model',
    'is_bundle',
    'make_card',
    'open_bundle',
    'read_card',
    'small_model',
    'summarise',
    'training_dataset',
    'whole_model',
    'write_archive',
]
