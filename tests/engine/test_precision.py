"""Half precision where the device computes it well, float32 where it does not; said in the log."""

import os
import subprocess
import sys
import time

import pytest
import torch
from engine_toy import ToyModel, config
from mmengine.optim import build_optim_wrapper

from mmssl.engine import precision
from mmssl.engine.optim import use_amp
from mmssl.engine.precision import choose
from mmssl.registry import MODELS, RUNNERS

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='is about machines without CUDA')


@pytest.fixture
def said(monkeypatch):
    """Return what is said, as (level, text)."""
    lines = []
    monkeypatch.setattr(
        precision, 'print_log', lambda text, logger=None, level=20: lines.append((level, text))
    )
    precision._warn_if_slow.cache_clear()
    yield lines
    precision._warn_if_slow.cache_clear()


@pytest.fixture
def cpu(monkeypatch):
    """Return a function that says what this CPU is to be like."""

    def be(check, factor):
        monkeypatch.setattr(torch.ops.mkldnn, '_is_mkldnn_bf16_supported', lambda: check)
        monkeypatch.setattr(precision, 'slowness', lambda: factor)

    return be


@MODELS.register_module()
class WatchedToyModel(ToyModel):
    """A toy that notes in which type it computes."""

    seen: list = []

    def forward(self, inputs, labels=None, mode='tensor'):
        self.seen.append((mode, self.students['sam'][0](inputs).dtype))
        return super().forward(inputs, labels, mode)


@pytest.mark.parametrize(
    'wish, check, factor, name, why',
    [
        ('half', True, 0.4, 'bfloat16', '2.5 times as fast'),
        (True, True, 0.4, 'bfloat16', '2.5 times as fast'),
        ('half', False, 40.0, 'float32', 'no instructions'),
        (True, False, 0.1, 'float32', 'no instructions'),  # the check alone is enough
        ('half', True, 3.0, 'float32', '3.0 times the time'),
        ('auto', True, 0.4, 'float32', '--amp'),
        ('bfloat16', False, 40.0, 'bfloat16', 'by name'),
        (None, True, 0.4, 'float32', 'not asked for'),
        (False, True, 0.4, 'float32', 'not asked for'),
    ],
)
def test_choice_and_reason(cpu, said, wish, check, factor, name, why):
    cpu(check, factor)
    chosen = choose(wish, 'training')
    assert chosen.name == name and why in chosen.why
    level, text = said[-1]
    assert level == 20 and text.startswith(f'Precision of training: {name}: ') and why in text
    with chosen.autocast():
        assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2)).dtype == (
            chosen.dtype or torch.float32
        )


def test_a_torch_without_the_check_counts_as_emulating(monkeypatch, said):
    monkeypatch.setattr(torch.ops, 'mkldnn', object())
    assert choose('half').name == 'float32'


def test_who_insists_is_warned_once_with_the_factor(cpu, said):
    cpu(False, 41.7)
    choose('bfloat16')
    choose('bfloat16', 'validation')
    warnings = [text for level, text in said if level > 20]
    assert len(warnings) == 1 and '42 times as long' in warnings[0] and '--amp' in warnings[0]
    precision._warn_if_slow.cache_clear()
    cpu(True, 0.5)
    said.clear()
    choose('bfloat16')
    assert max(level for level, _ in said) == 20


def test_errors_name_the_option():
    with pytest.raises(ValueError, match="val_cfg.fp16 is 'fp8'; known are None, False, True"):
        choose('fp8', option='val_cfg.fp16')
    with pytest.raises(ValueError, match='test_cfg.fp16="float16" needs a CUDA device; use fp16='):
        choose('float16', option='test_cfg.fp16')


@pytest.mark.parametrize('check, dtype', [(True, torch.bfloat16), (False, torch.float32)])
def test_training_validation_and_test_alike(tmp_path, cpu, said, check, dtype):
    cpu(check, 0.5 if check else 40.0)
    cfg = config(
        tmp_path, max_iters=1, model=dict(type='WatchedToyModel', norm='gn'),
        val_cfg=dict(fp16=True), test_cfg=dict(fp16=True),
    )  # fmt: skip
    cfg.optim_wrapper = use_amp(cfg.optim_wrapper)
    runner = RUNNERS.build(cfg)
    WatchedToyModel.seen.clear()
    runner.train()
    runner.test()
    assert {mode for mode, _ in WatchedToyModel.seen} == {'loss', 'predict'}
    assert {seen for _, seen in WatchedToyModel.seen} == {dtype}
    lines = ' '.join(text for _, text in said)
    assert all(f'Precision of {what}: ' in lines for what in ('training', 'validation', 'test'))


