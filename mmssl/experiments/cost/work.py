"""Count the operations of an iteration, their arithmetic and the bytes they move, by part."""

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import (
    flop_registry,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

REST = 'targets and losses'
OPTIMISERS = 'optimisers'
# They make no kernel run: they give a name, a place or a shape.
FREE = {'_unsafe_view', 'empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided'}
Part = tuple[str, Any, str]
"""A part's name, an object, and the name of its method in which that part is computed."""


@dataclass
class Amount:
    """What some operations cost.

    Attributes:
        operations: how many there are; views and allocations are none.
        flop: two for each multiplication with an addition, in matrix products, convolutions and
            attention alone.
        bytes: of all their inputs and outputs.
    """

    operations: int = 0
    flop: int = 0
    bytes: int = 0

    def __add__(self, other: 'Amount') -> 'Amount':
        """Return the sum of two."""
        return Amount(
            self.operations + other.operations,
            self.flop + other.flop,
            self.bytes + other.bytes,
        )


class WorkCounter(TorchDispatchMode):
    """Count while it is active (`with WorkCounter(...) as work`), forward and backward.

    It works on every device; on `meta` nothing is computed. An operation of the backward pass
    belongs to the part whose forward pass made its node of the graph.

    Args:
        parts: what is told apart; what runs in none of them is `REST`.

    Attributes:
        rows: (part, whether of the backward pass) to `Amount`.
        peak: the largest number of bytes that tensors took at a time, of those that an operation
            has met. The scratch memory inside kernels is not in it.
    """

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        super().__init__()
        self.parts = parts
        self.rows: dict[tuple[str, bool], Amount] = defaultdict(Amount)
        self.peak = self._now = 0
        self._part = REST
        self._live: dict[int, weakref.ref] = {}
        self._stack = ExitStack()

    def __enter__(self) -> 'WorkCounter':
        """Begin to count."""
        for part in self.parts:
            self._stack.enter_context(self._wrapped(*part))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """End."""
        super().__exit__(*error)
        self._stack.close()

    @property
    def total(self) -> Amount:
        """The sum over all parts."""
        return sum(self.rows.values(), Amount())

    def of(self, part: str) -> tuple[Amount, Amount]:
        """Return what a part costs forward and backward."""
        return self.rows.get((part, False), Amount()), self.rows.get((part, True), Amount())

    def watch(self, tensors: Any) -> None:
        """Take tensors into the memory that is counted, such as parameters."""
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, Tensor):
                self._meet(tensor)

    @contextmanager
    def _wrapped(self, name: str, owner: Any, method: str) -> Iterator[None]:
        """Note in every call of a method which part runs, and leave the object as it was."""
        original, own = getattr(owner, method), method in vars(owner)

        def inside(*args: Any, **kwargs: Any) -> Any:
            before, self._part = self._part, name
            try:
                found = original(*args, **kwargs)
            finally:
                self._part = before
            _mark(found, (args, kwargs), name)
            return found

        object.__setattr__(owner, method, inside)
        try:
            yield
        finally:
            if own:
                object.__setattr__(owner, method, original)
            else:
                object.__delattr__(owner, method)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operation and count it."""
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        tensors = [t for t in tree_leaves((args, kwargs, found)) if isinstance(t, Tensor)]
        for tensor in tensors:
            self._meet(tensor)
        if func.is_view or func._opname in FREE or func.namespace == 'profiler':
            return found
        node: Any = torch._C._current_autograd_node()
        part = self._part
        if node is not None:
            sums = 'AccumulateGrad' in node.name()
            part = OPTIMISERS if sums else node.metadata.get('part', REST)
        row = self.rows[part, node is not None]
        row.operations += 1
        row.bytes += sum(_size(t) for t in tensors)
        formula = FORMULAS.get(func._opname) or flop_registry.get(func._overloadpacket)
        if formula is not None:
            row.flop += int(formula(*args, **kwargs, out_val=found))
        return found

    def _meet(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live:
            return
        size = storage.nbytes()

        def forget(_: Any) -> None:
            del self._live[key]
            self._now -= size

        self._live[key] = weakref.ref(storage, forget)
        self._now += size
        self.peak = max(self.peak, self._now)


def _size(tensor: Tensor) -> int:
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _mark(found: Any, given: Any, name: str) -> None:
    """Write a part's name on the nodes of the graph between what it got and what it gave."""
    known = {t.grad_fn for t in tree_leaves(given) if isinstance(t, Tensor)}
    nodes: list[Any] = [t.grad_fn for t in tree_leaves(found) if isinstance(t, Tensor)]
    while nodes:
        node = nodes.pop()
        if node is None or node in known or 'part' in node.metadata:
            continue
        if 'AccumulateGrad' in node.name():
            continue
        node.metadata['part'] = name
        nodes += [following for following, _ in node.next_functions]


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any
) -> int:
    return sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape)


# What PyTorch's own table lacks.
FORMULAS: dict[str, Callable[..., int]] = {
    '_scaled_dot_product_flash_attention_for_cpu': _attention,
    '_scaled_dot_product_flash_attention_for_cpu_backward': _attention_backward,
}


def network_parts(model: nn.Module) -> list[Part]:
    """Return the parts of a method: backbone, head, ... of each student and teacher.

    Args:
        model: with `students` and `teachers`, dicts of networks.
    """
    parts: list[Part] = []
    for kind in ('student', 'teacher'):
        for name, network in getattr(model, f'{kind}s', nn.ModuleDict()).items():
            children = [
                (key, child)
                for key, child in network.named_children()
                if next(child.parameters(), None) is not None
            ]
            found: list[Part] = [
                (f'{kind} {name}: {key}', child, 'forward')
                for key, child in children
                if not isinstance(child, (nn.ModuleList, nn.ModuleDict, nn.Sequential))
            ]
            parts += found or [(f'{kind} {name}', network, 'forward')]
    return parts
