"""The numbers of a schedule while a step is recorded: what is made of them follows the iteration.

A recording repeats kernels with the numbers that they were started with. So the method is given a
`Step` whose iteration is a `Traced` number. Arithmetic with it stays traced, a tensor meets it as a
value in a table on the device, which is written before each replay, and whatever else asks for its
value (a comparison, `float`, an index) is noted as a guard: the recording holds as long as the
answer is the same.
"""

import math
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from mmssl.registry import RAMPS

SLOTS = 256
"""Numbers of a schedule that tensors meet in one step, at most."""

NUMBERS = (bool, int, float)


class NotRecordable(Exception):
    """A step does what a recording cannot repeat; the text is the end of a sentence about it."""


class Situation(NamedTuple):
    """What answers the guards: the iteration, and the batch's entries (its data samples)."""

    iter: int
    leaves: Sequence[Any] = ()


class Guard(NamedTuple):
    """A question that a step has asked, what the answer was, and the line that asked."""

    question: Callable[[Situation], Any]
    answer: Any
    place: str


class Trace:
    """What one pass of a step asked, and the numbers that its tensors met.

    Args:
        iteration: the one under way.
        table: numbers on the device, float64 (SLOTS,); one for all passes.
        runs: whether the operations are executed while they are traced, and need the numbers.
    """

    def __init__(self, iteration: int, table: Tensor, runs: bool) -> None:
        self.iteration, self.table, self.runs = iteration, table, runs
        self.guards: list[Guard] = []
        self.slots: list[Traced] = []

    def ask(self, question: Callable[[Situation], Any], answer: Any) -> Any:
        """Note a guard and return its answer."""
        self.guards.append(Guard(question, answer, place()))
        return answer

    def broken(self, now: Situation) -> str | None:
        """Name a question that has another answer now; None if the trace holds."""
        for guard in self.guards:
            try:
                same = _same(guard.question(now), guard.answer)
            except Exception:
                same = False
            if not same:
                return f'the answer at {guard.place}'
        return None

    def values(self, iteration: int) -> list[float]:
        """Return the numbers of the table at an iteration."""
        return [float(number.follow(iteration)) for number in self.slots]

    def on_device(self, number: 'Traced', others: Sequence[Tensor]) -> Tensor:
        """Return a number as a tensor of no axis, in the type that it would have beside others."""
        if number.slot is None:
            if len(self.slots) == SLOTS:
                raise NotRecordable(f'its tensors meet more than {SLOTS} numbers of the schedule')
            number.slot = len(self.slots)
            self.slots.append(number)
            if self.runs:
                with torch.no_grad():
                    self.table[number.slot].fill_(float(number.value))
        dtype = next((x.dtype for x in others if x.is_floating_point()), None)
        if dtype is None:
            whole = isinstance(number.value, int) and others and others[0].dtype != torch.bool
            dtype = others[0].dtype if whole else torch.get_default_dtype()
        return self.table[number.slot].to(dtype, copy=True)


