"""A short training of a method, its steps as written and as `speed.cuda_graph` repeats them."""

from typing import Any

import torch
from mmengine.optim import OptimWrapper

from mmssl.engine.speed.step_graph import Recorder, StepGraph
from mmssl.structures import Step
from mmssl.testing.emulated_graphs import EmulatedGraphs


def compare_recorded_steps(tester: Any, iters: int = 12) -> StepGraph:
    """Train a method both ways, compare all terms and weights, and return what recorded.

    Args:
        tester: a `MethodTester`, which says what model, batches and teachers are.
        iters: length of the training; schedules run from their beginning to their end.
    """
    (expected, terms, _), (found, again, graph) = (
        make_steps(tester, iters, recorder) for recorder in (None, EmulatedGraphs())
    )
    for number, (a, b) in enumerate(zip(terms, again, strict=True)):
        _close(b, a, f'step {number}')
    _close(found, expected, 'the weights')
    assert graph.recorded, graph.told
    return graph


def make_steps(
    tester: Any, iters: int, recorder: Recorder | None
) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]], Any]:
    """Make all steps of a training; return its state, the terms of each, and its `train_step`."""
    model = tester.model()
    learning = [p for p in model.parameters() if p.requires_grad]
    wrapper = OptimWrapper(torch.optim.SGD(learning, lr=0.01, momentum=0.9))
    hook = tester.hook(model) if model.teachers else None
    if recorder is not None:
        model.train_step = StepGraph(model, recorder)
    terms = []
    for t in range(iters):
        model.step = Step(t, iters)
        torch.manual_seed(t)
        if hook:
            hook.set_mode()
        for phase in range(getattr(model, 'phases', 1)):
            model.step = Step(t, iters, phase)
            found = model.train_step(tester.batch(seed=t % 3), wrapper)
            terms.append({name: value.detach() for name, value in found.items()})
        if hook:
            hook.update(t)
    return model.state_dict(), terms, model.train_step


def _close(found: dict, expected: dict, where: str) -> None:
    """Compare to rounding: a number of a schedule is a tensor on one of the two sides."""
    assert found.keys() == expected.keys(), where
    for name, value in expected.items():
        message = f'{name} of {where}: {found[name]} in place of {value}'
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7, msg=message)
