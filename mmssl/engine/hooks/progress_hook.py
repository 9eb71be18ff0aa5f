"""A progress bar with the time left."""

import os
import sys

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmssl.registry import HOOKS


def progress_wanted(enabled: bool | None = None) -> bool:
    """Tell whether to draw a progress bar: on a terminal, unless said otherwise.

    Args:
        enabled: True or False decides; None asks the environment (`MMSSL_PROGRESS=1` or `0`),
            then whether standard error is a terminal.
    """
    if not is_main_process():
        return False
    if enabled is not None:
        return enabled
    setting = os.environ.get('MMSSL_PROGRESS')
    if setting is not None:
        return setting not in ('', '0')
    return sys.stderr.isatty()


@HOOKS.register_module()
class ProgressHook(Hook):
    """Draw a bar for training iterations, and one for validation and test samples.

    Args:
        enabled: see `progress_wanted`.
    """

    priority = 'LOWEST'

    def __init__(self, enabled: bool | None = None):
        self.enabled = enabled
        self.bars: dict = {}

    def _open(self, mode: str, total: int, initial: int, unit: str) -> None:
        if progress_wanted(self.enabled):
            from tqdm import tqdm

            self.bars[mode] = tqdm(
                total=total,
                initial=initial,
                desc=mode,
                unit=unit,
                dynamic_ncols=True,
                leave=mode != 'val',
                position=1 if mode == 'val' else 0,
            )

    def _step(self, mode: str) -> None:
        if mode in self.bars:
            self.bars[mode].update()

    def _close(self, mode: str) -> None:
        if mode in self.bars:
            self.bars.pop(mode).close()

    def before_train(self, runner) -> None:
        """Open the bar at the iteration where training starts or goes on."""
        self._open('train', runner.max_iters, runner.iter, 'it')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Advance by one iteration."""
        self._step('train')

    def after_train(self, runner) -> None:
        """Close the bar."""
        self._close('train')

    def before_val_epoch(self, runner) -> None:
        """Open the bar of a validation."""
        self._open('val', len(runner.val_dataloader), 0, 'batch')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Advance by one batch."""
        self._step('val')

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Close the bar."""
        self._close('val')

    def before_test_epoch(self, runner) -> None:
        """Open the bar of a test."""
        self._open('test', len(runner.test_dataloader), 0, 'batch')

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Advance by one batch."""
        self._step('test')

    def after_test_epoch(self, runner, metrics=None) -> None:
        """Close the bar."""
        self._close('test')
