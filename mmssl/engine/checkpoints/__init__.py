"""Checkpoints: written whole, read without running code, resumed exactly."""

from mmssl.engine.checkpoints.errors import (
    IncompleteCheckpointError,
    RefusedCheckpointError,
    UnreadableCheckpointError,
)
from mmssl.engine.checkpoints.io import atomic_save, load_checkpoint_file

__all__ = [
    'IncompleteCheckpointError',
    'RefusedCheckpointError',
    'UnreadableCheckpointError',
    'atomic_save',
    'load_checkpoint_file',
]
