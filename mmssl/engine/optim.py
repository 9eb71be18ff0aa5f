"""Several optimisers, one backward pass, one gradient scaler."""

import copy
from contextlib import contextmanager

import torch
from mmengine.device import is_cuda_available
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, OptimWrapperDict
from torch import nn

from mmssl.engine.checkpoints.history import push_scalar
from mmssl.engine.precision import Precision, choose
from mmssl.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from mmssl.utils.dist import unwrapped


def use_amp(optim_wrapper: dict) -> dict:
    """Return the config of an optimiser wrapper with mixed precision switched on.

    float16 on CUDA; on a CPU bfloat16 where that is fast, else float32, unless the config asks for
    `bfloat16` by name. A plain `OptimWrapper` becomes mmengine's `AmpOptimWrapper` on CUDA and
    `HalfOptimWrapper` on a CPU.

    Raises:
        ValueError: a kind of wrapper whose precision cannot be set here.
    """
    cfg = copy.deepcopy(optim_wrapper)
    kind = cfg.get('type', 'OptimWrapper')
    if 'optimizers' in cfg or kind in ('MultiOptimWrapper', 'HalfOptimWrapper'):
        cfg['dtype'] = 'bfloat16' if cfg.get('dtype') == 'bfloat16' else 'half'
    elif kind == 'OptimWrapper' and cfg.get('dtype') == 'bfloat16':
        cfg['type'] = 'HalfOptimWrapper'  # numbers as large as float32's need no scaler
    elif kind in ('OptimWrapper', 'AmpOptimWrapper') and is_cuda_available():
        cfg.update(type='AmpOptimWrapper', dtype='float16')
    elif kind in ('OptimWrapper', 'AmpOptimWrapper'):
        cfg.update(type='HalfOptimWrapper', dtype='half')
        cfg.pop('loss_scale', None)
    else:
        raise ValueError(
            f'--amp cannot be used with optim_wrapper.type="{kind}"; use '
            "type='MultiOptimWrapper', constructor='MultiOptimWrapperConstructor' and "
            'optimizers=dict(NAME=...), or OptimWrapper'
        )
    return cfg


class _ComputesInPrecision:
    """The part of an optimiser wrapper that runs the forward pass in its `precision`."""

    precision: Precision

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of numbers under autocast; None for float32."""
        return self.precision.dtype

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Run the forward pass in `dtype`, and without gradient exchange while accumulating."""
        with OptimWrapper.optim_context(self, model), self.precision.autocast():
            yield


@OPTIM_WRAPPERS.register_module()
class HalfOptimWrapper(_ComputesInPrecision, OptimWrapper):
    """A single optimiser whose forward pass runs in half precision, without a scaler.

    For bfloat16, and on a CPU. For float16 on CUDA there is mmengine's `AmpOptimWrapper`.

    Args:
        *args: as in mmengine's `OptimWrapper`.
        dtype: as in `MultiOptimWrapper`, but for 'float16'.
        **kwargs: as in mmengine's `OptimWrapper`.
    """

    def __init__(self, *args, dtype: str | None = 'half', **kwargs):
        super().__init__(*args, **kwargs)
        self.precision = choose(dtype)


@OPTIM_WRAPPERS.register_module()
class MultiOptimWrapper(_ComputesInPrecision, OptimWrapperDict):
    """Hold one optimiser per student and step them all after one backward pass.

    mmengine's `OptimWrapperDict` leaves the update to the model, which
    `MMDistributedDataParallel` cannot do; this wrapper has the whole interface of a single one.

    Args:
        optim_wrappers: one `OptimWrapper` per name.
        dtype: None or 'float32' for full precision; 'float16' (CUDA, with a gradient scaler shared
            by all optimisers); 'bfloat16'; 'auto': 'float16' on CUDA, else None; or 'half', what
            `--amp` sets: 'float16' on CUDA, on a CPU 'bfloat16' if that is faster there, else
            None.
        clip_grad: arguments of `clip_grad_norm_` (or of `clip_grad_value_` with
            `type='value'`), applied to each optimiser's parameters apart.
        accumulative_counts: iterations whose gradients make one step.

    Raises:
        ValueError: an unknown `dtype`, or 'float16' without CUDA.
    """

    def __init__(
        self,
        optim_wrappers: dict[str, OptimWrapper],
        dtype: str | None = None,
        clip_grad: dict | None = None,
        accumulative_counts: int = 1,
    ):
        super().__init__(**optim_wrappers)
        self.precision = choose(dtype)
        clip = dict(clip_grad or {})
        self.clip_value = clip.pop('type', 'norm') == 'value'
        self.clip_grad_kwargs = clip
        self.loss_scaler = torch.amp.GradScaler('cuda', enabled=self.dtype == torch.float16)
        self._accumulative_counts = accumulative_counts
        self._inner_count, self._max_counts, self._remainder_counts = 0, -1, -1
        first = next(iter(optim_wrappers.values()))
        self.message_hub = first.message_hub

    def update_params(self, loss, step_kwargs=None, zero_kwargs=None) -> None:
        """Go back once from `loss` and, when it is time, step every optimiser."""
        OptimWrapper.update_params(self, loss, step_kwargs, zero_kwargs)

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Compute the gradients of all students, scaled for float16."""
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs) -> None:
        """Clip the gradients if asked and step every optimiser that has some.

        Parameters without any gradient stay as they are under every optimiser, and PyTorch's
        gradient scaler refuses an optimiser that has none, such as that of a student which waits
        for the pre-training of another.
        """
        for name, wrapper in self.items():
            # mmengine's schedulers count the wrapper's steps to warn of a wrong order
            wrapper._global_step = getattr(wrapper, '_global_step', -1) + 1
            if not _has_gradients(wrapper.optimizer):
                continue
            if self.clip_grad_kwargs:
                self.loss_scaler.unscale_(wrapper.optimizer)
                self._clip(name, wrapper.optimizer)
            self.loss_scaler.step(wrapper.optimizer, **kwargs)
        self.loss_scaler.update()

    def _clip(self, name: str, optimizer: torch.optim.Optimizer) -> None:
        groups = (group['params'] for group in optimizer.param_groups)
        parameters = [p for group in groups for p in group if p.grad is not None]
        if not parameters:
            return
        if self.clip_value:
            torch.nn.utils.clip_grad_value_(parameters, **self.clip_grad_kwargs)
        else:
            norm = torch.nn.utils.clip_grad_norm_(parameters, **self.clip_grad_kwargs)
            push_scalar(self.message_hub, f'train/{name}.grad_norm', norm)

    def zero_grad(self, **kwargs) -> None:
        """Drop all gradients."""
        for wrapper in self.values():
            wrapper.zero_grad(set_to_none=True)

    def initialize_count_status(self, model: nn.Module, cur_iter: int, max_iters: int) -> None:
        """Tell the wrapper where training starts and ends (for accumulation)."""
        OptimWrapper.initialize_count_status(self, model, cur_iter, max_iters)

    def state_dict(self) -> dict:
        """Return every optimiser's state by name, and the scaler's if it is in use."""
        state = super().state_dict()
        if self.loss_scaler.is_enabled():
            state['loss_scaler'] = self.loss_scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Load the states of `state_dict`.

        Raises:
            ValueError: the names are not those of this wrapper's optimisers.
        """
        state = dict(state_dict)
        scaler = state.pop('loss_scaler', None)
        if set(state) != set(self.keys()):
            raise ValueError(
                f'The checkpoint has optimiser states for {sorted(state)}, the config has '
                f'optimisers for {sorted(self.keys())}; resume with the config of the run'
            )
        super().load_state_dict(state)
        if scaler is not None and self.loss_scaler.is_enabled():
            self.loss_scaler.load_state_dict(scaler)


