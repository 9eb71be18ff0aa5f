"""What a step depends on, or changes, beside tensors: the Python state of a model, draws."""

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from operator import is_
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mmssl.engine.speed.traced import NotRecordable

PLAIN = (bool, int, float, complex, str, bytes, type(None))
OWN = set(vars(nn.Module())) - {'training', '_parameters', '_buffers'}
"""What a module keeps for itself, apart from its mode and its tensors."""

CLOSED = (type, ModuleType, FunctionType, MethodType, Tensor, torch.dtype, torch.device)
_GONE = object()


class _Kept(NamedTuple):
    """A container, the keys that it has and those that count, their values, and its size."""

    name: str
    container: Any
    every: tuple
    keys: tuple
    values: tuple
    size: int


class Watch:
    """The Python state of a model at one moment: modes, numbers, which tensors it holds.

    All modules, and what their attributes lead to, are looked through once; comparing is cheap.
    Tensors are the same as long as the object and its memory are.

    Args:
        model: the model; its attributes `step` and `train_step` do not count.
        more: further objects and those of their attributes that count.

    Raises:
        NotRecordable: an attribute has a state that cannot be seen.

    Attributes:
        tensors: all that were met, parameters and buffers among them.
    """

    def __init__(self, model: nn.Module, more: Iterable[tuple[Any, tuple[str, ...]]] = ()) -> None:
        self.tensors: list[Tensor] = []
        self._kept: list[_Kept] = []
        self._draws: list[tuple[str, Callable[[], Any], Any]] = []
        self._seen: set[int] = {id(model)}
        self._keep(type(model).__name__, vars(model), {*OWN, 'step', 'train_step'})
        for module in model.modules():
            self._walk(type(module).__name__, module)
        for owner, names in more:
            self._keep(type(owner).__name__, vars(owner), set(vars(owner)) - set(names))
        self._memory = [(x.data_ptr(), x.requires_grad) for x in self.tensors]

    def _walk(self, name: str, value: Any) -> None:
        if isinstance(value, PLAIN) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, Tensor):
            if not is_lazy(value):
                self.tensors.append(value)
        elif isinstance(value, nn.Module):
            self._keep(name, vars(value), OWN)
        elif isinstance(value, (dict, list, tuple, set, frozenset, deque)):
            self._keep(name, value)
        elif (draws := _draws_of(value)) is not None:
            self._draws.append((name, draws, draws()))
        elif isinstance(value, Iterator):
            raise NotRecordable(f'{name} is an iterator, whose place cannot be seen')
        elif hasattr(value, '__dict__') and not isinstance(value, CLOSED):
            self._keep(name, vars(value))

    def _keep(self, name: str, container: Any, but: Collection[str] = ()) -> None:
        mapping = isinstance(container, dict)
        every = tuple(container) if mapping else ()
        keys = tuple(key for key in every if key not in but)
        values = _look(container, keys)
        self._kept.append(_Kept(name, container, every, keys, values, len(container)))
        for key, value in zip(keys if mapping else range(len(values)), values, strict=True):
            self._walk(f'{name}.{key}' if mapping else name, value)

    def changed(self) -> str | None:
        """Name what is no longer as it was; None if all is."""
        for name, container, _, keys, values, size in self._kept:
            there = map(container.get, keys) if isinstance(container, dict) else container
            if len(container) == size and all(map(is_, there, values)):
                continue  # nearly always, so fast
            now = _look(container, keys)
            if len(container) == size and all(map(_same, now, values)):
                continue
            which = [k for k, a, b in zip(keys, now, values, strict=False) if not _same(a, b)]
            return f'{name}.{which[0]}' if which else name
        for name, draws, before in self._draws:
            if draws() != before:
                return name
        memory = [(x.data_ptr(), x.requires_grad) for x in self.tensors]
        return None if memory == self._memory else 'the memory of a tensor'

    def restore(self) -> None:
        """Put modes, numbers and the names of tensors back, after a pass that was broken off.

        Raises:
            RuntimeError: a generator of the model's own has drawn.
        """
        for _, container, every, keys, values, _ in self._kept:
            if isinstance(container, dict):
                for key in set(container) - set(every):
                    del container[key]
                dict.update(container, zip(keys, values, strict=True))
            elif isinstance(container, list):
                container[:] = values
        for name, draws, before in self._draws:
            if draws() != before:
                raise RuntimeError(f'{name} has drawn numbers that cannot be put back')


def _look(container: Any, keys: tuple) -> tuple:
    if isinstance(container, dict):
        return tuple(container.get(key, _GONE) for key in keys)
    return tuple(container)


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and isinstance(a, PLAIN) and a == b)


def _draws_of(value: Any) -> Callable[[], Any] | None:
    """Return what gives the state of a random generator or an array, None of anything else."""
    if isinstance(value, np.random.Generator):
        return lambda: repr(value.bit_generator.state)
    if isinstance(value, random.Random):
        return value.getstate
    if isinstance(value, torch.Generator):
        return lambda: value.get_state().tolist()
    if isinstance(value, np.ndarray):
        return value.tobytes
    return None


def host_draws() -> tuple:
    """Return the states of Python's and numpy's generators, to be compared."""
    return random.getstate(), repr(np.random.get_state(legacy=False))  # noqa: NPY002


def all_draws() -> tuple:
    """Return the states of all global generators, for `set_draws`."""
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda  # noqa: NPY002


def set_draws(states: tuple) -> None:
    """Put the global generators back."""
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    if states[3] is not None:
        torch.cuda.set_rng_state(states[3])
