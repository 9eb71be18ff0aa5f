"""The training loop whose every iteration depends on its number alone; validation and test."""

import copy
import random

import numpy as np
import torch
from mmengine.runner import BaseLoop, IterBasedTrainLoop
from mmengine.runner import TestLoop as MMTestLoop
from mmengine.runner import ValLoop as MMValLoop
from mmengine.runner.loops import _update_losses

from mmssl.engine.precision import choose
from mmssl.engine.score_names import check_save_best
from mmssl.engine.sizes import check_axes, check_sizes
from mmssl.engine.stopping import LeaveValidationHook, LeftValidation, StopVote
from mmssl.registry import LOOPS
from mmssl.structures import Step
from mmssl.utils.processes.signals import Interrupted, signals


def seed_everything(*key: int) -> None:
    """Seed Python's, numpy's and torch's global generators from a tuple of integers."""
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002, third-party code draws from it
    torch.manual_seed(int(words[2]) << 32 | int(words[3]))


@LOOPS.register_module()
class SemiTrainLoop(IterBasedTrainLoop):
    """Train by iterations; interrupted and resumed, continue bit-identically.

    The global generators are seeded from (seed, iteration, rank) before the batch is loaded and
    again before the training step, so that dropout is a function of the iteration and not of
    what ran before. The batch sampler is told where to start (`start_iter`) before its iterator
    and the workers exist. Validation comes after saving; one that was due when the run stopped
    is done first on resuming.

    The model is told where the training stands, as `Step` in its attribute `step`. It may ask for
    several optimiser steps in an iteration by its attribute `phases`, which is read at the start
    of each: every step has a forward pass of its own on the same batch, with another `step.phase`.
    Schedules, hooks and checkpoints see one iteration, whose loss is the sum over the steps.

    A signal that asks the run to end (`mmssl.utils.processes.signals`) is answered between two
    iterations, or two batches of a validation: all ranks end at the same one, write a checkpoint,
    and raise `Interrupted`. A validation that was left is done when the run goes on.

    Args:
        runner: the runner.
        dataloader: data loader or its config.
        max_iters: number of iterations.
        **kwargs: as in `mmengine.runner.IterBasedTrainLoop`.
    """

    def run(self) -> torch.nn.Module:
        """Run the training from the current iteration to the last.

        Raises:
            Interrupted: a signal asked the run to end, and its checkpoint is written.
        """
        runner = self.runner
        data = {'train_dataloader': self.dataloader.dataset}
        if runner.val_loop is not None:
            data['val_dataloader'] = runner.val_loop.dataloader.dataset
        check_axes(runner.bare_model, data)
        check_sizes(runner.bare_model, data)
        check_save_best(runner)
        runner.bare_model.step = Step(self._iter, self._max_iters)
        dist_cfg = (runner.cfg.get('env_cfg') or {}).get('dist_cfg') or {}
        self._vote, self._begin = StopVote(dist_cfg.get('timeout', 600)), self._iter
        if runner.val_loop is not None:
            runner.register_hook(LeaveValidationHook(self._vote))
        runner.call_hook('before_train')
        runner.call_hook('before_train_epoch')
        self._go_to(self._iter)
        with signals.deferred():
            if self._iter > 0 and runner.message_hub.get_info('last_val_iter') != self._iter:
                self._validate_if_due()
            while self._iter < self._max_iters and not self.stop_training:
                self._leave_if_asked()
                runner.model.train()
                key = (runner.seed, self._iter, runner.rank)
                seed_everything(*key, 0)
                data_batch = next(self.dataloader_iterator)
                seed_everything(*key, 1)
                self.run_iter(data_batch)
                self._validate_if_due()
            self._vote.close()
            runner.call_hook('after_train_epoch')
            runner.call_hook('after_train')
        return runner.model

    def _leave_if_asked(self) -> None:
        # Gradients that are summed over iterations are in no checkpoint.
        count = getattr(self.runner.optim_wrapper, '_accumulative_counts', 1)
        if self._iter % count == 0 and self._vote.ask():
            self._leave()

    def _leave(self) -> None:
        """Write what a checkpoint does not have yet, and end."""
        if self._iter > self._begin:
            self.runner.call_hook('save_before_leaving')
        self.runner.visualizer.close()
        raise Interrupted

    def run_iter(self, data_batch: dict) -> None:
        """Train on one batch, in as many optimiser steps as the model has phases.

        Raises:
            ValueError: there are several, and gradients are to be accumulated over iterations.
        """
        runner = self.runner
        about = dict(batch_idx=self._iter, data_batch=data_batch)
        model = runner.bare_model
        model.step = Step(self._iter, self._max_iters)
        runner.call_hook('before_train_iter', **about)
        phases = getattr(model, 'phases', 1)
        count = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if phases > 1 and count > 1:
            raise ValueError(
                f'optim_wrapper.accumulative_counts={count} cannot be used with a model that makes '
                f'{phases} optimiser steps in an iteration: leave it out'
            )
        outputs: dict = {}
        for phase in range(phases):
            model.step = Step(self._iter, self._max_iters, phase)
            terms = runner.model.train_step(data_batch, optim_wrapper=runner.optim_wrapper)
            total = {'loss': outputs['loss'] + terms['loss']} if outputs else {}
            outputs = {**outputs, **terms, **total}
        runner.call_hook('after_train_iter', **about, outputs=outputs)
        self._iter += 1

    def _go_to(self, iteration: int) -> None:
        """Let the data loader deliver the batch of `iteration` next."""
        sampler = getattr(self.dataloader, 'batch_sampler', None)
        if not hasattr(sampler, 'start_iter'):
            sampler = getattr(self.dataloader, 'sampler', None)
        if sampler is not None and hasattr(sampler, 'start_iter'):
            sampler.start_iter = iteration
        elif iteration > 0:
            self.dataloader_iterator.skip_iter(iteration)
        # Making the iterator draws from torch's generator: do it before that is seeded.
        self.dataloader_iterator._ensure_iterator()

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        if self.runner.val_loop is None or self._iter < self.val_begin:
            return
        if self._iter % self.val_interval == 0 or self._iter == self._max_iters:
            self._validate()

    def _validate(self) -> None:
        hub = self.runner.message_hub
        # The number of iterations done, also where the run goes on from here.
        hub.update_info('iter', self._iter)
        before = hub.get_info('last_val_iter')
        scalars = {k: copy.copy(v) for k, v in hub.log_scalars.items() if k.startswith('val/')}
        # Noted first, because the checkpoint that is written again when a best score
        # changes must say that this validation is done.
        hub.update_info('last_val_iter', self._iter)
        try:
            self.runner.val_loop.run()
        except LeftValidation:
            hub.pop_info('last_val_iter')
            if before is not None:
                hub.update_info('last_val_iter', before)
            for key in [k for k in hub.log_scalars if k.startswith('val/')]:
                hub.log_scalars.pop(key)
            hub.log_scalars.update(scalars)
            self._leave()


