"""What a checkpoint holds, and how a run goes on from one."""

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmengine.runner.checkpoint import _load_checkpoint, weights_to_cpu

import mmssl
from mmssl.engine.checkpoints.folder import clear_folder
from mmssl.engine.checkpoints.history import pack_hub, to_plain, unpack_hub
from mmssl.engine.checkpoints.io import atomic_save
from mmssl.engine.checkpoints.meta import check_meta
from mmssl.engine.checkpoints.newest import find_newest, holds_a_run
from mmssl.engine.checkpoints.optimizers import resume_optimizers, resume_schedules
from mmssl.engine.checkpoints.run_settings import (
    compare,
    plain_settings,
    read_settings,
    refuse_used,
    run_settings,
)
from mmssl.engine.checkpoints.weights import PREFIX, check_precision, load_weights

# Newest values of each logged scalar that a checkpoint carries.
HISTORY = 100


class CheckpointRunner(Runner):
    """The part of `SemiRunner` that saves, loads and resumes.

    Attributes:
        resumed_from: folder of the checkpoint that the run went on from; None if it began at 0.
    """

    resumed_from: Path | None = None
    optim_wrapper: Any
    param_schedulers: Any

    @cached_property
    def settings(self) -> dict[str, str]:
        """Every setting of the training by dotted name, as in its folder and checkpoints."""
        return run_settings(self.cfg, self.train_dataloader.dataset)

    @property
    def checkpoint_folder(self) -> Path:
        """Where the run's checkpoints are: its work folder, if the hook has no other."""
        found = (hook.folder(self) for hook in self._hooks if isinstance(hook, CheckpointHook))
        return next(found, Path(self.work_dir))

    def load_checkpoint(
        self, filename, map_location='cpu', strict=False, revise_keys=PREFIX
    ) -> dict:
        """Load a model's parameters, and say in one line what was loaded and what was not.

        Raises:
            ValueError: the file holds no parameters, none of the model's or some of other sizes
                (unless the config has `skip_mismatched`), or, with `strict`, others.
        """
        checkpoint = _load_checkpoint(str(filename), map_location=map_location)
        said = self._take(checkpoint, str(filename), strict, revise_keys)
        (self.logger.warning if ';' in said else self.logger.info)(said)
        return checkpoint

    def _take(self, checkpoint, name: str, strict: bool, revise_keys=PREFIX) -> str:
        if isinstance(checkpoint, dict):
            self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        skip = bool(self.cfg.get('skip_mismatched', False))
        said = load_weights(self.bare_model, checkpoint, name, strict, revise_keys, skip)
        self._has_loaded = True
        return said

    def load_or_resume(self) -> None:
        """Load `load_from`, or resume from it or from the newest complete file of the run."""
        if self._has_loaded:
            return
        if not self._resume:
            if self._load_from is not None:
                self.load_checkpoint(self._load_from)
        elif self._load_from is not None:
            self.resume(self._load_from)
        else:
            self._resume_newest()

    def check_folder(self) -> None:
        """Make sure that a training overwrites no other run's files without a word.

        Raises:
            ValueError: the folder holds a run, and this one neither goes on with it nor may throw
                it away.
        """
        if self.resumed_from is None and self._train_loop is not None:
            _on_first_rank(self._check_folder)

    def _check_folder(self) -> None:
        folder, source = self.checkpoint_folder, self._load_from
        goes_on = self._resume and (
            source is None or Path(source).absolute().parent == folder.absolute()
        )
        if goes_on or not holds_a_run(self.work_dir, folder):
            return
        if not self.cfg.get('overwrite', False):
            refuse_used(self.work_dir, read_settings(self.work_dir), self.settings)
        removed = clear_folder(self.work_dir, folder)
        self.logger.warning(f'Removed the run that was in {folder}: {", ".join(removed)}')

    def _resume_newest(self) -> None:
        content = {}

        def newest() -> str | None:
            found = find_newest(
                self.work_dir,
                self.checkpoint_folder,
                lambda path: _load_checkpoint(path, map_location='cpu'),
                self.logger.warning,
            )
            if found is None:
                return None
            content['read'] = found[1]
            return found[0]

        path = _on_first_rank(newest)  # the others follow, also if they could read a newer one
        if path is None:
            self.logger.info(f'No checkpoint in {self.work_dir}: starting from the beginning')
            return
        checkpoint = content.get('read') or _load_checkpoint(path, map_location='cpu')
        self._resume_from(checkpoint, path)

    def resume(
        self, filename, resume_optimizer=True, resume_param_scheduler=True, map_location='cpu'
    ) -> None:
        """Go on with the run that wrote a checkpoint.

        What says what a run is must be as it was; every other setting is that of this run, and
        named in the log where it differs (see `mmssl.engine.checkpoints.run_settings`).

        Args:
            filename: checkpoint with optimiser state.
            resume_optimizer: whether to restore the optimisers.
            resume_param_scheduler: whether to restore the schedulers.
            map_location: where the file is read to; parameters stay where the model is.

        Raises:
            ValueError: the file is no checkpoint of a training, or of another one.
        """
        map_location = 'cpu' if map_location == 'default' else map_location
        checkpoint = _load_checkpoint(str(filename), map_location=map_location)
        self._resume_from(checkpoint, str(filename), resume_optimizer, resume_param_scheduler)

    def _resume_from(self, checkpoint, name, optimizer=True, schedulers=True) -> None:
        meta = check_meta(checkpoint, name, optimizer, self.seed, self.max_iters)
        changed = self._compare(meta, name)
        check_precision(self.bare_model, checkpoint, name)
        self._take(checkpoint, name, strict=True)
        self.train_loop._epoch = meta['epoch']
        self.train_loop._iter = meta['iter']
        self._compare_dataset(meta.get('dataset_meta'))
        hub = checkpoint.get('message_hub')
        if hub is not None:
            unpack_hub(hub, self.message_hub, name)
        if optimizer:
            self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
            if self.param_schedulers is not None:
                self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
            words, options = resume_optimizers(self.optim_wrapper, checkpoint['optimizer'], name)
            if hasattr(self.optim_wrapper, 'precision'):
                own = self.optim_wrapper.precision
                self.optim_wrapper.precision = own.resumed(meta.get('precision'))
            if words and not changed:
                self.logger.warning(f'Taken over: {"; ".join(words)}')
            if schedulers:
                self._resume_schedules(
                    checkpoint, options, bool(words) or 'param_scheduler' in changed
                )
        self.resumed_from = Path(name).absolute().parent
        self.logger.info(f'Resumed from {name} at iteration {self.iter}')

    def _resume_schedules(self, checkpoint: dict, options: dict, anew: bool) -> None:
        saved = checkpoint.get('param_schedulers')
        own = self.param_schedulers if self.param_schedulers is not None else {}
        anew = anew or (not own and bool(saved))
        if resume_schedules(own, saved, self.optim_wrapper, options, self.iter, anew):
            rates = self.optim_wrapper.get_lr()
            text = ', '.join(f'{key} {values[0]:.4g}' for key, values in rates.items())
            self.logger.warning(
                f'Rates are those that this run would have at iteration {self.iter} of '
                f'{self.max_iters}: {text}'
            )

    def _compare(self, meta: dict, name: str) -> str:
        """Refuse another run's checkpoint; say what has changed in this one, and return it.

        Raises:
            ValueError: a setting that says what the run is differs.
        """
        there = plain_settings(meta.get('settings'))
        if there is None:
            self.logger.warning(
                f'{name} does not say with which settings it was trained: they are not compared'
            )
            return ''
        fixed, free = compare(there, self.settings)
        if fixed:
            raise ValueError(
                f'Checkpoint "{name}" is of another run: {fixed}. Resume with the settings of that '
                'run, choose another --work-dir for this one, or begin it from those weights with '
                f'--cfg-options load_from={name}'
            )
        if free:
            self.logger.warning(f'Taken over from here on: {free}')
        if meta.get('world_size', self.world_size) != self.world_size:
            self.logger.warning(
                f'{name} was trained by {meta["world_size"]} process(es), now there are '
                f'{self.world_size}: the run does not go on bit by bit'
            )
        return free

    def _compare_dataset(self, saved: Any) -> None:
        own = to_plain(dict(getattr(self.train_dataloader.dataset, 'metainfo', None) or {}))
        saved = saved if isinstance(saved, Mapping) else {}
        for key in sorted(set(own) & set(saved)):
            if own[key] != saved[key]:
                self.logger.warning(
                    f"The data set's {key} is {own[key]}, in the checkpoint it was {saved[key]}"
                )

    @master_only
    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Write a checkpoint of tensors and plain values, whole or not at all.

        Args:
            out_dir: local folder.
            filename: name of the file in it.
            file_client_args: not used.
            save_optimizer: whether to add the optimisers' state.
            save_param_scheduler: whether to add the schedulers' state.
            meta: values to add to the checkpoint's `meta`.
            by_epoch: whether `meta` is counted in epochs.
            backend_args: not used.

        Raises:
            OSError: the file could not be written; an older one of that name is untouched.
        """
        meta = dict(meta or {})
        meta.setdefault('epoch', self.epoch + 1 if by_epoch else self.epoch)
        meta.setdefault('iter', self.iter if by_epoch else self.iter + 1)
        meta.update(self._facts())
        checkpoint = {
            'meta': meta,
            'state_dict': weights_to_cpu(self.bare_model.state_dict()),
            'message_hub': pack_hub(
                self.message_hub, max(HISTORY, getattr(self.log_processor, 'window_size', 0))
            ),
        }
        if save_optimizer:
            checkpoint['optimizer'] = to_plain(self.optim_wrapper.state_dict())
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint['param_schedulers'] = self._scheduler_states()
        # Where the hub stood depends on when within an iteration a file is written.
        checkpoint['message_hub']['info']['iter'] = meta['iter']
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        atomic_save(checkpoint, Path(out_dir) / filename)

    def _facts(self) -> dict:
        if not hasattr(self, '_cfg_text'):
            self._cfg_text = self.cfg.pretty_text
        dataset = self.train_dataloader.dataset
        return {
            'cfg': self._cfg_text,
            'seed': self.seed,
            'experiment_name': self.experiment_name,
            'time': time.strftime('%Y%m%d_%H%M%S', time.localtime()),
            'mmssl_version': mmssl.__version__,
            'world_size': self.world_size,
            'precision': getattr(getattr(self.optim_wrapper, 'precision', None), 'name', None),
            'settings': self.settings,
            'dataset_meta': to_plain(dict(getattr(dataset, 'metainfo', None) or {})),
        }

    def _scheduler_states(self):
        own = self.param_schedulers
        if isinstance(own, dict):
            return {n: [to_plain(s.state_dict()) for s in group] for n, group in own.items()}
        return [to_plain(s.state_dict()) for s in own]


def _on_first_rank(call: Callable[[], Any]) -> Any:
    """Let rank 0 decide; all ranks return its result, or raise its error."""
    outcome: list = [None, None]
    if is_main_process():
        try:
            outcome[0] = call()
        except (ValueError, OSError) as error:
            outcome[1] = error
    broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
