"""The entry `speed` of a config: which levers are on, and what they do to a training."""

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from mmssl.engine.precision import Precision, choose
from mmssl.engine.speed.recompute import recompute_norms
from mmssl.engine.speed.regions import compile_regions
from mmssl.engine.speed.step_graph import record_steps
from mmssl.registry import OPTIMIZERS
from mmssl.utils.dist import unwrapped
from mmssl.utils.errors import SettingError, did_you_mean

CHOICES: dict[str, tuple[Any, ...]] = {
    'attention': (None, 'plain', 'sdpa'),
    'recompute': (None, 'norms', 'blocks', 'all'),
    'teachers': (None, 'half', 'bfloat16', 'float16'),
}
FAST = dict(attention='sdpa', channels_last=True, fused=True)
"""What `speed.fast` sets where nothing else is said: the same training to rounding."""


@dataclass(frozen=True)
class Speed:
    """The levers, all off: the numbers are then those of a config without `speed`.

    Args:
        attention: `sdpa`: PyTorch's fused attention in the encoders of SAM, nothing multiplied for
            what fills up LiteMedSAM's windows or projected for what fills up SAM's; the config's
            own where it is None. Rounding differs.
        channels_last: convolutions keep their weights, and so their maps, with the channels
            innermost. Rounding and the draws of dropout differ.
        fused: optimisers as one kernel for all parameters, where PyTorch has one. Rounding
            differs.
        recompute: what is computed again in the backward pass instead of kept: `norms` (norm and
            activation after each convolution), `blocks` (of networks with `with_cp`), `all`. Bits
            stay.
        teachers: precision of the teachers' forward passes where the students' is float32, a wish
            of `mmssl.engine.precision.choose`. Changes what is learnt, as mixed precision does.
        compile: compile encoder blocks and U-Nets (`mmssl.engine.speed.regions`). Rounding and
            the draws of dropout differ.
        cuda_graph: on CUDA: record the forward and backward pass of the method, with what is
            compiled in it, and repeat them (`mmssl.engine.speed.step_graph`). Rounding differs
            where a number of the schedule meets a tensor.
    """

    attention: str | None = None
    channels_last: bool = False
    fused: bool = False
    recompute: str | None = None
    teachers: str | None = None
    compile: bool = False
    cuda_graph: bool = False

    @classmethod
    def of(cls, cfg: Mapping[str, Any]) -> 'Speed':
        """Read the entry `speed` of a config; `fast=True` there stands for those of `FAST`.

        Raises:
            SettingError: an unknown lever or value.
        """
        given = dict(cfg.get('speed') or {})
        names = ['fast', *(field.name for field in fields(cls))]
        for name, value in given.items():
            if name not in names:
                hint = did_you_mean(name, names)
                raise SettingError(f'speed has no lever "{name}"; {hint}')
            known = CHOICES.get(name, (True, False))
            if not any(
                value is one or (value == one and type(value) is type(one)) for one in known
            ):
                words = ', '.join(map(repr, known))
                raise SettingError(f'speed.{name} is {value!r}; it must be one of {words}')
        if given.get('compile') and given.get('recompute') in ('norms', 'all'):
            raise SettingError(
                'speed.compile decides by itself what is computed again: leave speed.recompute '
                "out, or take 'blocks'"
            )
        fast = FAST if given.pop('fast', False) else {}
        return cls(**{**fast, **given})

    def optimizers(self, optim_wrapper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config of an optimiser wrapper with these levers."""
        cfg = copy.deepcopy(dict(optim_wrapper))
        if self.fused:
            for one in [cfg.get('optimizer'), *(cfg.get('optimizers') or {}).values()]:
                if one is not None and not one.get('foreach') and can_be_fused(one['type']):
                    one.setdefault('fused', True)
        return cfg

    def apply(self, model: nn.Module, optim_wrapper: Any = None) -> None:
        """Bring the levers to a model that has its weights, and to its optimisers' states.

        Args:
            model: the method, in its distributed wrapper or not.
            optim_wrapper: its optimisers, of which the state may be loaded already.
        """
        if self == Speed():
            return
        alone, model = not is_model_wrapper(model), unwrapped(model)
        students = getattr(model, 'students', nn.ModuleDict())
        device = next((p.device.type for p in model.parameters()), 'cpu')
        if self.attention:
            for module in model.modules():
                choose: Any = getattr(module, 'set_attention', None)
                if choose is not None:
                    choose(self.attention)
        if self.channels_last:
            channels_last(model, optim_wrapper)
        if self.recompute in ('norms', 'all'):
            for name, student in students.items():
                print_log(f'{recompute_norms(student)} stacks of {name} recompute norms', 'current')
        if self.recompute in ('blocks', 'all'):
            for module in students.modules():
                if hasattr(module, 'with_cp'):
                    module.with_cp = True
        if self.teachers:
            self._teachers(model, device)
        if self.compile:
            compile_regions(model, device)
        if self.cuda_graph:
            record_steps(model, device, alone, self.compile)

    def _teachers(self, model: nn.Module, device: str) -> None:
        precision = choose(self.teachers, 'the teachers', 'speed.teachers', device)
        if precision.dtype is None:
            return
        for network in getattr(model, 'teachers', nn.ModuleDict()).values():
            for part in network.children():
                part.forward = partial(_in_half, precision, part.forward)


def _in_half(precision: Precision, forward: Any, *args: Any, **kwargs: Any) -> Any:
    with precision.autocast():
        found = forward(*args, **kwargs)
    return tree_map(lambda x: x.float() if isinstance(x, Tensor) else x, found)


def can_be_fused(kind: Any) -> bool:
    """Return whether an optimiser has the option `fused`."""
    cls = OPTIMIZERS.get(kind) if isinstance(kind, str) else kind
    return cls is not None and 'fused' in inspect.signature(cls.__init__).parameters


def channels_last(model: nn.Module, optim_wrapper: Any = None) -> None:
    """Store convolutions' weights with the channels innermost, their optimisers' states alike.

    PyTorch then computes and hands on the maps in that order, too.
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.weight.data = _inner(module.weight.data)
        elif isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            module.weight.data = _inner(module.weight.data)
    for optimizer in _optimizers(optim_wrapper):
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _inner(weight: Tensor) -> Tensor:
    order = torch.channels_last if weight.dim() == 4 else torch.channels_last_3d
    return weight.contiguous(memory_format=order)


def _optimizers(optim_wrapper: Any) -> Iterator[torch.optim.Optimizer]:
    if optim_wrapper is None:
        return
    wrappers = optim_wrapper.values() if hasattr(optim_wrapper, 'values') else [optim_wrapper]
    for wrapper in wrappers:
        yield wrapper.optimizer
