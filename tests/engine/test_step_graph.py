"""A recorded step is the step; whatever a recording could not follow is found, and said."""

import math
import random
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_toy import ToyMetric, config
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement
from same_runs import assert_same_run
from torch import nn

from mmssl.engine.speed import levers, step_graph
from mmssl.engine.speed.cuda_recorder import CudaRecorder, HostTensors
from mmssl.engine.speed.step_graph import MOST, WARM_UP, StepGraph
from mmssl.engine.speed.traced import Traced
from mmssl.experiments.cost.iteration import Iteration, generated_batch
from mmssl.experiments.cost.report import as_values, lines_of
from mmssl.experiments.cost.turns import Side, prepare
from mmssl.models.base import SemiSegmentor
from mmssl.registry import MODELS, RUNNERS
from mmssl.structures import Step
from mmssl.testing.emulated_graphs import EmulatedGraphs
from mmssl.testing.recorded_steps import compare_recorded_steps
from mmssl.utils.setup import load_config, register_all_modules
from tests.models.methods import test_all_methods as methods
from tests.tiny import build, raw_batch, segmentor

FIRST = WARM_UP + 1  # steps before the one that is recorded


@pytest.mark.parametrize(
    'tester, recorded',
    [
        (methods.TestSynFoC, 1),
        (methods.TestCPSCauSSL, 2),  # every other iteration moves its maps
        (methods.TestSASSNet, 2),  # two phases
    ],
)
def test_a_recorded_step_is_the_step(tester, recorded):
    graph = compare_recorded_steps(tester, 8)
    assert graph.recorded == recorded and not graph.told


def test_a_frozen_schedule_would_be_found(monkeypatch):
    """The comparison above fails where the iteration stays that of the recording."""
    monkeypatch.setattr(step_graph, 'tracing', lambda model, trace: nullcontext())
    with pytest.raises(AssertionError):
        compare_recorded_steps(methods.TestSynFoC, 8)


@MODELS.register_module()
class WatchedMethod(SemiSegmentor):
    """A method that learns from labels, with a term that a test sets."""

    extra = staticmethod(lambda model, batch, step: 0.0)

    def __init__(self, **options):
        super().__init__(**options)
        self.number, self.generator = 0, np.random.default_rng(0)
        self.register_buffer('calls', torch.zeros(()))

    def sup_loss(self, batch, logits, targets, step):
        self.calls += 1
        terms = super().sup_loss(batch, logits, targets, step)
        return {name: term + term * self.extra(self, batch, step) for name, term in terms.items()}


class Run:
    """Steps of a `WatchedMethod`, as written or recorded."""

    def __init__(self, extra, recorded, wrapper=OptimWrapper, device='cpu', **options):
        self.model = build(dict(type='WatchedMethod', students=dict(net=segmentor()))).to(device)
        self.model.extra = extra
        self.wrapper = wrapper(torch.optim.SGD(self.model.parameters(), lr=0.05), **options)
        if recorded:
            recorder = CudaRecorder() if device == 'cuda' else EmulatedGraphs()
            self.model.train_step = StepGraph(self.model, recorder)
        self.losses = []

    def step(self, t, iters=20, more=None, **batch):
        self.model.step = Step(t, iters)
        torch.manual_seed(t), random.seed(t), np.random.seed(t)  # noqa: NPY002
        raw = raw_batch(**{'seed': t % 2, 'side': 16, **batch})
        if more is not None:
            raw['inputs']['more'] = more
        n = len(raw['inputs']['x_w'])
        raw['data_samples']['labelled'] = [
            BaseDataElement(metainfo=dict(domain='AB'[t % 2], ids=t)) for _ in range(n)
        ]
        self.losses.append(self.model.train_step(raw, self.wrapper)['loss'].item())
        return self

    @property
    def graph(self):
        return self.model.train_step


def both(extra, iters=14, change=lambda model, t: None, **options):
    """Run as written and recorded, compare bit by bit, and return the recorded one."""
    runs = [Run(extra, recorded, **options) for recorded in (False, True)]
    for run in runs:
        for t in range(iters):
            change(run.model, t)
            run.step(t)
    plain, recorded = runs
    assert recorded.losses == plain.losses
    a, b = (run.model.state_dict() for run in runs)
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert recorded.model.calls == iters, 'a recording is no step'
    return recorded