def _has_gradients(optimizer: torch.optim.Optimizer) -> bool:
    return any(p.grad is not None for group in optimizer.param_groups for p in group['params'])


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MultiOptimWrapperConstructor:
    """Build a `MultiOptimWrapper` whose names are the model's students.

    A name that is no student is looked up as a submodule of the model, for trainable parts that
    a method adds. Only parameters that require a gradient are given to the optimisers.

    Args:
        optim_wrapper_cfg: `dict(type='MultiOptimWrapper', optimizers=dict(name=dict(type='SGD',
            lr=...)), dtype=None, ...)`. An optimiser's config may carry its own
            `paramwise_cfg`.
        paramwise_cfg: mmengine's `paramwise_cfg` for all optimisers.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        cfg = copy.deepcopy(optim_wrapper_cfg)
        self.optimizers = cfg.pop('optimizers', None)
        if not self.optimizers:
            raise ValueError(
                'optim_wrapper has no "optimizers"; give one per student, for example '
                "optimizers=dict(unet=dict(type='SGD', lr=0.03))"
            )
        cfg.setdefault('type', 'MultiOptimWrapper')
        self.cfg = cfg
        self.paramwise_cfg = paramwise_cfg

    def __call__(self, model: nn.Module) -> MultiOptimWrapper:
        """Build the wrapper for a model.

        Raises:
            ValueError: a name is no part of the model, a part has nothing to train, or a
                trainable parameter has no optimiser.
        """
        model = unwrapped(model)
        students = getattr(model, 'students', nn.ModuleDict())
        covered: set[int] = set()
        wrappers = {}
        for name, cfg in self.optimizers.items():
            if cfg is None:  # inherited from a base, not wanted
                continue
            part = students[name] if name in students else self._part(model, name, students)
            parameters = [p for p in part.parameters() if p.requires_grad]
            if not parameters:
                why = getattr(part, 'untrainable', None) or 'set it to None'
                raise ValueError(f'"{name}" has an optimiser but no trainable parameter: {why}')
            covered.update(id(p) for p in parameters)
            wrappers[name] = self._build(part, parameters, dict(cfg))
        left = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in covered]
        if left:
            raise ValueError(
                f'{len(left)} trainable parameters have no optimiser (the first is {left[0]}); '
                f'optim_wrapper.optimizers has {list(self.optimizers)}, the model has students '
                f'{list(students.keys())}'
            )
        return OPTIM_WRAPPERS.build(self.cfg, default_args=dict(optim_wrappers=wrappers))

    @staticmethod
    def _part(model: nn.Module, name: str, students: nn.ModuleDict) -> nn.Module:
        try:
            return model.get_submodule(name)
        except AttributeError:
            raise ValueError(
                f'optim_wrapper.optimizers has "{name}", but the model has no such student or '
                f'submodule; its students are {list(students.keys())}'
            ) from None

    def _build(self, part: nn.Module, parameters: list, cfg: dict) -> OptimWrapper:
        paramwise = cfg.pop('paramwise_cfg', self.paramwise_cfg)
        if paramwise is None:
            return OptimWrapper(OPTIMIZERS.build(dict(cfg, params=parameters)))
        constructor = DefaultOptimWrapperConstructor(
            dict(type='OptimWrapper', optimizer=cfg), paramwise_cfg=paramwise
        )
        return constructor(part)