@pytest.mark.parametrize('check, dtype', [(True, torch.bfloat16), (False, torch.float32)])
def test_a_plain_optimiser_wrapper(cpu, said, check, dtype):
    cpu(check, 0.5 if check else 40.0)
    net = WatchedToyModel(norm='gn')
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    WatchedToyModel.seen.clear()
    batch = dict(inputs=torch.randn(4, 4), labels=torch.tensor([0, 1, 2, 0]))
    before = [p.clone() for p in net.parameters()]
    net.train_step(batch, build_optim_wrapper(net, use_amp(wrapper)))
    assert WatchedToyModel.seen == [('loss', dtype)]
    assert not all(map(torch.equal, before, net.parameters()))


def resume(tmp_path, cpu, here, dtype='half'):
    """Train two iterations on a CPU that is fast or not, go on here; return the precision."""
    cfg = config(tmp_path, max_iters=2, **{'default_hooks.checkpoint.interval': 2})
    cfg.optim_wrapper.dtype = 'half'
    RUNNERS.build(cfg).train()
    cpu(*here)
    cfg = config(tmp_path, max_iters=4, resume=True)
    cfg.optim_wrapper.dtype = dtype
    runner = RUNNERS.build(cfg)
    runner.train()
    return runner.optim_wrapper.precision.name


@pytest.mark.parametrize(
    'there, here, dtype, name, level, words',
    [
        ((True, 0.5), (False, 40.0), 'half', 'float32', 30, 'trained in bfloat16, training goes'),
        ((False, 40.0), (True, 0.5), 'half', 'float32', 20, 'as in the checkpoint'),
        ((True, 0.9), (True, 1.1), 'half', 'bfloat16', 20, 'as in the checkpoint'),
        ((True, 0.5), (True, 0.5), 'float32', 'float32', 30, 'trained in bfloat16, training goes'),
    ],
)
def test_a_run_resumed_elsewhere(tmp_path, cpu, said, there, here, dtype, name, level, words):
    cpu(*there)
    assert resume(tmp_path, cpu, here, dtype) == name
    assert any(found == level and words in text for found, text in said)


def test_a_run_resumed_on_its_cpu_says_nothing(tmp_path, cpu, said):
    cpu(True, 0.5)
    assert resume(tmp_path, cpu, (True, 0.5)) == 'bfloat16'
    assert not [text for _, text in said if 'checkpoint' in text]


PROBE = """
import time, torch
from mmssl.engine.precision import choose, has_bfloat16, slowness
start = time.perf_counter()
print(choose('half').name, has_bfloat16(), f'{time.perf_counter() - start:.3f}')
print(slowness(), f'{time.perf_counter() - start:.3f}')
"""


def on_avx2(code):
    """Run code where oneDNN and PyTorch may use nothing newer than AVX2."""
    restricted = dict(
        os.environ, ONEDNN_MAX_CPU_ISA='AVX2', ATEN_CPU_CAPABILITY='avx2', OMP_NUM_THREADS='1'
    )
    return subprocess.run(
        [sys.executable, '-c', code], env=restricted, capture_output=True, text=True, timeout=120,
        check=True,
    ).stdout.splitlines()  # fmt: skip


def test_on_avx2_half_is_float32():
    *_, choice, measured = on_avx2(PROBE)
    assert choice.split()[:2] == ['float32', 'False']
    assert float(choice.split()[2]) < 1  # nothing is measured where the check says no
    assert float(measured.split()[0]) > 3


def test_the_measurement_is_short_and_made_once():
    precision.slowness.cache_clear()
    state = torch.get_rng_state()
    first, start = precision.slowness(), time.process_time()
    assert precision.slowness() == first and time.process_time() - start < 0.01
    assert torch.equal(state, torch.get_rng_state()) and torch.get_num_threads() == 1