class Traced:
    """A number that follows the iteration: its value now, and how to compute it at another one."""

    __array_ufunc__ = None  # numpy is to refuse it

    def __init__(self, trace: Trace, value: Any, follow: Callable[[int], Any]) -> None:
        self.trace, self.value, self.follow = trace, value, follow
        self.slot: int | None = None

    def then(self, function: Callable[[Any], Any]) -> 'Traced':
        """Return what a function makes of the number."""
        return Traced(self.trace, function(self.value), lambda t: function(self.follow(t)))

    def ask(self, function: Callable[[Any], Any]) -> Any:
        """Return what a function says of the number, as a guard."""
        return self.trace.ask(lambda now: function(self.follow(now.iter)), function(self.value))

    def __repr__(self) -> str:
        """Show the value, without a guard: for who looks for a fault."""
        return f'Traced({self.value!r})'

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operation of tensors with values of the table in the place of numbers."""
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]

        def put(x: Any) -> Any:
            return x.trace.on_device(x, tensors) if isinstance(x, Traced) else x

        args, kwargs = tree_map(put, (tuple(args), kwargs or {}))
        return func(*args, **kwargs)


def _at(x: Any, iteration: int) -> Any:
    return x.follow(iteration) if isinstance(x, Traced) else x


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Traced) else x


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


def place() -> str:
    """Name the line under way, outside of this room, PyTorch and what stands in for a device."""
    frame: Any = sys._getframe(1)
    here = Path(__file__).parent
    own = tuple(map(str, (here, Path(torch.__file__).parent, here.parents[1] / 'testing')))
    while frame.f_back is not None and frame.f_code.co_filename.startswith(own):
        frame = frame.f_back
    return f'{Path(frame.f_code.co_filename).name}:{frame.f_lineno}'


def _meet(operation: Callable, a: Any, b: Any, guard: bool) -> Any:
    """Apply an operation of which a or b, or both, are traced."""
    own, other = (a, b) if isinstance(a, Traced) else (b, a)
    if isinstance(other, Tensor):
        there = own.trace.on_device(own, [other])
        return operation(there, other) if own is a else operation(other, there)
    if not isinstance(other, (*NUMBERS, Traced)):
        return NotImplemented

    def follow(t: int) -> Any:
        return operation(_at(a, t), _at(b, t))

    now = operation(_value(a), _value(b))
    if guard:
        return own.trace.ask(lambda situation: follow(situation.iter), now)
    return Traced(own.trace, now, follow)


def _fill(cls: type) -> None:
    """Give the class the operators of numbers."""
    for name in ('add', 'sub', 'mul', 'truediv', 'floordiv', 'mod', 'pow'):
        operation = getattr(operator, name)
        setattr(cls, f'__{name}__', lambda a, b, op=operation: _meet(op, a, b, guard=False))
        setattr(cls, f'__r{name}__', lambda a, b, op=operation: _meet(op, b, a, guard=False))
    for name in ('lt', 'le', 'gt', 'ge', 'eq', 'ne'):
        operation = getattr(operator, name)
        setattr(cls, f'__{name}__', lambda a, b, op=operation: _meet(op, a, b, guard=True))
    for name in ('neg', 'pos', 'abs'):
        operation = getattr(operator, name)
        setattr(cls, f'__{name}__', lambda a, op=operation: a.then(op))
    for name, function in dict(
        round=round, floor=math.floor, ceil=math.ceil, trunc=math.trunc
    ).items():
        setattr(cls, f'__{name}__', lambda a, *more, f=function: a.then(lambda x: f(x, *more)))
    asked: dict[str, Callable] = dict(
        bool=bool, int=int, float=float, complex=complex, index=operator.index, hash=hash,
        str=str, format=format,
    )  # fmt: skip
    for name, ask in asked.items():
        setattr(cls, f'__{name}__', lambda a, *more, f=ask: a.ask(lambda x: f(x, *more)))


_fill(Traced)


class TracedSample:
    """What is known of an image: what a step asks of it is a guard.

    Args:
        trace: of the pass.
        index: position among the batch's entries.
        sample: the data sample.
    """

    def __init__(self, trace: Trace, index: int, sample: BaseDataElement) -> None:
        self._ask = lambda question: trace.ask(
            lambda now: question(now.leaves[index]), question(sample)
        )

    def get(self, key: str, default: Any = None) -> Any:
        """Return an entry of the metainfo.

        Raises:
            NotRecordable: the entry holds tensors.
        """
        return self._ask(lambda sample: _plain(sample.get(key, default)))

    def __contains__(self, key: str) -> bool:
        """Return whether there is such an entry."""
        return self._ask(lambda sample: key in sample)

    def metainfo_keys(self) -> list[str]:
        """Return the names of the entries."""
        return self._ask(lambda sample: sorted(sample.metainfo_keys()))

    def __getattr__(self, name: str) -> Any:
        """Refuse what no guard can be for.

        Raises:
            NotRecordable: always.
        """
        raise NotRecordable(f'it asks the data samples for "{name}" ({place()})')


def _plain(value: Any) -> Any:
    if isinstance(value, (Tensor, BaseDataElement)):
        raise NotRecordable('it reads tensors of the data samples')
    return value


@contextmanager
def tracing(model: nn.Module, trace: Trace) -> Iterator[None]:
    """Tell a model a traced iteration, and let the registered ramps follow it."""
    ramps = {
        cls: vars(cls)['__call__']
        for cls in RAMPS.module_dict.values()
        if isinstance(cls, type) and '__call__' in vars(cls)
    }
    step: Any = getattr(model, 'step', None)
    own = 'step' in vars(model)
    if step is not None:
        model.step = step._replace(iter=Traced(trace, trace.iteration, lambda t: t))
    for cls, call in ramps.items():
        cls.__call__ = _following(call)  # type: ignore[method-assign]
    try:
        yield
    finally:
        if own:
            model.step = step
        elif step is not None:
            del model.step
        for cls, call in ramps.items():
            cls.__call__ = call  # type: ignore[method-assign]


def _following(call: Callable) -> Callable:
    """Let a ramp that is asked at a traced iteration give a traced number."""

    @wraps(call)
    def inside(ramp: Any, *args: Any) -> Any:
        traced = [x for x in args if isinstance(x, Traced)]
        if not traced:
            return call(ramp, *args)

        def follow(t: int) -> Any:
            value = call(ramp, *(_at(x, t) for x in args))
            if not isinstance(value, NUMBERS):
                raise NotRecordable(f'{type(ramp).__name__} gives no number')
            return value

        return Traced(traced[0].trace, follow(traced[0].trace.iteration), follow)

    return inside
