"""What an iteration costs: counted by part, timed in turns, beside a step from outside."""

import gc
import json
import re
import statistics
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmssl.experiments.cost import cards
from mmssl.experiments.cost.adapter import Setting, load_adapter
from mmssl.experiments.cost.iteration import Iteration, generated_batch
from mmssl.experiments.cost.turns import Side, check, ratio, take_turns
from mmssl.experiments.cost.work import OPTIMISERS, REST, WorkCounter
from mmssl.utils.errors import SettingError
from mmssl.utils.setup import load_config, register_all_modules

ROOT = Path(__file__).parents[2]
SMALL = {
    'model.students.unet.backbone.base_channels': 4,
    'model.students.unet.decode_head.in_channels': 4,
    'model.students.unet.decode_head.channels': 4,
}


def config(path='configs/fixmatch/lite_fundus.py', **options):
    register_all_modules()
    return load_config(ROOT / path, {**SMALL, **options})


def test_generated_batches_have_the_parts_of_the_data():
    """DTC's maps are one for each part that ACDC scores."""
    cfg = config('configs/dtc/acdc.py')
    assert generated_batch(cfg, 48)['inputs']['x_maps'][0].shape[0] == 3
    with pytest.raises(ValueError, match='no train_dataloader'):
        generated_batch(config('configs/medsam/acdc.py'), 48)


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_arithmetic_is_that_of_pytorch(device):
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 1, 1)).to(device)
    x = torch.zeros(2, 2, 8, 8, device=device)
    with FlopCounterMode(display=False) as known:
        net(x).sum().backward()
    with WorkCounter([('net', net, 'forward')]) as work:
        net(x).sum().backward()
    assert work.total.flop == known.get_total_flops() > 0
    forward, backward = work.of('net')
    assert forward.operations == 3 and forward.flop == 2 * 128 * (2 * 3 * 9 + 3)
    assert backward.operations == 3 and forward.flop + backward.flop == work.total.flop
    assert 'forward' not in vars(net), 'the network is as it was'


def test_bytes_are_those_of_inputs_and_outputs_and_views_are_free():
    a, b = torch.zeros(10, 20), torch.zeros(20, 30)
    with WorkCounter() as work:
        a.t().reshape(20, 10)[None].squeeze(0)
        work.rows.clear()
        a @ b
        a.view(-1)
    assert vars(work.total) == dict(
        operations=1, flop=2 * 10 * 20 * 30, bytes=4 * (200 + 600 + 300)
    )


def test_memory_is_that_of_the_tensors_that_live_at_a_time():
    n = 1 << 20
    x = torch.zeros(n, requires_grad=True)
    gc.collect()
    with WorkCounter() as work:
        kept = x.exp()  # saved for the backward pass
        size = work.peak
        loss = (kept * 2).sum()
        between = work.peak
        del kept
        loss.backward()
    assert size == 8 * n, 'x and its exponential'
    assert between == pytest.approx(12 * n, abs=64)
    assert work.peak == pytest.approx(16 * n, abs=64), 'x, what is saved, the gradient twice'


def test_backward_belongs_to_the_part_that_made_the_graph():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 2)

    net = Two()
    parts = [(name, child, 'forward') for name, child in net.named_children()]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    parts.append((OPTIMISERS, optimizer, 'step'))
    x = torch.ones(3, 4)
    with WorkCounter(parts) as work:
        (net.second(net.first(x).relu()) + net.second(net.first(2 * x))).square().sum().backward()
        optimizer.step()
    assert work.of('first')[1].flop == 2 * 2 * 3 * 4 * 8, 'of the weight alone'
    assert work.of('second')[1].flop == 2 * 2 * 2 * 3 * 8 * 2
    assert work.of(REST)[1].flop == 0 and work.of(REST)[1].operations
    assert work.of(OPTIMISERS)[0].operations == 4, 'one for each parameter'


def test_fused_attention_is_counted():
    q = torch.zeros(1, 2, 16, 8, requires_grad=True)
    with WorkCounter() as work:
        nn.functional.scaled_dot_product_attention(q, q, q).sum().backward()
    forward = 2 * 2 * 2 * 16 * 16 * 8
    assert work.total.flop == forward * 7 // 2, 'the backward pass makes the products again'


def test_an_iteration_is_all_of_it():
    """Losses, gradients, the optimiser's step and the teacher's; counted as on the meta device."""
    cfg = config()
    batch = generated_batch(cfg, 32)
    step = Iteration(cfg, batch)
    student, teacher = step.model.students.unet, step.model.teachers.unet
    before = [p.detach().clone() for p in (*student.parameters(), *teacher.parameters())]
    work = step.count()
    after = [*student.parameters(), *teacher.parameters()]
    assert sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) > 60
    names = {part for part, _ in work.rows}
    assert {
        'student unet: backbone', 'student unet: decode_head', 'teacher unet: backbone',
        'moving the teachers', OPTIMISERS, REST,
    } <= names  # fmt: skip
    assert work.of('teacher unet: backbone')[1].operations == 0
    counted = Iteration(cfg, batch, 'meta').count()
    assert counted.total.flop == work.total.flop > 0
    assert counted.peak == pytest.approx(work.peak, rel=0.02)


