"""Each lever trains the same, faster or smaller; without them nothing is another bit."""

import copy
import importlib.util
import logging
from pathlib import Path

import pytest
import torch
from engine_toy import ToyMetric, config
from same_runs import assert_same_run
from torch import nn

from mmssl.engine.speed import Speed, regions
from mmssl.engine.speed.levers import channels_last
from mmssl.engine.speed.recompute import recompute_norms
from mmssl.experiments.cost.work import WorkCounter
from mmssl.models.methods.ss_net.vat import frozen_statistics
from mmssl.models.unet import UNet, UNetEncoder
from mmssl.models.volumetric import VNetEncoder
from mmssl.registry import MODELS, RUNNERS
from mmssl.utils.errors import SettingError
from mmssl.utils.setup import register_all_modules

NETWORKS = {
    'unet': (lambda: UNet(1, 4, 2), (3, 1, 16, 16)),
    'ssl4mis': (lambda: UNetEncoder(1, (4, 8), (0.2, 0.3)), (3, 1, 16, 16)),
    'vnet': (lambda: VNetEncoder(1, (4, 8), (1, 2), norm_cfg=dict(type='BN')), (2, 1, 8, 8, 8)),
}


class Method(nn.Module):
    """What the levers meet: a student and its teacher."""

    def __init__(self, network):
        super().__init__()
        self.students = nn.ModuleDict(dict(net=nn.Sequential(network)))
        self.teachers = copy.deepcopy(self.students).requires_grad_(False)


def method(name, **options):
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    model = Method(make())
    Speed(**options).apply(model)
    return model, torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)


def learn(model, x):
    """Return gradients, buffers and the loss of one pass, with dropout."""
    model.train()
    torch.manual_seed(1)
    loss = sum(y.square().mean() for y in model.students.net(x))
    loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**found, **dict(model.named_buffers()), 'loss': loss.detach()}


@pytest.mark.parametrize('name', NETWORKS)
def test_norms_computed_again_change_no_bit(name):
    plain, x = method(name)
    saving, _ = method(name, recompute='norms')
    with WorkCounter() as kept:
        expected = learn(plain, x)
    with WorkCounter() as again:
        found = learn(saving, x)
    assert found.keys() == expected.keys() and len(found) > 8
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    assert again.total.flop == kept.total.flop, 'no convolution is made twice'
    assert again.peak < kept.peak
    assert again.total.operations > kept.total.operations


def test_norms_are_computed_again_in_the_modes_of_the_forward_pass():
    """VAT leaves running statistics alone in its forward passes, not in the backward pass."""
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
        if recompute:
            assert recompute_norms(net) == 1
        x = torch.rand(2, 1, 12, 12)
        with frozen_statistics(net):
            frozen = net(x)
        net.eval()
        tested = net(x)
        net.train()
        (frozen.square().mean() + tested.mean()).backward()
        assert net[1].training and net[1].track_running_stats
        assert net[1].running_mean.abs().sum() == 0, 'no pass moved them'
        gradients.append([p.grad.clone() for p in net.parameters()])
    assert all(map(torch.equal, *gradients))


def test_only_what_trains_is_recomputed():
    model, x = method('unet', recompute='norms')
    with torch.no_grad(), WorkCounter() as work:
        model.students.net(x)
        model.teachers.net(x)
    plain, _ = method('unet')
    with torch.no_grad(), WorkCounter() as expected:
        plain.students.net(x)
        plain.teachers.net(x)
    assert work.total == expected.total
    assert recompute_norms(nn.Sequential(nn.Linear(2, 2), nn.ReLU())) == 0
    assert recompute_norms(model.students) == 0, 'once is enough'


