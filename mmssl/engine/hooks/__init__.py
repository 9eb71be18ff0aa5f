"""Hooks of mmssl."""

from mmssl.engine.hooks.checkpoint_hook import CheckpointHook
from mmssl.engine.hooks.loss_guard_hook import LossGuardHook
from mmssl.engine.hooks.progress_hook import ProgressHook
from mmssl.engine.hooks.runtime_info_hook import RuntimeInfoHook
from mmssl.engine.hooks.sync_buffers_hook import SyncBuffersHook, average_buffers

__all__ = [
    'CheckpointHook',
    'LossGuardHook',
    'ProgressHook',
    'RuntimeInfoHook',
    'SyncBuffersHook',
    'average_buffers',
]
