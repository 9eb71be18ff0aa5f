"""Hooks of mmssl."""

from mmssl.engine.checkpoints.hook import CheckpointHook
from mmssl.engine.hooks.agreement_hook import AgreementHook
from mmssl.engine.hooks.cost_hook import CostHook
from mmssl.engine.hooks.diagnostic_hook import DiagnosticHook
from mmssl.engine.hooks.diffusion_hook import DiffusionHook
from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
from mmssl.engine.hooks.loss_guard_hook import LossGuardHook
from mmssl.engine.hooks.pretrain_hook import PretrainHook
from mmssl.engine.hooks.progress_hook import ProgressHook
from mmssl.engine.hooks.projection_hook import FitProjectionHook
from mmssl.engine.hooks.runtime_info_hook import RuntimeInfoHook
from mmssl.engine.hooks.save_cases_hook import SaveCasesHook
from mmssl.engine.hooks.smc_ensemble_hook import SMCEnsembleHook
from mmssl.engine.hooks.summary_hook import SummaryHook
from mmssl.engine.hooks.sync_buffers_hook import SyncBuffersHook, average_buffers
from mmssl.engine.hooks.visualization_hook import SegVisualizationHook

__all__ = [
    'AgreementHook',
    'CheckpointHook',
    'CostHook',
    'DiagnosticHook',
    'DiffusionHook',
    'EMATeacherHook',
    'FitProjectionHook',
    'LossGuardHook',
    'PretrainHook',
    'ProgressHook',
    'RuntimeInfoHook',
    'SMCEnsembleHook',
    'SaveCasesHook',
    'SegVisualizationHook',
    'SummaryHook',
    'SyncBuffersHook',
    'average_buffers',
]
