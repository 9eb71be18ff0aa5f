"""The step of a method as a CUDA graph: its forward and backward pass, repeated as recorded.

Preprocessing, optimisers, the scaler's update and the teachers stay outside: they are few kernels.
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from mmssl.engine.speed.cuda_recorder import CudaRecorder
from mmssl.engine.speed.recording import Form, Recording, copies_of, kinds
from mmssl.engine.speed.traced import SLOTS, NotRecordable, Situation, Trace, TracedSample, tracing
from mmssl.engine.speed.watch import PLAIN, Watch, all_draws, host_draws, set_draws
from mmssl.structures import Step

WARM_UP = 2
"""Steps as written before one is looked at, as PyTorch asks for; the one after that is recorded."""

MOST = 8
"""Recordings of a step with a batch of one shape; what is unlike all of them runs as written."""

FORMS = 32
"""Phases and shapes of batches that are told apart."""

KNOWN = (Tensor, BaseDataElement, *PLAIN)
"""What a batch may hold: all else may change unseen."""

Losses = dict[str, Tensor]


class Recorder(Protocol):
    """How a device records; `CudaRecorder`, and for tests an imitation."""

    def aside(self, run: Callable[[], Losses]) -> Losses:
        """Run a pass where it is to be recorded later."""

    def rehearse(self, run: Callable[[], Losses]) -> tuple[Losses, str | None]:
        """Run a pass and say what in it cannot be recorded, if anything."""

    def record(self, run: Callable[[], Any], touched: list[Tensor]) -> Callable[[], None]:
        """Record a pass that may change some tensors, and return what repeats it."""

    def draws(self) -> Any:
        """Return the state of a generator of the host that is not the device's, if any."""


