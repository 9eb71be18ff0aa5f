"""One whole checkpoint at any time, a bounded number, one best file for each student."""

import errno
import os
from pathlib import Path

import pytest
from engine_toy import ToyMetric, config
from mmengine.hooks import Hook

from mmssl.engine import CheckpointHook, load_checkpoint_file
from mmssl.engine.checkpoints import hook as module
from mmssl.registry import RUNNERS


def build(work_dir, **options):
    ToyMetric.count = 0
    return RUNNERS.build(config(work_dir, **options))


def files(folder):
    return sorted(file.name for file in folder.glob('*.pth'))


def hook(**options):
    return {f'default_hooks.checkpoint.{key}': value for key, value in options.items()}


def test_number_of_checkpoints_is_bounded_and_the_pointer_moves(tmp_path):
    build(tmp_path, **hook(interval=1, max_keep_ckpts=2)).train()
    assert files(tmp_path) == ['iter_7.pth', 'iter_8.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_8.pth'


def test_bound_holds_over_a_resumed_run(tmp_path):
    build(tmp_path, **hook(interval=2, max_keep_ckpts=1), **{'train_cfg.max_iters': 4}).train()
    assert files(tmp_path) == ['iter_4.pth']
    build(tmp_path, resume=True, **hook(interval=2, max_keep_ckpts=1)).train()
    assert files(tmp_path) == ['iter_8.pth']


def test_best_checkpoint_of_each_student(tmp_path):
    best = hook(save_best=['unet/DSC', 'sam/DSC'], max_keep_ckpts=1)
    build(tmp_path, **best).train()
    # the scores of unet rise, those of sam fall
    assert files(tmp_path) == ['best_sam_DSC_iter_4.pth', 'best_unet_DSC_iter_8.pth', 'iter_8.pth']
    assert 'optimizer' not in load_checkpoint_file(tmp_path / 'best_sam_DSC_iter_4.pth')
    info = load_checkpoint_file(tmp_path / 'iter_8.pth')['message_hub']['info']
    assert info['best_score_unet/DSC'] == 2.0 and info['best_score_sam/DSC'] == -1.0


def test_best_score_survives_resuming(tmp_path):
    best = hook(save_best='sam/DSC')
    build(tmp_path, **best, **{'train_cfg.max_iters': 4}).train()
    runner = build(tmp_path, resume=True, **best)
    ToyMetric.count = 5  # worse scores
    runner.train()
    assert files(tmp_path) == ['best_sam_DSC_iter_4.pth', 'iter_4.pth', 'iter_8.pth']


def test_rules_of_the_medical_metrics():
    keys = ['unet/DSC', 'unet/Jaccard', 'unet/HD95', 'sam/ASD']
    assert CheckpointHook(save_best=keys).rules == ['greater', 'greater', 'less', 'less']


def test_unknown_metric_is_named(tmp_path):
    with pytest.raises(ValueError, match='"vnet/DSC".*sam/DSC, unet/DSC'):
        build(tmp_path, **hook(save_best=['vnet/DSC', 'sam/DSC'])).train()


class Disk:
    """Fail a step of writing as a full disk does, from the n-th save on."""

    def __init__(self, monkeypatch, step, first=2, last=99):
        from mmssl.engine.checkpoints import resume

        self.count = 0
        self.range = range(first, last + 1)
        self.step = step
        monkeypatch.setattr(resume, 'atomic_save', self.wrap(resume.atomic_save, 'save'))
        monkeypatch.setattr(module, 'write_atomic', self.wrap(module.write_atomic, 'pointer'))

    def wrap(self, call, step):
        def wrapped(*args):
            if step == 'save':
                self.count += 1
            if step == self.step and self.count in self.range:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*args)

        return wrapped


@pytest.mark.parametrize('step', ['save', 'pointer'])
def test_full_disk_costs_only_the_newest_checkpoint(tmp_path, monkeypatch, step):
    runner = build(tmp_path, **hook(max_keep_ckpts=1))
    Disk(monkeypatch, step)
    with pytest.raises(OSError, match='iter_8.pth was not written: No space left on device'):
        runner.train()
    monkeypatch.undo()
    assert 'iter_4.pth' in files(tmp_path)
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_4.pth')
    assert load_checkpoint_file(tmp_path / 'iter_4.pth')['meta']['iter'] == 4
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert 'newest whole checkpoint is' in log and 'iter_4.pth' in log
    build(tmp_path, resume=True, **hook(max_keep_ckpts=1)).train()
    assert files(tmp_path) == ['iter_8.pth']


def test_run_may_go_on_after_a_failed_write(tmp_path, monkeypatch):
    runner = build(tmp_path, **hook(interval=2, max_keep_ckpts=1, on_write_error='continue'))
    Disk(monkeypatch, 'save', first=2, last=3)
    runner.train()
    assert files(tmp_path) == ['iter_8.pth']
    kept = load_checkpoint_file(tmp_path / 'iter_8.pth')['message_hub']['info']['keep_ckpt_ids']
    assert kept == [8]


def test_failed_best_checkpoint_keeps_the_old_one(tmp_path, monkeypatch):
    runner = build(tmp_path, **hook(save_best='unet/DSC'))
    Disk(monkeypatch, 'save', first=5)  # iter_4, best at 4, iter_4 again, iter_8, best at 8
    with pytest.raises(OSError, match='best_unet_DSC_iter_8.pth was not written'):
        runner.train()
    assert 'best_unet_DSC_iter_4.pth' in files(tmp_path)


def test_old_file_goes_only_after_the_new_one_is_whole(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        CheckpointHook,
        '_remove',
        lambda hook, runner, name: seen.append((name, files(tmp_path), pointer())),
    )

    def pointer():
        return Path((tmp_path / 'last_checkpoint').read_text()).name

    build(tmp_path, **hook(max_keep_ckpts=1)).train()
    assert seen == [('iter_4.pth', ['iter_4.pth', 'iter_8.pth'], 'iter_8.pth')]


def test_checkpoint_does_not_grow_with_the_iterations(tmp_path):
    class Talk(Hook):
        def before_run(self, runner):
            for _ in range(3000):
                runner.message_hub.update_scalar('train/old', 1.0)

    short, long = build(tmp_path / 'short'), build(tmp_path / 'long')
    long.register_hook(Talk())
    short.train()
    long.train()
    sizes = [(f / 'iter_8.pth').stat().st_size for f in (tmp_path / 'short', tmp_path / 'long')]
    assert sizes[1] - sizes[0] < 4000


def test_published_copy_has_only_the_asked_keys(tmp_path):
    build(tmp_path, **hook(published_keys=['meta', 'state_dict'])).train()
    published = load_checkpoint_file(tmp_path / 'iter_8-published.pth')
    assert set(published) == {'meta', 'state_dict'}