def test_numbers_of_a_schedule_follow_the_iteration():
    def extra(model, batch, step):
        share = min(0.4, step.progress) ** 2 + model.ramp(step.iter, step.max_iters)
        late = (batch['x_w']['net'] > 1 - step.progress).float().mean()
        return share / 2 + late * (step.iter // 3) - round(step.progress, 1)

    run = both(extra)
    assert not run.graph.told and run.graph.recorded == 2, 'min has taken one, then the other'
    assert not isinstance(run.model.step.iter, Traced)


@pytest.mark.parametrize(
    'name, extra, text',
    [
        ('value', lambda m, b, s: math.sin(s.iter), 'the answer at test_step_graph.py:'),
        ('python', lambda m, b, s: setattr(m, 'number', m.number + 1) or 0.0, 'Method.number is'),
        ('own draws', lambda m, b, s: m.generator.random(), 'Method.generator is changed'),
        ('draws', lambda m, b, s: random.random(), 'it draws random numbers on the host'),
        ('numpy', lambda m, b, s: np.random.rand(), 'it draws random numbers'),  # noqa: NPY002
        ('item', lambda m, b, s: b['x_w']['net'].mean().item(), 'waits for the device in aten'),
        ('shape', lambda m, b, s: b['x_w']['net'][b['x_w']['net'] > 0].mean(), 'in aten.index'),
        ('scalar', lambda m, b, s: torch.full((), s.progress), 'waits for the device in aten'),
        ('domain', lambda m, b, s: float(b.about('ids', True)[0]), 'structures.py:'),
        ('samples', lambda m, b, s: b.samples['labelled'][0].ids, 'data samples for "ids"'),
    ],
)  # fmt: skip
def test_what_cannot_be_repeated_runs_as_written_and_is_named(name, extra, text, monkeypatch):
    said = []
    monkeypatch.setattr(step_graph, 'print_log', lambda line, *about: said.append(line))
    both(extra, FIRST + MOST)
    assert len(said) == 1 and text in said[0], said
    assert 'the step runs as written, for ' in said[0]


def test_a_step_that_is_broken_off_leaves_no_trace():
    """Modes, buffers, gradients and draws are as before when it runs as written."""

    def extra(model, batch, step):
        model.students['net'].eval()
        torch.rand(())
        value = batch['x_w']['net'].mean().item() + torch.rand(())
        model.students['net'].train()
        return value

    assert both(extra).graph.told


def test_branches_have_recordings_of_their_own():
    run = both(lambda m, b, s: 0.5 if s.iter % 4 == 3 else 0.25, iters=16)
    assert run.graph.recorded == 2 and not run.graph.told
    run = both(lambda m, b, s: 0.5 * (b.about('domain', True)[0] == 'A'))
    assert run.graph.recorded == 2 and not run.graph.told


def test_what_changes_in_the_model_between_steps_is_seen():
    def change(model, t):
        if t == 6:
            model.number = 0.5
        if t == 10:
            model.register_buffer('calls', model.calls.clone())

    run = both(lambda m, b, s: m.number, iters=16, change=change)
    assert run.graph.recorded == 3 and not run.graph.told


def test_a_batch_of_another_size_is_no_repetition():
    runs = [Run(lambda m, b, s: s.progress, recorded) for recorded in (False, True)]
    for run in runs:
        for t in range(8):
            run.step(t, n_l=1 if t == 6 else 2)
    assert runs[0].losses == runs[1].losses
    assert runs[1].graph.recorded == 1 and len(runs[1].graph.forms) == 2


def test_what_a_batch_holds_beside_tensors_is_not_frozen(monkeypatch):
    """An array may change unseen; a text that always does makes every batch one of its own kind."""
    monkeypatch.setattr(step_graph, 'FORMS', 6)
    for name, value, text in (
        ('array', lambda t: np.eye(1, 2000, 1000)[0] * t, 'the batch holds a ndarray'),
        ('text', lambda t: str(t), 'unlike the first 6 kinds'),
        ('fixed', lambda t: '3', None),
    ):
        runs = [Run(lambda m, b, s: float(max(b['more'])) / 9, on) for on in (False, True)]
        for run in runs:
            for t in range(9):
                run.step(t, more=value(t))
        assert runs[0].losses == runs[1].losses, name
        told = runs[1].graph.told
        assert not told if text is None else len(told) == 1 and text in next(iter(told)), told
        assert len(runs[1].graph.forms) <= 6


def test_what_is_outside_of_the_recording():
    """The gradient scaler scales in the recording, and moves outside; clipping is outside."""
    options = dict(wrapper=Scaled, clip_grad=dict(max_norm=0.1))
    run = both(lambda m, b, s: s.progress, **options)
    assert run.graph.recorded == 1
    assert run.wrapper._inner_count == 14
    run = both(lambda m, b, s: 0.0, accumulative_counts=2)
    assert not run.graph.recorded and 'gradients are accumulated' in next(iter(run.graph.told))


class Scaled(OptimWrapper):
    """A wrapper with a scale on the device that changes at every step."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss_scaler = nn.Module()
        self.loss_scaler._scale, self.loss_scaler._enabled = torch.ones(()), True

    def backward(self, loss, **kwargs):
        super().backward(loss * self.loss_scaler._scale)

    def step(self, **kwargs):
        super().step(**kwargs)
        self.loss_scaler._scale *= 1.1


@pytest.fixture
def on_cuda(monkeypatch):
    """Let the lever take this CPU for a CUDA device."""
    real = levers.record_steps
    monkeypatch.setattr(levers, 'record_steps', lambda model, _, *more: real(model, 'cuda', *more))
    monkeypatch.setattr(step_graph, 'CudaRecorder', lambda compiled: EmulatedGraphs())


@pytest.mark.parametrize('model', ['ImageToyModel', 'PhasedToyModel'])
def test_a_run_and_its_resumption_are_those_without_the_lever(tmp_path, on_cuda, model):
    def train(folder, **options):
        ToyMetric.count = 0
        runner = RUNNERS.build(config(tmp_path / folder, model=dict(type=model), **options))
        runner.train()
        return vars(runner.bare_model).get('train_step')

    assert train('plain') is None
    speed = dict(cuda_graph=True)
    graph = train('whole', speed=speed)
    assert graph.recorded == dict(ImageToyModel=1, PhasedToyModel=2)[model] and not graph.told
    assert_same_run(tmp_path / 'plain', tmp_path / 'whole')
    train('half', max_iters=4, speed=speed)
    assert train('half', resume=True, speed=speed).recorded
    assert_same_run(tmp_path / 'plain', tmp_path / 'half')


def test_what_a_benchmark_measures_is_recorded(on_cuda):
    path = Path(__file__).parents[2] / 'configs/sup_only/lite_fundus.py'
    register_all_modules()
    cfg = load_config(path, {'speed.cuda_graph': True})
    side = prepare(lambda: Side('recorded', Iteration(cfg, generated_batch(cfg, 32))), 0, 'cpu')
    assert side.step.recorded == 1 and as_values(side)['recorded'] == 1
    assert '1 passes are repeated as CUDA graphs' in lines_of(side, 'cpu', None)
    assert side.work.total.flop, 'it is counted as written'


class OfItsOwn(SemiSegmentor):
    def train_step(self, data, optim_wrapper):
        return {}


@pytest.mark.parametrize(
    'device, alone, cls, why',
    [
        ('cpu', True, SemiSegmentor, 'the model is not on a CUDA device'),
        ('cuda', False, SemiSegmentor, 'several processes exchange their gradients'),
        ('cuda', True, OfItsOwn, 'OfItsOwn has a train_step of its own'),
    ],
)
def test_where_the_lever_has_no_effect_it_says_so(device, alone, cls, why, monkeypatch):
    said = []
    monkeypatch.setattr(step_graph, 'print_log', lambda line, *about: said.append(line))
    model = cls.__new__(cls)
    nn.Module.__init__(model)
    step_graph.record_steps(model, device, alone)
    assert 'train_step' not in vars(model) and len(said) == 1
    assert f'speed.cuda_graph has no effect: {why}' in said[0]


def test_a_tensor_of_the_host_is_seen_where_it_meets_the_device():
    there, here = torch.ones(3, device='meta'), torch.ones(())
    with HostTensors('meta') as seen:
        there + there.new_zeros(3).sum()
        here + here
    assert seen.why is None
    with HostTensors('meta') as seen:
        there * here
    assert 'a tensor of the host at test_step_graph.py:' in seen.why


class Cuda:
    """The calls of `torch.cuda` that record and repeat, on a CPU; `said` is their order."""

    def __init__(self, monkeypatch):
        self.said, self.touched, self.mode = [], [], 0
        for name in (
            'Stream', 'current_stream', 'stream', 'graph_pool_handle', 'CUDAGraph', 'graph',
            'get_sync_debug_mode', 'set_sync_debug_mode', 'get_rng_state',
        ):  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    class Stream:
        def __init__(self, name='aside'):
            self.name = name

        def wait_stream(self, other):
            assert {self.name, other.name} == {'aside', 'current'}

    def current_stream(self):
        return self.Stream('current')

    @contextmanager
    def stream(self, stream):
        self.said.append(stream.name)
        yield

    def graph_pool_handle(self):
        return 'pool'

    class CUDAGraph:
        def replay(self):
            self.made.replay()

    @contextmanager
    def graph(self, graph, pool, stream, capture_error_mode):
        assert (pool, stream.name, capture_error_mode) == ('pool', 'aside', 'thread_local')
        self.said.append('record')
        with EmulatedGraphs().recording(self.touched) as graph.made:
            yield

    def get_sync_debug_mode(self):
        return self.mode

    def set_sync_debug_mode(self, mode):
        self.mode = mode

    def get_rng_state(self):
        return torch.get_rng_state()


@pytest.fixture
def cuda(monkeypatch):
    return Cuda(monkeypatch)


def record_as_on_cuda(cuda, extra, monkeypatch):
    """Run as written and with the recorder of CUDA, compare, and return the latter."""
    plain, recorded = Run(extra, recorded=False), Run(extra, recorded=True)
    recorder = CudaRecorder()
    monkeypatch.setattr(recorder, 'draws', lambda: None)  # here the host's is the device's
    recorded.graph.recorder = recorder
    model = recorded.model
    for run in (plain, recorded):
        for t in range(FIRST + 4):
            cuda.touched = [*model.parameters(), *model.buffers()]
            run.step(t)
    assert recorded.losses == plain.losses
    return recorded.graph


def test_the_recorder_of_cuda_asks_in_the_order_of_pytorch(cuda, monkeypatch):
    graph = record_as_on_cuda(cuda, lambda m, b, s: s.progress + torch.rand(()), monkeypatch)
    assert cuda.said == [*['aside'] * FIRST, 'current', 'record']
    assert graph.recorded == 1 and not graph.told and cuda.mode == 0


def waits(model, batch, step):
    if torch.cuda.get_sync_debug_mode() == 'warn':
        warnings.warn('called a synchronizing CUDA operation', stacklevel=1)
    return 0.0


@pytest.mark.parametrize(
    'extra, text',
    [
        (waits, 'it waits for the device at test_step_graph.py:'),
        (lambda m, b, s: 0.0 * len(torch.cuda.get_rng_state()), 'it takes the state of the random'),
    ],
)
def test_what_cuda_cannot_record_is_said_before(cuda, monkeypatch, extra, text):
    graph = record_as_on_cuda(cuda, extra, monkeypatch)
    assert 'record' not in cuda.said and text in next(iter(graph.told))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_cuda_graphs_repeat_the_step_on_a_gpu():
    def extra(model, batch, step):
        noise = torch.rand((), device=model.calls.device)
        return noise * step.progress + model.ramp(step.iter, step.max_iters) / (1 + step.iter % 2)

    run = both(extra, device='cuda')
    assert run.graph.recorded == 1 and not run.graph.told
    waiting = both(lambda m, b, s: b['x_w']['net'].mean().item(), device='cuda')
    assert 'waits for the device at' in next(iter(waiting.graph.told))
