"""What a start and several processes cost is measured as it is."""

import os
import re
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mmssl.engine.runner import SemiRunner, exchange_options
from mmssl.experiments.speed import scaling, start


@pytest.fixture
def alone(tmp_path):
    """Be a group of one process."""
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/meet', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def frozen_and_learning():
    layers = [torch.nn.Linear(300, 1500, bias=False) for _ in range(3)]
    layers[0].weight.requires_grad_(False)
    layers.insert(1, torch.nn.Linear(1500, 300, bias=False))
    layers.insert(3, torch.nn.Linear(1500, 300, bias=False))
    return torch.nn.Sequential(*layers)


def test_gradients_of_what_learns_travel_in_one_bucket(alone):
    model = frozen_and_learning()
    learning = sum(4 * p.numel() for p in model.parameters() if p.requires_grad)
    assert learning > 5 * 2**20, 'more than the first bucket of PyTorch holds'
    wrapped = DistributedDataParallel(model, **exchange_options(model))
    clock = scaling.Clock()
    wrapped.register_comm_hook(None, clock.average)
    x = torch.randn(2, 300)
    for _ in range(2):
        clock.start()
        wrapped(x).sum().backward()
        assert clock.buckets == [learning]
    assert clock.waiting > 0 and clock.exchange > 0
    plain = frozen_and_learning()
    plain.load_state_dict(model.state_dict())
    plain(x).sum().backward()
    for one, other in zip(plain.parameters(), model.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(other.grad, 2 * one.grad)


def test_a_config_chooses_other_buckets(alone, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '0')
    runner = SemiRunner.__new__(SemiRunner)
    runner._launcher, runner._distributed, runner.cfg = 'pytorch', True, {}
    for given, expected in ((None, exchange_options), ({'bucket_cap_mb': 3}, None)):
        wrapped = runner.wrap_model(given, frozen_and_learning())
        size = expected(wrapped.module)['bucket_cap_mb'] if expected else 3
        assert wrapped.bucket_bytes_cap == size * 2**20


def test_what_a_process_spent_is_told():
    spent = scaling.Spent([0.1, 0.2, 0.3], [0.02] * 3, [0.01] * 3, [2**20, 2**19])
    assert spent.line() == (
        '   200.0 ms an iteration, 20.0 ms of it waiting (10.0 %), 10.0 ms exchanging (5.0 %) '
        '1.5 MiB in 2 buckets'
    )


@pytest.mark.slow
def test_two_processes(capsys):
    options = {
        'model.students.unet.backbone.base_channels': 4,
        'model.students.unet.decode_head.in_channels': 4,
        'model.students.unet.decode_head.channels': 4,
    }
    scaling.run_scaling(
        SimpleNamespace(
            config='ua_mt/lite_fundus.py',
            cfg_options=options,
            processes=2,
            threads=1,
            iters=2,
            warm_up=1,
            file_size=48,
        )  # fmt: skip
    )
    out = capsys.readouterr().out
    assert len(re.findall(r'^process [01] +[\d.]+ ms an .* in 1 bucket$', out, re.M)) == 2
    assert re.search(r'^alone +[\d.]+ ms an iteration: 2 processes take [\d.]+ times', out, re.M)
    learn, frozen = re.search(r'([\d,]+) parameters learn.*; ([\d,]+) do not', out).groups()
    assert learn == frozen, 'the teacher'


WRITES = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[-1].partition("=")[2].strip("'"), 'now', 'vis_data')
folder.mkdir(parents=True)
(folder / 'scalars.json').touch()
time.sleep(0.4)
(folder / 'scalars.json').write_text('{}')
time.sleep(60)
"""


def test_a_start_ends_with_the_first_iteration(tmp_path):
    log = tmp_path / 'imports'
    taken = start.first_iteration([sys.executable, '-c', WRITES], tmp_path / 'run', log)
    assert 0.4 < taken.clock < 30 and 0 < taken.processor < 0.4
    assert 'pathlib' in dict(start.import_times(log.read_text()))


def test_a_training_that_does_not_begin_is_told(tmp_path):
    command = [sys.executable, '-c', 'raise SystemExit("no such config")']
    with pytest.raises(RuntimeError, match='did not begin: no such config'):
        start.first_iteration(command, tmp_path / 'run')


def test_short_starts_are_short(monkeypatch, capsys):
    """The commands that the benchmark times are those that a user types."""
    seen, taken = [], start.Taken(2.5, 0.125)
    monkeypatch.setattr(start, '_ended', lambda words: seen.append(words[1:]) or taken)
    monkeypatch.setattr(start, 'first_iteration', lambda words, *_: seen.append(words[1:]) or taken)
    arguments = SimpleNamespace(config='a.py', data_root='d', rounds=1, imports=False)
    start.run_start(arguments)
    out = capsys.readouterr().out
    assert re.findall(r'([\d.]+) s', out) == ['2.50', '0.12'] * 4
    assert seen[-1][:4] == ['-m', 'mmssl', 'train', 'a.py'] and 'data_root=d' in seen[-1]
    assert [' '.join(words) for words in seen[:3]] == [
        '-c import mmssl', '-m mmssl --help', '-m mmssl train --help',
    ]  # fmt: skip
    assert os.environ.get('PYTHONPROFILEIMPORTTIME') is None
