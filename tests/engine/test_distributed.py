"""Several processes through gloo: one result, one fate."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from engine_toy import config

from mmssl.engine.hooks.agreement_hook import CHOICE, HISTORY
from mmssl.evaluation.label_free import choose
from mmssl.registry import RUNNERS
from tests import tiny

PORT = 29600 + os.getpid() % 300


def ranks(case, folder, count=2):
    command = [sys.executable, '-m', 'torch.distributed.run', f'--nproc_per_node={count}']
    command += [f'--master_port={PORT}', str(Path(__file__).with_name('run_ranks.py'))]
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    return subprocess.run(
        [*command, case, str(folder)], env=environment, capture_output=True, text=True, timeout=200
    )


@pytest.mark.slow
def test_statistics_are_averaged_before_validation_and_saving(tmp_path):
    done = ranks('buffers', tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = torch.load(tmp_path / 'seen_0.pth', weights_only=True)
    assert len(seen) == 4  # saved and validated twice
    for one, two in seen:
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    saved = torch.load(tmp_path / 'run' / 'iter_8.pth', weights_only=True)['state_dict']
    key = 'students.sam.1.running_mean'
    assert torch.equal(saved[key], seen[-1][0][key])


@pytest.mark.slow
def test_one_step_of_two_ranks_is_one_step_of_one(tmp_path):
    done = ranks('step', tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = torch.load(tmp_path / 'states_0.pth', weights_only=True)
    assert all(torch.equal(one[key], two[key]) for key in one)
    options = {'model.norm': 'gn', 'optim_wrapper.optimizers.sam.type': 'SGD'}
    runner = RUNNERS.build(config(tmp_path / 'single', max_iters=1, **options))
    for module in runner.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    runner.train()
    for key, value in runner.model.state_dict().items():
        torch.testing.assert_close(one[key], value, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_ranks_fail_together_within_a_minute(tmp_path):
    start = time.monotonic()
    done = ranks('broken', tmp_path)
    assert done.returncode != 0
    assert 'rank 1 has had enough' in done.stderr
    assert time.monotonic() - start < 60


@pytest.mark.slow
def test_all_ranks_learn_of_a_full_disk(tmp_path):
    done = ranks('full_disk', tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'No space left on device' in (tmp_path / 'error_0.txt').read_text()
    assert 'not written by rank 0' in (tmp_path / 'error_1.txt').read_text()


@pytest.mark.slow
def test_all_ranks_stop_at_the_nan_of_one(tmp_path):
    done = ranks('nan', tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    texts = [(tmp_path / f'error_{rank}.txt').read_text() for rank in (0, 1)]
    assert all('at iteration 3' in text for text in texts)


@pytest.mark.slow
def test_equal_buffers_do_not_move(tmp_path):
    done = ranks('frozen', tmp_path, count=3)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_ranks_choose_the_same_without_labels(tmp_path):
    """Though the second one's measurements would have it another way."""
    tiny.write_slices(tmp_path / 'data')
    done = ranks('agreement', tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (torch.load(tmp_path / f'chosen_{rank}.pth', weights_only=True) for rank in (0, 1))
    assert one == two and [e['iter'] for e in one[HISTORY]] == [2, 4, 6]
    for key, students in {'agreement': ['sam', 'unet'], 'unet/agreement': ['unet']}.items():
        best = choose(one[HISTORY], 'rank', students)
        assert one[CHOICE][key] == best._asdict()
        assert (tmp_path / f'run/best_{key.replace("/", "_")}_iter_{best.iter}.pth').is_file()
