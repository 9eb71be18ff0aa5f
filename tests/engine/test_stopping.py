"""A run that is asked to end writes a checkpoint; gone on with, it is the run that was not."""

import signal
from pathlib import Path

import pytest
from engine_toy import ToyMetric, config
from mmengine.hooks import Hook
from same_runs import assert_same, assert_same_run

from mmssl.engine import load_checkpoint_file
from mmssl.registry import RUNNERS
from mmssl.utils.processes.signals import Interrupted, signals

OPTIONS = {
    'default_hooks.checkpoint.save_best': ['unet/DSC', 'sam/DSC'],
    'default_hooks.checkpoint.max_keep_ckpts': 2,
    'default_hooks.checkpoint.interval': 2,
}


class Ask(Hook):
    """Ask for the end at one point of one iteration."""

    priority = 'VERY_LOW'

    def __init__(self, point, iteration):
        self.iteration = iteration
        setattr(self, point, self.ask)

    def ask(self, runner, **kwargs):
        if runner.iter == self.iteration:
            signals.asked = signal.SIGTERM


@pytest.fixture(autouse=True)
def nobody_asked():
    yield
    signals.__init__()


def train(folder, validations=0, ask=None, **options):
    ToyMetric.count = validations
    runner = RUNNERS.build(config(folder, **OPTIONS, **options))
    if ask:
        runner.register_hook(Ask(*ask))
        with pytest.raises(Interrupted):
            runner.train()
        signals.__init__()
    else:
        runner.train()
    return runner


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    train(folder)
    return folder


def files(folder):
    return sorted(f.name for f in Path(folder).iterdir() if f.is_file() and f.suffix != '.py')


@pytest.mark.parametrize(
    'point, iteration, done, validations',
    [
        ('before_train_iter', 0, 1, 0),
        ('after_train_iter', 2, 3, 0),
        ('after_train_iter', 3, 4, 0),
        ('before_val_epoch', 4, 4, 0),
        ('after_val_epoch', 4, 4, 1),
        ('after_train_iter', 4, 5, 1),
        ('before_val_epoch', 8, 8, 1),
    ],
)
def test_nothing_differs_after_going_on(whole, tmp_path, point, iteration, done, validations):
    asked = train(tmp_path, ask=(point, iteration))
    newest = load_checkpoint_file(tmp_path / (tmp_path / 'last_checkpoint').read_text())
    assert newest['meta']['iter'] == done == asked.iter
    # A validation that came after its checkpoint, or was left, is done when the run goes on.
    validated = newest['message_hub']['info'].get('last_val_iter', 0) // 4
    assert validated == validations
    train(tmp_path, validations=validated, resume=True)
    assert files(tmp_path) == files(whole)
    assert_same_run(whole, tmp_path)
    assert_same(hub(whole), hub(tmp_path))


def hub(folder):
    info = load_checkpoint_file(Path(folder) / 'iter_8.pth')['message_hub']['info']
    return {
        key: value.replace(str(folder), '') if isinstance(value, str) else value
        for key, value in info.items()
    }


def test_iteration_of_a_rewritten_checkpoint(whole):
    assert hub(whole)['iter'] == 8  # as in a run that was killed before the validation
    assert 'extra_ckpt_id' not in hub(whole)


def test_asked_before_the_first_iteration_there_is_nothing_to_save(tmp_path):
    train(tmp_path, ask=('before_train', 0))
    assert not list(tmp_path.glob('*.pth'))


def test_asked_at_the_very_end_the_run_is_complete(tmp_path):
    ToyMetric.count = 0
    runner = RUNNERS.build(config(tmp_path, **OPTIONS))
    runner.register_hook(Ask('after_val_epoch', 8))
    runner.train()
    assert 'iter_8.pth' in files(tmp_path)


def test_gradients_under_way_are_finished(tmp_path):
    options = {'optim_wrapper.accumulative_counts': 2}
    train(tmp_path, ask=('after_train_iter', 4), **options)
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_6.pth')


def test_the_extra_checkpoint_counts_as_none(tmp_path):
    train(tmp_path, ask=('after_train_iter', 4))
    assert [n for n in files(tmp_path) if n.startswith('iter')] == [
        'iter_2.pth',
        'iter_4.pth',
        'iter_5.pth',
    ]
    train(tmp_path, ask=('after_train_iter', 6), validations=1, resume=True)
    assert [n for n in files(tmp_path) if n.startswith('iter')] == [
        'iter_4.pth',
        'iter_6.pth',
        'iter_7.pth',
    ]
