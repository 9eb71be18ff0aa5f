"""The runner: safe and exact checkpoints, several optimisers, ranks with or without a GPU."""

import inspect
from contextlib import nullcontext

import torch
from mmengine.dist import is_distributed, is_main_process
from mmengine.optim import OptimWrapperDict
from torch.nn.parallel import DistributedDataParallel

from mmssl.compat import later
from mmssl.engine.checkpoints.resume import CheckpointRunner
from mmssl.engine.checkpoints.setting_rules import check_settings, make_work_dir
from mmssl.engine.data_facts import with_facts
from mmssl.engine.data_roles import meet, meet_config
from mmssl.engine.launch import init_distributed
from mmssl.engine.speed import Speed
from mmssl.engine.vis_backends import forgive_log
from mmssl.engine.workers import TIMEOUT, prepare_workers
from mmssl.engine.world_scaling import launched_world_size, scale_to_world
from mmssl.registry import RUNNERS
from mmssl.utils.config.selection import with_selection
from mmssl.utils.dist import unwrapped
from mmssl.utils.processes.folder_lock import lock_folder
from mmssl.utils.processes.memory import keep_freed_memory
from mmssl.utils.processes.threads import share_cores


@RUNNERS.register_module()
class SemiRunner(CheckpointRunner):
    """Run training, validation and test as mmengine's runner does, with these differences.

    * Checkpoints hold tensors and plain values only, load with `weights_only=True`, are written
      whole or not at all, and do not grow with the iterations.
    * Resuming restores everything. `resume=True` without `load_from` takes the newest complete
      file; a run begins at 0 only where there was no checkpoint. What says what the run is must
      be as in the checkpoint, the seed as well; other settings are those of the config.
    * A folder that holds a run is not overwritten, unless the config has `overwrite=True`.
    * `load_from` says in one line what was loaded, and stops where nothing fits, or where a tensor
      has another size and the config has no `skip_mismatched=True`.
    * Test and validation refuse a checkpoint whose parameters do not fit the model.
    * `param_scheduler` may be a dict of schedulers for some of the optimisers.
    * Without CUDA, several processes communicate through gloo.
    * `scale_to_world=True` in the config: see `mmssl.engine.world_scaling.scale_to_world`.
    * `val_evaluator.selection='agreement'`: see `mmssl.utils.config.selection.with_selection`.
    * `speed=dict(...)` in the config: see `mmssl.engine.speed.Speed`.
    """

    @classmethod
    def from_cfg(cls, cfg) -> 'SemiRunner':
        """Build a runner from a config; the model takes from the data what it does not say.

        Raises:
            SettingError: a setting does not fit, or the work folder cannot be made.
        """
        cfg = with_selection(cfg)
        check_settings(getattr(cfg, '_cfg_dict', cfg))
        Speed.of(cfg)
        make_work_dir(cfg['work_dir'])
        if cfg.get('scale_to_world', False):
            cfg = scale_to_world(cfg, launched_world_size(cfg.get('launcher', 'none')))
        return super().from_cfg(with_facts(cfg))

    def setup_env(self, env_cfg: dict) -> None:
        """Set up processes, then mmengine's environment and the threads."""
        if self.distributed and not is_distributed():
            init_distributed(self.launcher, dict(env_cfg.get('dist_cfg') or {}))
        super().setup_env(env_cfg)
        share_cores()
        keep_freed_memory()

    def wrap_model(self, model_wrapper_cfg: dict | None, model: torch.nn.Module):
        """Wrap the model for several processes; on the CPU without a device number.

        Statistics are not exchanged at every iteration: `SyncBuffersHook` averages them. Gradients
        travel as `exchange_options` says.
        """
        if self.distributed:
            known = inspect.signature(DistributedDataParallel.__init__).parameters
            no_exchange = 'forward_sync_buffers'  # the newer name
            no_exchange = no_exchange if no_exchange in known else 'broadcast_buffers'
            unused = self.cfg.get('find_unused_parameters', False)
            own = {no_exchange: False, 'find_unused_parameters': unused}
            own.update(exchange_options(model))
            if not torch.cuda.is_available():
                own['device_ids'] = None
            model_wrapper_cfg = {**own, **(model_wrapper_cfg or {})}
        return super().wrap_model(model_wrapper_cfg, model)

    def build_optim_wrapper(self, optim_wrapper):
        """Build the optimisers, with the levers of the entry `speed`."""
        if isinstance(optim_wrapper, dict):
            optim_wrapper = Speed.of(self.cfg).optimizers(optim_wrapper)
        return super().build_optim_wrapper(optim_wrapper)

    def _maybe_compile(self, target: str) -> None:
        """Bring the levers to the model; its weights and the optimisers' states are there."""
        Speed.of(self.cfg).apply(self.model, self.optim_wrapper)
        super()._maybe_compile(target)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register the default hooks; samplers addressed by iteration need no epoch's seed."""
        super().register_default_hooks({'sampler_seed': None, **(hooks or {})})

    def build_logger(self, *args, **kwargs):
        """Build the logger; a log that cannot be written ends no training."""
        logger = super().build_logger(*args, **kwargs)
        forgive_log(logger)
        return logger

    def _log_env(self, env_cfg: dict) -> None:
        with later('torchvision'):  # of which the version is logged
            super()._log_env(env_cfg)

    def call_hook(self, fn_name: str, **kwargs) -> None:
        """Call `fn_name` of every hook that has it."""
        for hook in self._hooks:
            if hasattr(hook, fn_name):
                getattr(hook, fn_name)(self, **kwargs)

    def build_param_scheduler(self, scheduler):
        """Build the schedulers; a dict may name some of the optimisers only.

        `end='max_iters'` in a scheduler's config is the length of the training.

        Raises:
            ValueError: a scheduler is given for an optimiser that does not exist.
        """
        scheduler = self._fill_in_end(scheduler)
        named = isinstance(scheduler, dict) and 'type' not in scheduler
        if named and not isinstance(self.optim_wrapper, OptimWrapperDict):
            raise ValueError(
                f'param_scheduler is given for {sorted(scheduler)}, but there is a single '
                'optimiser; give a list of schedulers'
            )
        if named:
            unknown = sorted(set(scheduler) - set(self.optim_wrapper.keys()))
            if unknown:
                raise ValueError(
                    f'param_scheduler is given for {unknown}, which is no optimiser; there are '
                    f'{sorted(self.optim_wrapper.keys())}'
                )
            scheduler = {name: scheduler.get(name, []) for name in self.optim_wrapper.keys()}
        return super().build_param_scheduler(scheduler)

    def _fill_in_end(self, scheduler):
        if isinstance(scheduler, list | tuple):
            return [self._fill_in_end(one) for one in scheduler]
        if not isinstance(scheduler, dict):
            return scheduler
        if scheduler.get('end') == 'max_iters':
            return {**scheduler, 'end': self.max_iters}
        if 'type' in scheduler:
            return scheduler
        return {name: self._fill_in_end(one) for name, one in scheduler.items()}

    def build_val_loop(self, loop):
        """Build the validation loop; without a type it is mmssl's `ValLoop`."""
        return self._met(super().build_val_loop(_with_type(loop, 'ValLoop')), 'val')

    def build_test_loop(self, loop):
        """Build the test loop; without a type it is mmssl's `TestLoop`."""
        return self._met(super().build_test_loop(_with_type(loop, 'TestLoop')), 'test')

    def build_train_loop(self, loop):
        """Build the training loop; the test set's config is looked at, too, before it begins."""
        loop = self._met(super().build_train_loop(loop), 'train')
        meet_config(self.bare_model, self._test_dataloader, 'test')
        return loop

    def _met(self, loop, role: str):
        """Return a loop whose data set the model has been compared with."""
        meet(self.bare_model, loop.dataloader.dataset, role)
        return loop

    @staticmethod
    def build_dataloader(dataloader, seed: int | None = None, diff_rank_seed: bool = False):
        """Build a data loader; with a `batch_sampler`, `sampler` and `batch_size` may be absent.

        `persistent_workers`, `prefetch_factor` and `timeout` are dropped where there are no
        workers; a batch may take 300 s unless `timeout` says otherwise.
        """
        if isinstance(dataloader, dict):
            dataloader = dict(dataloader)
            if 'batch_sampler' in dataloader:
                dataloader.setdefault('sampler', dict(type='DefaultSampler', shuffle=False))
                dataloader.setdefault('batch_size', 1)
            if not dataloader.get('num_workers', 0):
                for name in ('persistent_workers', 'prefetch_factor', 'timeout'):
                    dataloader.pop(name, None)
            else:
                dataloader.setdefault('timeout', TIMEOUT)
        return prepare_workers(CheckpointRunner.build_dataloader(dataloader, seed, diff_rank_seed))

    @property
    def bare_model(self) -> torch.nn.Module:
        """The model without its distributed wrapper."""
        return unwrapped(self.model)

    def train(self) -> torch.nn.Module:
        """Train; the work folder is this run's alone meanwhile.

        Raises:
            ValueError: no parameter of the model learns, the work folder holds another run, or one
                is at work in it.
        """
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise ValueError(
                f'{type(self.bare_model).__name__} has no parameter that learns, so it cannot be '
                'trained; evaluate it with tools/test.py CONFIG none'
            )
        with lock_folder(self.work_dir) if is_main_process() else nullcontext():
            self.call_hook('before_resume')
            self.check_folder()
            return super().train()

    def val(self) -> dict:
        """Validate; weights come from `load_from`, or are initialised."""
        self._prepare_to_evaluate()
        return super().val()

    def test(self) -> dict:
        """Test; weights come from `load_from`, or are initialised."""
        self._prepare_to_evaluate()
        return super().test()

    def _prepare_to_evaluate(self) -> None:
        trained = self._has_loaded or not isinstance(self._train_loop, (dict, type(None)))
        if trained:
            return
        if self._load_from is None:
            self.logger.info('No checkpoint is loaded: the weights are those the model starts with')
            self._init_model_weights()
        else:
            self.load_checkpoint(self._load_from, strict=True)


def exchange_options(model: torch.nn.Module) -> dict:
    """Return how the gradients of several processes travel: in one bucket.

    Only parameters that learn have gradients; `model_wrapper_cfg.bucket_cap_mb` makes more buckets,
    which travel while others are computed.
    """
    learning = (p for p in model.parameters() if p.requires_grad)
    size = sum(p.numel() * p.element_size() for p in learning)
    return {'bucket_cap_mb': size // 2**20 + 1}


def _with_type(loop, kind: str):
    return {'type': kind, **loop} if isinstance(loop, dict) else loop