class StepGraph:
    """Stand in for `train_step` of a model: record it, and repeat what is recorded.

    For each phase and shape of a batch `WARM_UP` steps run as written; then one runs with a traced
    iteration, and is looked at: what asks for its value, what changes the Python state of the
    model, what draws on the host, what waits for the device. Where nothing speaks against it, the
    next such step is recorded, and repeated from then on as long as all guards hold and the model
    is as it was. A step that cannot be recorded runs as written, with one line that says why.

    Args:
        model: a method, without a distributed wrapper.
        recorder: how the device records.
    """

    def __init__(self, model: Any, recorder: Recorder) -> None:
        self.model = model
        self.recorder = recorder
        self.plain: Callable[[Any, Any], Losses] = self.model.train_step
        self.forms: dict[Any, Form] = {}
        self.parameters = list(model.parameters())
        self.table: Tensor | None = None
        self.told: set[str] = set()

    @property
    def recorded(self) -> int:
        """How many passes are recorded."""
        return sum(len(form.recordings) for form in self.forms.values())

    def __call__(self, data: Any, optim_wrapper: Any) -> Losses:
        """Make one optimiser step, and return the losses for the log."""
        if torch._C._len_torch_dispatch_stack() > 0:  # each operation is looked at
            return self.plain(data, optim_wrapper)
        if why := self._unfit(optim_wrapper):
            self._say(f'speed.cuda_graph has no effect: {why}')
            return self.plain(data, optim_wrapper)
        with optim_wrapper.optim_context(self.model):
            data = self.model.data_preprocessor(data, True)
        leaves, spec = tree_flatten(data)
        step = getattr(self.model, 'step', Step())
        key: Any = (step.phase, step.max_iters, id(optim_wrapper), repr(spec), kinds(leaves))
        if key not in self.forms and len(self.forms) >= FORMS:
            self._say(f'speed.cuda_graph: batches unlike the first {FORMS} kinds run as written')
            form = Form(closed=True)
        else:
            form = self.forms.setdefault(key, Form())
        now = Situation(step.iter, leaves)
        losses = self._losses(form, now, spec, optim_wrapper)
        if optim_wrapper.should_update():
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        return losses

    def _unfit(self, optim_wrapper: Any) -> str | None:
        if getattr(optim_wrapper, '_accumulative_counts', 1) != 1:
            return 'gradients are accumulated over iterations'
        if any(p.grad is not None for p in self.parameters):
            return 'there are gradients before a step'
        return None

    def _losses(self, form: Form, now: Situation, spec: Any, optim_wrapper: Any) -> Losses:
        """Leave the gradients of a batch in the parameters, in the way that is open."""

        def run(leaves: Any = now.leaves) -> Losses:
            return self._pass(tree_unflatten(leaves, spec), optim_wrapper)

        broken = None
        for recording in form.recordings:
            broken = recording.broken(now)
            if broken is None:
                return self._repeat(form, recording, now, optim_wrapper)
        if form.closed:
            return run()
        form.seen += 1
        if form.seen <= WARM_UP:
            return self.recorder.aside(run)
        for rehearsal in form.rehearsed:
            trace, watch = rehearsal
            broken = trace.broken(now) or watch.changed()
            if broken is None:
                form.rehearsed.remove(rehearsal)
                return self._record(form, now, watch, run, optim_wrapper)
        if form.tried == MOST:
            return self._close(form, f'{broken} is different too often', run)
        form.tried += 1
        return self._rehearse(form, now, run, optim_wrapper)

    def _pass(self, data: Any, optim_wrapper: Any) -> Losses:
        """Compute losses and gradients, as `train_step` does."""
        with optim_wrapper.optim_context(self.model):
            losses = self.model._run_forward(data, mode='loss')
        total, shown = self.model.parse_losses(losses)
        optim_wrapper.backward(optim_wrapper.scale_loss(total))
        return {name: value.detach() for name, value in shown.items()}

    def _trace(self, now: Situation, runs: bool) -> tuple[Trace, list[Any]]:
        """Return a trace, and the batch's entries as a traced pass sees them."""
        if self.table is None:
            device = next(self.model.parameters()).device
            self.table = torch.zeros(SLOTS, dtype=torch.float64, device=device)
        trace = Trace(now.iter, self.table, runs)
        seen = [
            TracedSample(trace, i, x) if isinstance(x, BaseDataElement) else x
            for i, x in enumerate(now.leaves)
        ]
        return trace, seen

    def _watch(self, optim_wrapper: Any) -> Watch:
        scaler = getattr(optim_wrapper, 'loss_scaler', None)
        return Watch(self.model, [(scaler, ('_scale', '_enabled'))] if scaler is not None else [])

    def _rehearse(self, form: Form, now: Situation, run: Any, optim_wrapper: Any) -> Losses:
        """Run a traced pass, and keep what it asked if it can be recorded."""
        if odd := [type(x).__name__ for x in now.leaves if not isinstance(x, KNOWN)]:
            return self._close(form, f'the batch holds a {odd[0]}', run)
        trace, seen = self._trace(now, runs=True)
        self.parameters = list(self.model.parameters())
        try:
            watch = self._watch(optim_wrapper)
        except NotRecordable as error:
            return self._close(form, str(error), run)
        undo = self._undo(watch)
        before = host_draws(), self.recorder.draws()
        try:
            with tracing(self.model, trace):
                losses, why = self.recorder.rehearse(lambda: run(seen))
        except Exception as error:
            undo()
            return self._close(form, _words(error), run)
        if (host_draws(), self.recorder.draws()) != before:
            why = 'it draws random numbers on the host'
        if why:
            return self._close(form, why, lambda: losses)
        if changed := watch.changed():
            if form.tried == MOST:
                return self._close(form, f'{changed} is changed by every step', lambda: losses)
        else:
            form.rehearsed.append((trace, watch))
        return losses

    def _record(
        self, form: Form, now: Situation, watch: Watch, run: Any, optim_wrapper: Any
    ) -> Losses:
        """Record a pass, and repeat it for the first time."""
        if not form.leaves:
            form.leaves = copies_of(now.leaves)
        trace, seen = self._trace(now, runs=False)
        seen = [y if x is None else x for x, y in zip(form.leaves, seen, strict=True)]
        count = optim_wrapper._inner_count
        found: dict[str, Any] = {}

        def recorded() -> None:
            losses = run(seen)
            values = torch.stack(list(losses.values()))
            found.update(names=list(losses), values=values)

        undo = self._undo(watch)
        try:
            with tracing(self.model, trace):
                replay = self.recorder.record(recorded, [*watch.tensors, trace.table])
        except Exception as error:
            undo()
            optim_wrapper._inner_count = count
            return self._close(form, _words(error), run)
        optim_wrapper._inner_count = count
        grads = [(p, p.grad) for p in self.parameters if p.grad is not None]
        recording = Recording(replay, trace, watch, grads, found['names'], found['values'])
        form.recordings.append(recording)
        return self._repeat(form, recording, now, optim_wrapper)

    def _repeat(
        self, form: Form, recording: Recording, now: Situation, optim_wrapper: Any
    ) -> Losses:
        """Bring batch and schedule to their places, and repeat a recorded pass."""
        pairs = [p for p in zip(form.leaves, now.leaves, strict=True) if isinstance(p[0], Tensor)]
        with torch.no_grad():
            for place, value in pairs:
                place.copy_(value, non_blocking=True)
            table = recording.trace.table
            if values := recording.trace.values(now.iter):
                numbers = torch.tensor(values, dtype=torch.float64)
                if table.is_cuda:  # kept by PyTorch until it is copied
                    numbers = numbers.pin_memory()
                table[: len(values)].copy_(numbers, non_blocking=True)
            recording.replay()
            for parameter, grad in recording.grads:
                parameter.grad = grad
            optim_wrapper._inner_count += 1
            return dict(zip(recording.names, recording.values.clone().unbind(), strict=True))

    def _close(self, form: Form, why: str, run: Callable[[], Losses]) -> Losses:
        """Record no more of a form, say why, and run the step as written."""
        form.closed = True
        rest = 'what is like none of its recordings' if form.recordings else 'the step'
        self._say(f'speed.cuda_graph: {rest} runs as written, for {why}')
        return run()

    def _say(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            print_log(text, 'current', logging.WARNING)

    def _undo(self, watch: Watch) -> Callable[[], None]:
        """Return what leaves model, gradients and draws as if a pass had not begun."""
        tensors = [x for x in watch.tensors if not x.requires_grad]
        values, draws = [x.clone() for x in tensors], all_draws()

        def undo() -> None:
            watch.restore()
            with torch.no_grad():
                for tensor, value in zip(tensors, values, strict=True):
                    tensor.copy_(value)
            for parameter in self.parameters:
                parameter.grad = None
            set_draws(draws)

        return undo


def record_steps(model: nn.Module, device: str, alone: bool = True, compiled: bool = False) -> None:
    """Let the steps of a model be recorded, where that is possible; else one line says why not.

    Args:
        model: a method, without its distributed wrapper.
        device: where it is.
        alone: whether no other process trains it.
        compiled: whether parts of it are compiled.
    """
    if isinstance(vars(model).get('train_step'), StepGraph):
        return
    why = None
    if device != 'cuda':
        why = 'the model is not on a CUDA device'
    elif not alone:
        why = 'several processes exchange their gradients within the backward pass'
    elif getattr(type(model), 'train_step', None) is not BaseModel.train_step:
        why = f'{type(model).__name__} has a train_step of its own'
    if why is None:
        model.train_step = StepGraph(model, CudaRecorder(compiled))  # type: ignore[assignment]
    else:
        print_log(f'speed.cuda_graph has no effect: {why}', 'current', logging.WARNING)


def _words(error: BaseException) -> str:
    while error.__context__ is not None:  # what began it
        error = error.__context__
    if isinstance(error, NotRecordable):
        return str(error)
    return f'it cannot be recorded: {type(error).__name__}: {str(error).strip()}'.split('\n')[0]