def test_generated_images_have_a_domain():
    """Some methods ask for it."""
    samples = generated_batch(config(), 32)['data_samples']
    assert [one.domain for kind in samples.values() for one in kind] == 4 * ['generated']


def test_turns_and_their_ratio():
    order = []
    sides = [Side('a', lambda: order.append('a')), Side('b', lambda: order.append('b'))]
    take_turns(sides, 3, 'cpu')
    assert order == list('ababab') and [len(side.times) for side in sides] == [3, 3]
    assert all(len(side.worked) == 3 for side in sides)
    found, low, high = ratio([1.0, 2.0, 6.0, 3.0], [2.0, 2.0, 2.0, 2.0])
    assert found == statistics.median([1, 2, 6, 3]) / 2 and low < found < high
    with pytest.raises(ValueError, match='loss became NaN'):
        check({'loss': torch.tensor(float('nan'))})


def test_a_step_from_outside(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        textwrap.dedent("""
        def make_step(setting):
            def step():
                return setting.device, int(setting.options['side'])
            return step
        """)
    )
    setting = Setting('cpu', None, {}, None, {'side': '3'})
    assert load_adapter(path, setting)() == ('cpu', 3)
    with pytest.raises(SettingError, match='neither a config nor a file'):
        load_adapter(tmp_path / 'none.py', setting)
    path.write_text('x = 1')
    with pytest.raises(SettingError, match='has no function make_step'):
        load_adapter(path, setting)


def test_peaks_of_cards():
    assert cards.card_peak('NVIDIA H200', True) == 989e12
    assert cards.card_peak('NVIDIA H100 PCIe', True) == 756e12
    assert cards.card_peak('NVIDIA A100-SXM4-80GB', False) == 19.5e12
    assert cards.card_peak('NVIDIA A10', True) == 125e12 != cards.card_peak('NVIDIA A100', True)
    assert cards.card_peak('Some card', True) is None
    speed, source = cards.yardstick('cpu', None)
    assert speed > 1e9 and 'measured' in source and cards.yardstick('meta', None) is None


FAKE = {
    'sam_lora_image_encoder.py': """
        from icecream import ic
        from torch import nn
        class LoRA_Sam(nn.Module):
            def __init__(self, sam, rank):
                super().__init__()
                self.sam = sam
                self.w_As, self.w_Bs = [nn.Linear(2, rank)], [nn.Linear(rank, 2)]
            def forward(self, x, multimask, size):
                x = nn.functional.interpolate(x[:, :1], size=(size // 4, size // 4))
                return dict(low_res_logits=self.sam.mask_decoder(x))
        """,
    'segment_anything.py': """
        from torch import nn
        def vit_b(image_size, num_classes, pixel_mean, pixel_std):
            sam = nn.Module()
            sam.mask_decoder, sam.prompt_encoder = nn.Conv2d(1, 2, 1), nn.Linear(2, 2)
            return sam, image_size // 16
        sam_model_registry = dict(vit_b=vit_b)
        """,
    'networks/unet_model.py': """
        from torch import nn
        def UNet(channels, classes):
            return nn.Sequential(nn.Conv2d(channels, classes, 1), nn.BatchNorm2d(classes))
        """,
    'utils/metrics.py': """
        def dice_coeff(pred, target, ret_arr):
            return [[float((a == b.numpy()).mean()) for a, b in zip(pred, target)]]
        """,
    'utils/losses.py': """
        def DiceLossWithMask(classes):
            return lambda z, y, mask=None, softmax=False: z.softmax(1)[:, 1].mean()
        """,
}


def test_the_released_step_runs_from_a_checkout(tmp_path):
    """On a stand-in with the names of the checkout; what is installed stays what it was."""
    for name, text in FAKE.items():
        (tmp_path / 'code' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'code' / name).write_text(textwrap.dedent(text))
    cfg = config('configs/synfoc/prostate.py')
    installed = sys.modules.get('segment_anything')
    options = dict(checkout=str(tmp_path), sam='32', unet='24')
    path = ROOT / 'docs/en/released_synfoc.py'
    step = load_adapter(path, Setting('cpu', None, {}, cfg, options))
    assert sys.modules.get('segment_anything') is installed and 'icecream' not in sys.modules
    before = step.unet_teacher[0].weight.clone()
    assert step()['loss'].isfinite()
    assert not torch.equal(before, step.unet_teacher[0].weight)
    assert step.unet[0].weight.grad is not None
    as_there = {**options, 'precision': 'float32'}
    assert load_adapter(path, Setting('cpu', torch.bfloat16, {}, cfg, as_there)).dtype is None
    with pytest.raises(ValueError, match='checkout=FOLDER'):
        load_adapter(path, Setting('cpu', None, {}, cfg, {}))
    cfg.train_dataloader.batch_sampler.num_labelled = 1
    with pytest.raises(ValueError, match='as many of both'):
        load_adapter(path, Setting('cpu', None, {}, cfg, options))


