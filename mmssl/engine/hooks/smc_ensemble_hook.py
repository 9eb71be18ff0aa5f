"""Show how a co-training method mixes its two teachers."""

import json
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import Tensor, nn

from mmssl.registry import HOOKS
from mmssl.structures import Ensembling
from mmssl.utils.io import read_json

CURVES = ('alpha', 'self_conf', 'mutual_conf', 'mask')

BEGUN = 'ensemble_point'  # where the message hub has the point under way


@HOOKS.register_module()
class SMCEnsembleHook(Hook):
    """Record how the teachers' predictions are mixed: alpha and the confidences behind it.

    The rule is the model's option `ensemble`. The means of alpha, both confidences and the share
    of confident pixels go to the visualizer's backends and to `ensemble_curves.json` and `.png`
    in the work directory.

    Args:
        interval: iterations over which a point of the curves is the mean.
        rule: no longer an option of the hook: there is one switch, `model.ensemble`.

    Raises:
        ValueError: `rule` is given.
        TypeError: if the model has no ensemble of two teachers.
    """

    priority = 'NORMAL'

    def __init__(self, interval: int = 50, rule: dict | None = None) -> None:
        if rule is not None:
            raise ValueError(
                f'The rule of alpha is an option of the model: write model=dict(ensemble={rule}) '
                'and leave `rule` out of SMCEnsembleHook'
            )
        self.interval = interval
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def before_train(self, runner) -> None:
        """Find the rule, and take up the curves of an interrupted run."""
        self.attach(runner.bare_model)
        self.path = Path(runner.work_dir) / 'ensemble_curves.json'
        self.history: list[dict[str, float]] = []
        if runner.iter:
            history = read_json(self.path, [])
            self.history = [point for point in history if point['iter'] <= runner.iter]
        begun = runner.message_hub.get_info(BEGUN) if runner.iter % self.interval else None
        if begun:
            self.sums = {k: torch.tensor(v) for k, v in begun['sums'].items()}
            self.count = begun['count']

    def attach(self, model: nn.Module) -> None:
        """Find the model's rule."""
        if not isinstance(model, Ensembling):
            raise TypeError(
                'SMCEnsembleHook needs a method that mixes two teachers (such as SynFoC), found '
                f'{type(model).__name__}'
            )
        self.rule = type(model.ensemble).__name__

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Add the iteration's means on the device; write a point every `interval` iterations."""
        for key in CURVES:
            value = (outputs or {}).get(key)
            if value is not None:
                total = self.sums.get(key, torch.zeros(()))
                self.sums[key] = total.to(value.device) + value.detach()
        self.count += 1
        if (runner.iter + 1) % self.interval == 0:
            self._flush(runner)

    def _flush(self, runner) -> None:
        point = {key: float(total) / self.count for key, total in self.sums.items()}
        self.sums, self.count = {}, 0
        if not point or not is_main_process():
            return
        step = runner.iter + 1
        self.history.append({'iter': step, **point})
        scalars = {f'ensemble/{key}': value for key, value in point.items()}
        runner.visualizer.add_scalars(scalars, step=step)

    def before_checkpoint(self, runner) -> None:
        """Keep the point that has begun: a checkpoint may fall between two."""
        sums = {key: float(total) for key, total in self.sums.items()}
        runner.message_hub.update_info(BEGUN, {'sums': sums, 'count': self.count})

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write the curves next to the checkpoint, so that a resumed run has them all."""
        self._write()

    def after_train(self, runner) -> None:
        """Write the curves and draw them."""
        if not is_main_process() or not self.history:
            return
        self._write()
        from mmssl.visualization.curves import plot_panels

        curves: dict[str, dict[int, float]] = {
            key: {int(point['iter']): point[key] for point in self.history if key in point}
            for key in CURVES
        }
        title = f'Mean weight and confidences, rule {self.rule}'
        plot_panels({title: curves}, self.path.with_suffix('.png'))

    def _write(self) -> None:
        from mmssl.utils.io import write_atomic

        write_atomic(self.path, json.dumps(self.history, indent=1))