@pytest.mark.parametrize('name', NETWORKS)
def test_channels_innermost_are_the_same_to_rounding(name):
    plain, x = method(name)
    inner, _ = method(name, channels_last=True)
    for module in (*plain.modules(), *inner.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # its draws follow the order in memory
    order = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    maps = [m.students.net(x)[-1] for m in (plain, inner)]
    assert [y.is_contiguous(memory_format=order) for y in maps] == [False, True]
    expected, found = learn(plain, x), learn(inner, x)
    for key, value in expected.items():
        assert torch.allclose(found[key], value, rtol=1e-4, atol=1e-5), key
    weights = [p for p in inner.parameters() if p.dim() == x.dim() and p.shape[1] > 1]
    assert weights and all(p.is_contiguous(memory_format=order) for p in weights)


def test_the_state_of_an_optimiser_follows_its_weights():
    model, x = method('unet')
    optimizer = torch.optim.SGD(model.students.parameters(), lr=0.1, momentum=0.9)
    learn(model, x)
    optimizer.step()
    wrapper = type('Wrapper', (), {'optimizer': optimizer})()
    before = {p: s['momentum_buffer'].clone() for p, s in optimizer.state.items()}
    channels_last(model, wrapper)
    for parameter, state in optimizer.state.items():
        assert torch.equal(state['momentum_buffer'], before[parameter])
        assert state['momentum_buffer'].stride() == parameter.stride()


@pytest.mark.parametrize(
    'optimizer', [dict(type='SGD', lr=0.1, momentum=0.9), dict(type='AdamW', lr=0.01)]
)
def test_fused_optimisers_are_the_same_to_rounding(optimizer):
    from mmengine.optim import build_optim_wrapper

    register_all_modules()
    weights = []
    for fused in (False, True):
        model, x = method('unet')
        cfg = dict(constructor='MultiOptimWrapperConstructor', optimizers=dict(net=optimizer))
        wrapper = build_optim_wrapper(model, Speed(fused=fused).optimizers(cfg))
        assert bool(wrapper['net'].optimizer.param_groups[0]['fused']) == fused
        for _ in range(3):
            learn(model, x)
            wrapper.step()
            wrapper.zero_grad()
        weights.append(torch.cat([p.detach().flatten() for p in model.students.parameters()]))
    assert torch.allclose(*weights, rtol=1e-5, atol=1e-6)
    assert 'fused' not in optimizer, 'the config is as it was'


def test_what_has_no_fused_form_stays():
    register_all_modules()
    cfg = dict(type='OptimWrapper', optimizer=dict(type='Rprop', lr=0.1))
    assert Speed(fused=True).optimizers(cfg) == cfg
    cfg = dict(optimizer=dict(type='SGD', lr=0.1, fused=False))
    assert Speed(fused=True).optimizers(cfg) == cfg, 'what the config says counts'


def encoder(**options):
    register_all_modules()
    torch.manual_seed(0)
    arch = dict(embed_dims=32, depth=3, num_heads=2, global_blocks=(1,))
    cfg = dict(type='LoRAMedSAM', img_size=64, random_trunk_seed=0, arch=arch)
    net = MODELS.build({**cfg, **options})
    net.init_weights()
    for name, p in net.named_parameters():
        if 'lora_B' in name:
            nn.init.normal_(p, std=0.1)
    return net


def test_fused_attention_of_sam_multiplies_for_real_tokens_alone():
    """Windows of 14 tokens in a grid of 4: 9 in 10 of their tokens are none."""
    plain, fused = encoder(), encoder()
    fused.set_attention('sdpa')
    x = torch.rand(2, 3, 64, 64)
    found, tokens, whole = [], [], []
    for net in (plain, fused):
        net.trunk.blocks[0].attn.k.register_forward_hook(
            lambda _, given, y: tokens.append(given[0].shape[:-1].numel())
        )
        net.trunk.blocks[0].attn.proj.register_forward_pre_hook(
            lambda _, given: whole.append(given[0].is_contiguous())
        )
        y = net(x)[0]
        y.square().mean().backward()
        found.append((y, {n: p.grad for n, p in net.named_parameters() if p.requires_grad}))
    assert tokens == [2 * 14 * 14, 2 * 4 * 4]
    assert all(whole), 'else PyTorch copies frozen weights for each row of tokens'
    assert torch.allclose(found[1][0], found[0][0], rtol=1e-4, atol=1e-5)
    for name, grad in found[0][1].items():
        assert torch.allclose(found[1][1][name], grad, rtol=1e-3, atol=1e-6), name
    fused.set_attention('plain')
    assert torch.equal(fused(x)[0], plain(x)[0])
    assert fused.state_dict().keys() == plain.state_dict().keys()


def test_blocks_computed_again():
    model = Method(encoder())
    Speed(recompute='blocks', attention='sdpa').apply(model)
    assert model.students.net[0].with_cp and not model.teachers.net[0].with_cp
    assert {block.attn.mode for block in model.teachers.net[0].trunk.blocks} == {'sdpa'}


def test_teachers_alone_compute_in_half():
    plain, x = method('unet')
    model, _ = method('unet', teachers='bfloat16')
    expected, found = (m.train().teachers.net(x)[0] for m in (plain, model))
    assert found.dtype == torch.float32 and not torch.equal(found, expected)
    assert torch.allclose(found, expected, atol=0.1)
    assert torch.equal(model.students.net(x)[0], plain.students.net(x)[0])


@pytest.fixture
def traced(monkeypatch):
    """Let regions be traced as for a compiler, and run by PyTorch as they are."""
    asked = []
    real = torch.compile

    def compile(function, **options):
        asked.append(options)
        return real(function, backend='aot_eager', **{**options, 'mode': None})

    monkeypatch.setattr(torch, 'compile', compile)
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', 'kept')
    monkeypatch.setattr(regions, 'no_compiler', lambda device: None)
    torch._dynamo.reset()
    return asked


@pytest.mark.parametrize('name', ['unet', 'vnet'])
def test_regions_have_no_graph_break(name, traced):
    plain, x = method(name)
    model, _ = method(name, compile=True)
    assert len(traced) == 2 and traced[0] == dict(fullgraph=True, dynamic=False)
    expected, found = learn(plain, x), learn(model, x)
    assert model.students.net[0].forward.works, 'nothing fell back'
    for key, value in expected.items():
        assert torch.allclose(found[key], value, rtol=1e-4, atol=1e-6), key
    with torch.no_grad():
        model.teachers.net(x)
    counted = torch._dynamo.utils.counters['stats']['unique_graphs']
    model.eval()
    model.students.net(torch.cat([x, x]))
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == counted > 0


def test_operations_that_are_counted_are_run_as_written(traced):
    model, x = method('unet', compile=True)
    with WorkCounter(()):
        model.students.net(x)
    assert model.students.net[0].forward.works is None, 'not yet tried'
    model.students.net(x)
    assert model.students.net[0].forward.works


def test_blocks_of_one_kind_are_compiled_once(traced):
    arch = dict(embed_dims=32, depth=6, num_heads=2, global_blocks=(1, 4))
    net = encoder(attention='sdpa', arch=arch)
    model = Method(net)
    torch._dynamo.utils.counters.clear()
    Speed(compile=True).apply(model)
    blocks = model.students.net[0].trunk.blocks
    assert len(traced) == 2 * len(blocks)
    x = torch.rand(1, 3, 64, 64)
    y = model.train().students.net(x)[0]
    assert all(block.forward.works for block in blocks)
    assert torch.allclose(y, encoder(attention='sdpa', arch=arch)(x)[0], rtol=1e-4, atol=1e-5)
    # The first, whose images have no gradient, those with windows, those with the whole grid.
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 3


class Breaks(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def compiled_regions(self):
        return [self]

    def forward(self, x):
        print(end='')
        return x + self.weight


def test_what_cannot_be_compiled_runs_as_written(traced, caplog):
    model = Method(Breaks())
    with caplog.at_level(logging.WARNING):
        Speed(compile=True).apply(model)
        y = model.train().students.net(torch.ones(2))
    assert torch.equal(y, torch.full((2,), 2.0))
    assert model.students.net[0].forward.works is False


def test_without_a_compiler_nothing_changes(monkeypatch, caplog):
    monkeypatch.setattr('shutil.which', lambda name: None)
    monkeypatch.delenv('CXX', raising=False)
    model, _ = method('unet')
    with caplog.at_level(logging.WARNING):
        Speed(compile=True).apply(model)
    assert 'forward' not in vars(model.students.net[0])
    assert regions.no_compiler('cpu') == 'there is no C++ compiler (g++, clang++, c++)'


@pytest.mark.parametrize(
    'given, text',
    [
        (dict(attn='sdpa'), 'speed has no lever "attn"; did you mean "attention"'),
        (dict(attention='fast'), "speed.attention is 'fast'; it must be one of None, 'plain'"),
        (dict(fused='yes'), "speed.fused is 'yes'; it must be one of True, False"),
        (dict(compile=True, recompute='all'), 'leave speed.recompute out'),
    ],
)
def test_levers_that_do_not_exist(given, text):
    with pytest.raises(SettingError, match=text):
        Speed.of(dict(speed=given))


def test_without_levers_nothing_is_touched():
    model, _ = method('unet')
    before = {name: vars(m).copy() for name, m in model.named_modules()}
    strides = [p.stride() for p in model.parameters()]
    Speed.of({}).apply(model)
    assert {name: vars(m) for name, m in model.named_modules()} == before
    assert strides == [p.stride() for p in model.parameters()]


LEVERS = [dict(channels_last=True, fused=True), dict(recompute='norms', teachers='half')]


@pytest.mark.parametrize('speed', LEVERS, ids=['layout and optimisers', 'recompute'])
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path, speed):
    def train(folder, **options):
        cfg = config(tmp_path / folder, model=dict(type='ImageToyModel'), speed=speed, **options)
        ToyMetric.count = 0
        runner = RUNNERS.build(cfg)
        runner.train()
        return runner

    weight = train('whole').bare_model.students.unet[0].weight
    inner = weight.is_contiguous(memory_format=torch.channels_last)
    assert inner == ('channels_last' in speed)
    train('half', max_iters=4)
    train('half', resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'half')


@pytest.mark.parametrize(
    'words, levers',
    [
        ([], None),
        (['--fast'], dict(fast=True)),
        (['--cuda-graph', '--compile'], dict(compile=True, cuda_graph=True)),
        (['--cuda-graph'], dict(cuda_graph=True)),
        (['--fast', '--compile'], dict(fast=True, compile=True)),
    ],
)
def test_flags_of_train(monkeypatch, words, levers):
    path = Path(__file__).parents[2] / 'tools/train.py'
    spec = importlib.util.spec_from_file_location('train_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    config_file = path.parents[1] / 'configs/fixmatch/lite_fundus.py'
    monkeypatch.setattr('sys.argv', ['train.py', str(config_file), *words])
    assert tool.build_config(tool.parse_args()).get('speed') == levers


def test_fast_is_three_levers_of_which_each_can_be_put_back():
    found = Speed.of(dict(speed=dict(fast=True, channels_last=False, recompute='norms')))
    assert found == Speed(attention='sdpa', fused=True, recompute='norms')
    assert Speed.of(dict(speed=dict(fast=False))) == Speed.of({}) == Speed()