class _EvaluationLoop(BaseLoop):
    """What validation and test have of their own: the choice of the precision.

    Args:
        runner: the runner.
        dataloader: data loader or its config.
        evaluator: evaluator or its config.
        fp16: a wish of `mmssl.engine.precision.choose`; True is `half`.
    """

    mode: str

    def __init__(self, runner, dataloader, evaluator, fp16: bool | str | None = False):
        super().__init__(runner, dataloader, evaluator)
        what = 'validation' if self.mode == 'val' else 'test'
        self.precision = choose(fp16, what, f'{self.mode}_cfg.fp16')
        self.fp16 = self.precision.dtype is not None

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Predict one batch and hand it to the evaluator."""
        call, about = self.runner.call_hook, dict(batch_idx=idx, data_batch=data_batch)
        call(f'before_{self.mode}_iter', **about)
        with self.precision.autocast():
            outputs = getattr(self.runner.model, f'{self.mode}_step')(data_batch)
        losses = f'{self.mode}_loss'
        outputs, total = _update_losses(outputs, getattr(self, losses))
        setattr(self, losses, total)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        call(f'after_{self.mode}_iter', **about, outputs=outputs)


@LOOPS.register_module()
class ValLoop(_EvaluationLoop, MMValLoop):
    """mmengine's validation, in a precision that the device computes well."""

    mode = 'val'


@LOOPS.register_module()
class TestLoop(_EvaluationLoop, MMTestLoop):
    """mmengine's test, in a precision that the device computes well."""

    mode = 'test'
