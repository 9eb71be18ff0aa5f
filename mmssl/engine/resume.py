"""What a checkpoint holds, and how a run goes on from one."""

import time
from pathlib import Path

from mmengine.dist import broadcast_object_list, master_only
from mmengine.runner.checkpoint import _load_checkpoint, weights_to_cpu

import mmssl
from mmssl.engine.checkpoint_io import (
    IncompleteCheckpointError,
    atomic_save,
    checkpoint_candidates,
    load_weights,
)
from mmssl.engine.history import pack_hub, to_plain, unpack_hub

# Newest values of each logged scalar that a checkpoint carries.
HISTORY = 100


class CheckpointMixin:
    """The part of `SemiRunner` that saves, loads and resumes."""

    def load_checkpoint(
        self, filename, map_location='cpu', strict=False, revise_keys=((r'^module\.', ''),)
    ) -> dict:
        """Load a model's parameters.

        Raises:
            ValueError: the file holds no parameters, or, with `strict`, others than the model's.
        """
        checkpoint = _load_checkpoint(str(filename), map_location=map_location)
        self._take(checkpoint, str(filename), strict, revise_keys)
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _take(self, checkpoint, name: str, strict: bool, revise_keys=((r'^module\.', ''),)):
        if isinstance(checkpoint, dict):
            self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        load_weights(self.bare_model, checkpoint, name, strict, revise_keys)
        self._has_loaded = True

    def load_or_resume(self) -> None:
        """Load `load_from`, or resume from it or from the newest complete file of `work_dir`."""
        if self._has_loaded:
            return
        if not self._resume:
            if self._load_from is not None:
                self.load_checkpoint(self._load_from)
        elif self._load_from is not None:
            self.resume(self._load_from)
        else:
            self._resume_newest()

    def _resume_newest(self) -> None:
        found = [checkpoint_candidates(self.work_dir)]
        broadcast_object_list(found, src=0)
        for path in found[0]:
            try:
                checkpoint = _load_checkpoint(str(path), map_location='cpu')
            except (IncompleteCheckpointError, FileNotFoundError) as error:
                self.logger.warning(f'{error}; going back to the file before it')
                continue
            self._resume_from(checkpoint, str(path))
            return
        self.logger.info(f'No complete checkpoint in {self.work_dir}: starting from the beginning')

    def resume(
        self, filename, resume_optimizer=True, resume_param_scheduler=True, map_location='cpu'
    ) -> None:
        """Go on with the run that wrote a checkpoint.

        Args:
            filename: checkpoint with optimiser state.
            resume_optimizer: whether to restore the optimisers.
            resume_param_scheduler: whether to restore the schedulers.
            map_location: where the file is read to; parameters stay where the model is.

        Raises:
            ValueError: the file is no checkpoint of a training, or of one with another seed.
        """
        map_location = 'cpu' if map_location == 'default' else map_location
        checkpoint = _load_checkpoint(str(filename), map_location=map_location)
        self._resume_from(checkpoint, str(filename), resume_optimizer, resume_param_scheduler)

    def _resume_from(self, checkpoint, name, optimizer=True, schedulers=True) -> None:
        meta = checkpoint.get('meta', {}) if isinstance(checkpoint, dict) else {}
        if 'iter' not in meta or (optimizer and 'optimizer' not in checkpoint):
            raise ValueError(
                f'Checkpoint "{name}" has no optimiser state, so training cannot resume from it; '
                'use an iter_*.pth file, or start a new run from its weights with '
                f'--cfg-options load_from={name}'
            )
        seed = meta.get('seed')
        if seed is not None and seed != self.seed:
            raise ValueError(
                f'Checkpoint "{name}" was trained with seed {seed}, this run has {self.seed}; '
                f'resume with --cfg-options randomness.seed={seed}'
            )
        self._take(checkpoint, name, strict=True)
        self.train_loop._epoch = meta['epoch']
        self.train_loop._iter = meta['iter']
        self._compare_dataset(meta.get('dataset_meta'))
        if 'scalars' in checkpoint.get('message_hub', {}):
            unpack_hub(checkpoint['message_hub'], self.message_hub)
        if optimizer:
            self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
            self.optim_wrapper.load_state_dict(checkpoint['optimizer'])
            if hasattr(self.optim_wrapper, 'precision'):
                own = self.optim_wrapper.precision
                self.optim_wrapper.precision = own.resumed(meta.get('precision'))
        if schedulers and self.param_schedulers is not None:
            self._resume_schedulers(checkpoint.get('param_schedulers'))
        self.logger.info(f'Resumed from {name} at iteration {self.iter}')

    def _resume_schedulers(self, states) -> None:
        self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
        own = self.param_schedulers
        pairs = [(own, states)] if isinstance(own, list) else [(own[n], states[n]) for n in own]
        for schedulers, saved in pairs:
            for scheduler, state in zip(schedulers, saved, strict=True):
                scheduler.load_state_dict(state)

    def _compare_dataset(self, saved: dict | None) -> None:
        own = to_plain(dict(getattr(self.train_dataloader.dataset, 'metainfo', None) or {}))
        for key in sorted(set(own) & set(saved or {})):
            if own[key] != saved[key]:
                self.logger.warning(
                    f'The data set\'s {key} is {own[key]}, in the checkpoint it was {saved[key]}'
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
            'dataset_meta': to_plain(dict(getattr(dataset, 'metainfo', None) or {})),
        }

    def _scheduler_states(self):
        own = self.param_schedulers
        if isinstance(own, dict):
            return {n: [to_plain(s.state_dict()) for s in group] for n, group in own.items()}
        return [to_plain(s.state_dict()) for s in own]
