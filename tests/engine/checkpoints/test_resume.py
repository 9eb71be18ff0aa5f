"""An interrupted and resumed run is the run that was never interrupted, bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine_toy import ToyMetric, config
from same_runs import assert_same, assert_same_run

from mmssl.engine import load_checkpoint_file
from mmssl.registry import RUNNERS


def train(work_dir, **options):
    ToyMetric.count = 0
    runner = RUNNERS.build(config(work_dir, **options))
    runner.train()
    return runner


def in_process(**options):
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    script = str(Path(__file__).parents[1] / 'run_toy.py')
    command = [sys.executable, script, json.dumps(options)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    train(folder)
    return folder


@pytest.mark.parametrize('workers', [0, 2])
def test_resumed_run_is_bit_identical(whole, tmp_path, workers):
    first = config(tmp_path, workers=workers)
    first.train_cfg.max_iters = 8
    runner = RUNNERS.build(first)
    stop_after(runner, 5)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert not (tmp_path / 'iter_8.pth').exists()
    resumed = train(tmp_path, workers=workers, resume=True)
    assert resumed.message_hub.get_scalar('train/loss').data[0].shape == (8,)
    assert_same_run(whole, tmp_path)


def test_global_generators_are_a_function_of_the_iteration(tmp_path):
    noise = {'train_dataloader.dataset.noise': 'used'}
    train(tmp_path / 'whole', **noise)
    train(tmp_path / 'part', **noise, **{'train_cfg.max_iters': 4})
    train(tmp_path / 'part', **noise, resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'part')


def test_dropout_does_not_depend_on_what_loading_draws(whole, tmp_path):
    train(tmp_path, **{'train_dataloader.dataset.noise': 'drawn'})
    assert_same_run(whole, tmp_path)


def test_another_path_differs(whole, tmp_path):
    train(tmp_path, **{'randomness.seed': 4})
    a, b = (load_checkpoint_file(Path(f) / 'iter_8.pth') for f in (whole, tmp_path))
    with pytest.raises(AssertionError):
        assert_same(a['state_dict'], b['state_dict'])


def stop_after(runner, iterations):
    from mmengine.hooks import Hook

    class Stop(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, **kwargs):
            if runner.iter + 1 == iterations:
                raise KeyboardInterrupt

    runner.register_hook(Stop())


@pytest.mark.slow
def test_kill_in_the_middle_of_an_iteration(whole, tmp_path):
    assert in_process(work_dir=str(tmp_path), kill_at=6).returncode == -9
    train(tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


@pytest.mark.slow
def test_kill_in_the_middle_of_writing(whole, tmp_path):
    done = in_process(work_dir=str(tmp_path), kill_in_save=8)
    assert done.returncode == -9, done.stderr
    names = {file.name for file in tmp_path.iterdir()}
    assert 'iter_8.pth' not in names and 'iter_4.pth' in names
    assert any(name.endswith('.tmp-mmssl') for name in names)
    train(tmp_path, resume=True)
    assert_same_run(whole, tmp_path)
    assert not list(tmp_path.glob('.*.tmp-mmssl'))


def test_validation_that_was_due_is_done_on_resuming(tmp_path):
    runner = RUNNERS.build(config(tmp_path))
    runner.val_loop.run = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert load_checkpoint_file(tmp_path / 'iter_4.pth')['meta']['iter'] == 4
    runner = train(tmp_path, resume=True)
    assert ToyMetric.count == 2  # at 4 and at 8
    train(tmp_path, resume=True, **{'train_cfg.max_iters': 8})
    assert ToyMetric.count == 1  # the last checkpoint was written before the validation at 8


def test_validation_that_was_done_is_not_repeated(tmp_path):
    best = {'default_hooks.checkpoint.save_best': ['unet/DSC', 'sam/DSC']}
    train(tmp_path, **best)
    train(tmp_path, resume=True, **best)
    assert ToyMetric.count == 0
    hub = load_checkpoint_file(tmp_path / 'iter_8.pth')['message_hub']['scalars']
    assert hub['val/unet/DSC']['logs'] == [1.0, 2.0]


def test_resume_falls_back_to_the_newest_complete_file(whole, tmp_path, caplog):
    train(tmp_path)
    newest = tmp_path / 'iter_8.pth'
    newest.write_bytes(newest.read_bytes()[:-200])
    runner = train(tmp_path, resume=True)
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert 'iter_8.pth' in log and 'cut short' in log and 'going back' in log
    assert_same_run(whole, tmp_path)


def test_resume_finds_the_files_after_the_folder_was_moved(whole, tmp_path):
    train(tmp_path / 'old')
    (tmp_path / 'old').rename(tmp_path / 'new')
    (tmp_path / 'new' / 'iter_8.pth').unlink()
    train(tmp_path / 'new', resume=True)
    assert_same_run(whole, tmp_path / 'new')


def test_resume_without_a_checkpoint_starts_from_the_beginning(whole, tmp_path):
    train(tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


def test_resume_from_a_named_file(whole, tmp_path):
    train(tmp_path, resume=True, load_from=str(whole / 'iter_4.pth'))
    assert_same_run(whole, tmp_path)


def test_resume_refuses_another_seed(whole, tmp_path):
    with pytest.raises(ValueError, match='randomness.seed=3'):
        train(tmp_path, resume=True, load_from=str(whole / 'iter_4.pth'), **{'randomness.seed': 5})


def test_resume_refuses_weights_without_optimiser(whole, tmp_path):
    checkpoint = load_checkpoint_file(whole / 'iter_4.pth')
    del checkpoint['optimizer']
    torch.save(checkpoint, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match='no optimiser state'):
        train(tmp_path, resume=True, load_from=str(tmp_path / 'weights.pth'))


def test_resume_refuses_shortened_weights(whole, tmp_path):
    """Of which a new training may begin."""
    checkpoint = load_checkpoint_file(whole / 'iter_4.pth')
    state = checkpoint['state_dict']
    for key, value in state.items():
        state[key] = value.bfloat16() if value.is_floating_point() else value
    torch.save(checkpoint, tmp_path / 'short.pth')
    with pytest.raises(
        ValueError, match='in bfloat16, and the training goes on in float32: .*with'
    ):
        train(tmp_path / 'a', resume=True, load_from=str(tmp_path / 'short.pth'))
    assert not list((tmp_path / 'a').glob('iter_*.pth'))
    train(tmp_path / 'b', load_from=str(tmp_path / 'short.pth'))
    assert list((tmp_path / 'b').glob('iter_*.pth'))


def test_resume_refuses_other_optimisers(whole, tmp_path):
    checkpoint = load_checkpoint_file(whole / 'iter_4.pth')
    checkpoint['optimizer']['medsam'] = checkpoint['optimizer'].pop('sam')
    torch.save(checkpoint, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match="states for .'medsam', 'unet'."):
        train(tmp_path, resume=True, load_from=str(tmp_path / 'other.pth'))
