"""Guards and information, without waiting for the device at every iteration."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from engine_toy import config
from mmengine.logging import HistoryBuffer, MessageHub

from mmssl.engine import load_checkpoint_file, push_scalar
from mmssl.engine.checkpoints.history import DeviceHistory, pack_hub, unpack_hub
from mmssl.engine.hooks.progress_hook import progress_wanted
from mmssl.registry import RUNNERS


def test_nan_loss_stops_with_iteration_and_term_named(tmp_path):
    runner = RUNNERS.build(config(tmp_path, **{'model.nan_at': 4}))
    with pytest.raises(FloatingPointError, match='"loss", "sup_sam".*at iteration 5') as error:
        runner.train()
    assert 'iter_4.pth, is intact' in str(error.value) and '\n' not in str(error.value)
    state = load_checkpoint_file(tmp_path / 'iter_4.pth')['state_dict']
    assert all(torch.isfinite(v).all() for v in state.values())


def test_nan_is_found_before_saving_whatever_the_interval(tmp_path):
    options = {'model.nan_at': 6, 'default_hooks.loss_guard.interval': 1000}
    with pytest.raises(FloatingPointError, match='at iteration 7'):
        RUNNERS.build(config(tmp_path, **options)).train()
    assert sorted(f.name for f in tmp_path.glob('*.pth')) == ['iter_4.pth']


def test_broken_parameters_are_not_saved(tmp_path):
    options = {'model.bad_gradient_at': 7, 'default_hooks.loss_guard.interval': 1000}
    with pytest.raises(FloatingPointError, match=r'"students.unet.0.weight" is NaN'):
        RUNNERS.build(config(tmp_path, **options)).train()
    assert sorted(f.name for f in tmp_path.glob('*.pth')) == ['iter_4.pth']


class NoWaiting(torch.utils._python_dispatch.TorchDispatchMode):
    """Raise where the host would wait for the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            raise AssertionError('the host waits for the device')
        return func(*args, **(kwargs or {}))


def test_hooks_do_not_wait_for_the_device(tmp_path):
    runner = RUNNERS.build(config(tmp_path))
    runner.train()
    hooks = [h for h in runner.hooks if type(h).__name__ in ('RuntimeInfoHook', 'LossGuardHook')]
    assert len(hooks) == 2
    runner.train_loop._iter = 4  # no reading is due
    outputs = {'loss': torch.tensor(1.0), 'sup_sam': torch.tensor(0.5)}
    with NoWaiting():
        for hook in hooks:
            hook.after_train_iter(runner, 4, outputs=outputs)
        push_scalar(runner.message_hub, 'train/grad_norm', torch.tensor(1.0))
    with pytest.raises(AssertionError, match='waits'), NoWaiting():
        torch.tensor(1.0).item()


def test_history_has_the_values_of_a_plain_one():
    values = torch.rand(30, dtype=torch.float32)
    ours, plain = DeviceHistory(max_length=20), HistoryBuffer(max_length=20)
    for i, value in enumerate(values):
        ours.push(value)
        plain.update(value.item())
        if i % 7 == 0:
            assert ours.current() == plain.current()
    assert ours.mean(10) == plain.mean(10) and ours.max() == plain.max()
    np.testing.assert_array_equal(ours.data[0], plain.data[0])
    np.testing.assert_array_equal(ours.data[1], plain.data[1])


def test_message_hub_survives_as_plain_values(tmp_path):
    hub, other = MessageHub.get_instance('one'), MessageHub.get_instance('two')
    for i in range(300):
        push_scalar(hub, 'train/loss', torch.tensor(float(i)))
        hub.update_scalar('val/DSC', np.float64(i))
    hub.update_info('iter', 300)
    hub.update_info('thing', object())
    torch.save(pack_hub(hub, 100), tmp_path / 'hub.pth')
    unpack_hub(load_checkpoint_file(tmp_path / 'hub.pth'), other)
    assert len(other.get_scalar('train/loss').data[0]) == 100
    assert other.get_scalar('val/DSC').current() == 299
    assert other.get_info('iter') == 300 and other.get_info('thing') is None
    push_scalar(other, 'train/loss', torch.tensor(7.0))
    assert other.get_scalar('train/loss').mean(2) == 153


@pytest.mark.parametrize('setting, wanted', [('1', True), ('0', False), (None, False)])
def test_progress_bar_is_for_terminals(monkeypatch, setting, wanted):
    monkeypatch.delenv('MMSSL_PROGRESS', raising=False)
    if setting is not None:
        monkeypatch.setenv('MMSSL_PROGRESS', setting)
    assert progress_wanted() is wanted
    assert progress_wanted(True) is True


def test_progress_bar_shows_the_iterations(tmp_path, capsys):
    hooks = {'default_hooks.progress': dict(type='ProgressHook', enabled=True)}
    runner = RUNNERS.build(config(tmp_path, **hooks))
    runner.train()
    shown = capsys.readouterr().err
    assert 'train: 100%' in shown and '8/8' in shown and 'it/s' in shown
    runner.test()
    assert 'test: 100%' in capsys.readouterr().err


TENSORBOARD = """
import importlib.util, sys
find = importlib.util.find_spec
hidden = lambda name, *a: None if name == 'tensorboard' else find(name, *a)
importlib.util.find_spec = hidden
from mmssl.engine import OptionalTensorboardVisBackend
backend = OptionalTensorboardVisBackend(sys.argv[1])
backend.add_scalar('a', 1.0)
backend.add_scalars({'a': 1.0})
backend.add_image('a', None)
backend.close()
"""


def test_missing_tensorboard_is_no_error(tmp_path):
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    command = [sys.executable, '-c', TENSORBOARD, str(tmp_path / 'events')]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'not installed' in done.stdout + done.stderr
    assert not (tmp_path / 'events').exists()