def test_a_gpu_is_asked_for_kernels_and_memory(monkeypatch):
    """Stand-ins take the place of CUDA: the other side's tensors are not this side's memory."""
    from mmssl.experiments.cost import turns

    peaks = iter([700, 900, 650, 950])
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: None)
    monkeypatch.setattr(torch.cuda, 'reset_peak_memory_stats', lambda: None)
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda: next(peaks))
    sides = [Side('a', lambda: None, resident=100), Side('b', lambda: None, resident=300)]
    turns.take_turns(sides, 2, 'cuda')
    assert [side.memory for side in sides] == [400, 850]
    events = [SimpleNamespace(device_type=kind) for kind in ('CPU', 'CUDA', 'CUDA')]

    class Profile:
        def __init__(self, activities): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def events(self):
            return events

    monkeypatch.setattr('torch.profiler.profile', Profile)
    monkeypatch.setattr('torch.autograd.DeviceType', SimpleNamespace(CUDA='CUDA'))
    assert turns.kernels(lambda: None) == 2


def test_what_is_printed(capsys, tmp_path):
    from mmssl.experiments.cost.command import add_arguments, run_step
    from mmssl.utils.cli import Parser

    parser = Parser()
    add_arguments(parser)
    out = tmp_path / 'cost.json'
    words = [
        str(ROOT / 'configs/fixmatch/lite_fundus.py'), '--device', 'cpu', '--iters', '2',
        '--warm-up', '0', '--file-size', '32', '--profile', '--out', str(out),
        '--cfg-options', *[f'{key}={value}' for key, value in SMALL.items()],
        '--against-cfg-options', 'model.students.unet.backbone.base_channels=8',
        'model.students.unet.decode_head.in_channels=8',
        'model.students.unet.decode_head.channels=8',
    ]  # fmt: skip
    run_step(parser.parse_args(words))
    text = capsys.readouterr().out
    flops = [float(t.replace(',', '')) for t in re.findall(r'([\d,.]+) GFLOP, ', text)]
    assert len(flops) == 2 and 3 < flops[1] / flops[0] < 5, 'four times for twice the width'
    assert re.search(r'takes [\d.]+ of the time of .*base_channels=8', text)
    assert text.count('teacher unet: backbone') == 2 and '% of' in text
    values = json.loads(out.read_text())
    assert len(values['sides']) == 2 and len(values['sides'][0]['ms']) == 2
    assert values['sides'][0]['parts']['student unet: backbone']['backward']['flop'] > 0
    assert len(values['ratio']) == 3


@pytest.mark.parametrize('words', [['--adapter-options', 'a=b'], ['--against', 'no.py']])
def test_options_that_do_not_fit(words):
    from mmssl.experiments.cost.command import add_arguments, run_step
    from mmssl.utils.cli import Parser

    parser = Parser()
    add_arguments(parser)
    small = [f'{key}={value}' for key, value in SMALL.items()]
    base = [str(ROOT / 'configs/fixmatch/lite_fundus.py'), '--device', 'meta', '--file-size', '32']
    with pytest.raises((SettingError, FileNotFoundError)):
        run_step(parser.parse_args([*base, *words, '--cfg-options', *small]))


def test_levers_of_several_configs(tmp_path, monkeypatch, capsys):
    """One that fails does not end the others, and what does not fit in is named."""
    import importlib.util

    from mmssl.experiments.cost import levers

    path = ROOT / 'tools/analysis_tools/benchmark_levers.py'
    spec = importlib.util.spec_from_file_location('levers_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    own, out = str(ROOT / 'configs/fixmatch/lite_fundus.py'), tmp_path / 'levers.json'
    monkeypatch.setattr(levers, 'one_of_each_method', lambda: [own])
    words = [
        '--configs', own, 'no/config.py', '--device', 'cpu', '--iters', '1', '--warm-up', '0',
        '--file-size', '32', '--out', str(out), '--cfg-options',
    ]  # fmt: skip
    words += [f'{key}={value}' for key, value in SMALL.items()]
    tool.main(words)
    text, found = capsys.readouterr().out, json.loads(out.read_text())
    sides = found['configs'][own]['sides']
    assert [side['name'] for side in sides] == ['as it is', 'fast']
    assert (
        all(side['median_ms'] > 0 for side in sides) and len(found['configs'][own]['ratios']) == 1
    )
    assert 'no/config.py' in found['configs']['no/config.py']['error']
    assert found['waits'] == {own: dict(waits=False)} and '1 losses without waiting' in text
    monkeypatch.setattr(levers.time, 'monotonic', iter([0.0, *[1e9] * 9]).__next__)
    tool.main(words)
    assert json.loads(out.read_text())['left_out'] == [own, 'no/config.py', own]


def test_configs_that_are_measured_exist():
    from mmssl.experiments.cost import levers

    every = levers.one_of_each_method()
    assert 'configs/synfoc/lite_fundus.py' in every and len(every) > 20
    assert all((ROOT / path).is_file() for path in [*levers.CONFIGS, *every])
    assert levers.ADAPTER.is_file()
    with levers.nothing_waits('cpu'):
        pass
