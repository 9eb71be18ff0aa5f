"""An imitation of CUDA graphs on a CPU, to test what is recorded of a step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from mmssl.engine.speed.traced import NotRecordable, place
from mmssl.models.sam import connected

LOOKS = (Tensor.numpy, Tensor.tolist, Tensor.__array__)
INDEXING = ('index', 'index_put', 'index_put_', '_unsafe_index')
NEW = ('lift_fresh', 'empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided')


class EmulatedGraphs:
    """Record passes on a CPU with the semantics of a CUDA graph.

    A recorded pass has not happened: what it changed is put back, and the results of its operations
    are filled with NaN. A replay runs the same operations on the same memory, with the numbers that
    they were recorded with; random numbers are those of the generator at that time. What a CUDA
    graph refuses, a look at a value or a shape that depends on one, raises `NotRecordable`.
    """

    def aside(self, run: Callable[[], Any]) -> Any:
        """Run a pass."""
        return run()

    def rehearse(self, run: Callable[[], Any]) -> tuple[Any, str | None]:
        """Run a pass in which every look at a value raises."""
        with _AsOnCuda(), _Refusing():
            return run(), None

    def record(self, run: Callable[[], Any], touched: list[Tensor]) -> Callable[[], None]:
        """Record a pass and return what repeats it; `touched` is what it may change."""
        with self.recording(touched) as recording:
            run()
        return recording.replay

    @contextmanager
    def recording(self, touched: list[Tensor]) -> Iterator['_Recording']:
        """Record what is computed meanwhile, and leave `touched` as it was."""
        values = [x.detach().clone() for x in touched]
        draws = torch.get_rng_state()
        with _AsOnCuda(), _Recording(touched) as recording:
            yield recording
        with torch.no_grad():
            for tensor, value in zip(touched, values, strict=True):
                tensor.data.copy_(value)
        torch.set_rng_state(draws)
        recording.forget()

    def draws(self) -> Any:
        """Return nothing: the CPU's generator is the device's."""
        return None


class _AsOnCuda(TorchFunctionMode):
    """Compute as on the device where a CPU does otherwise, and let numpy see nothing."""

    def __enter__(self) -> '_AsOnCuda':
        """Begin, also with the components of a label."""
        self.patch = mock.patch.object(connected, '_on_host', lambda x: False)
        self.patch.start()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """End."""
        super().__exit__(*error)
        self.patch.stop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function; on a CPU `one_hot` compares classes with their number."""
        if func in LOOKS:
            raise NotRecordable(f'it waits for the device at {place()}')
        if func is torch.nn.functional.one_hot:
            return self.one_hot(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    @staticmethod
    def one_hot(x: Tensor, num_classes: int) -> Tensor:
        """Return the classes as vectors of 0 and 1."""
        return x.new_zeros(*x.shape, num_classes).scatter_(-1, x[..., None], 1)


class _Refusing(TorchDispatchMode):
    """Raise where a result depends on values in a way that a graph cannot follow."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tags, name = func.tags, func._opname
        indexing = name in INDEXING
        depends = torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags
        chosen = [x for x in tree_leaves(args[1]) if isinstance(x, Tensor)] if indexing else []
        if any(x.dtype in (torch.bool, torch.uint8) for x in chosen) or (depends and not indexing):
            raise NotRecordable(f'it waits for the device in {func} at {place()}')
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation."""
        return func(*args, **kwargs)


class _Recording(_Refusing):
    """Keep every operation, the memory that it reads and the memory of its results."""

    def __init__(self, touched: list[Tensor]) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, list[Any]]] = []
        self.known = {_memory(x) for x in touched}

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation and keep it."""
        given = tree_map(_alias, (args, kwargs))
        found = func(*args, **kwargs)
        if not (func.is_view or torch.Tag.inplace_view in func.tags):
            self.steps.append((func, *given, tree_leaves(tree_map(_alias, found))))
        return found

    def forget(self) -> None:
        """Fill all results with NaN: a graph that is recorded has computed nothing."""
        known = set(self.known)
        for func, args, kwargs, results in self.steps:
            known |= {_memory(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
            for x in results:
                if isinstance(x, Tensor) and _memory(x) not in known and func._opname not in NEW:
                    x.fill_(float('nan') if x.is_floating_point() else 0)
                    known.add(_memory(x))

    def replay(self) -> None:
        """Run the operations again, into the same memory."""
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, results in self.steps:
                for new, old in zip(tree_leaves(func(*args, **kwargs)), results, strict=True):
                    if isinstance(old, Tensor) and _memory(new) != _memory(old):
                        old.copy_(new)


def _alias(x: Any) -> Any:
    """Return a tensor without autograd on the same memory."""
    return x.detach() if isinstance(x, Tensor) else x


def _memory(x: Tensor) -> int:
    return x.untyped_storage()._cdata
