"""Loading for tests, data loaders, launching and scaling."""

import pytest
import torch
from engine_toy import ToyDataset, ToyModel, ToySampler, config

from mmssl.engine.world_scaling import launched_world_size, scale_to_world
from mmssl.registry import RUNNERS


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    RUNNERS.build(config(folder)).train()
    return folder


def test_test_uses_the_weights_of_the_checkpoint(trained, tmp_path):
    runner = RUNNERS.build(config(tmp_path, load_from=str(trained / 'iter_8.pth')))
    assert set(runner.test()) == {'unet/DSC', 'sam/DSC'}
    loaded = torch.load(trained / 'iter_8.pth', weights_only=True)['state_dict']
    assert all(torch.equal(v, loaded[k]) for k, v in runner.model.state_dict().items())


def test_test_refuses_weights_of_another_model(trained, tmp_path):
    checkpoint = torch.load(trained / 'iter_8.pth', weights_only=True)
    del checkpoint['state_dict']['students.sam.0.weight']
    torch.save(checkpoint, tmp_path / 'other.pth')
    runner = RUNNERS.build(config(tmp_path, load_from=str(tmp_path / 'other.pth')))
    with pytest.raises(ValueError, match='does not fit.*students.sam.0.weight'):
        runner.test()
    torch.save([1], tmp_path / 'list.pth')
    runner = RUNNERS.build(config(tmp_path, load_from=str(tmp_path / 'list.pth')))
    with pytest.raises(ValueError, match='holds a list'):
        runner.test()


def test_test_without_checkpoint_initialises_once(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(ToyModel, 'init_weights', lambda self: calls.append(1))
    RUNNERS.build(config(tmp_path)).test()
    assert calls == [1]
    runner = RUNNERS.build(config(tmp_path))
    runner.train()
    runner.test()
    assert calls == [1, 1]


def test_fine_tuning_takes_what_fits(trained, tmp_path):
    checkpoint = torch.load(trained / 'iter_8.pth', weights_only=True)
    del checkpoint['state_dict']['students.sam.0.weight']
    torch.save(checkpoint, tmp_path / 'some.pth')
    runner = RUNNERS.build(config(tmp_path, load_from=str(tmp_path / 'some.pth')))
    runner.train()
    assert runner.iter == 8


@pytest.mark.parametrize('named', [False, True])
def test_a_schedule_can_end_with_the_training(tmp_path, named):
    poly = [dict(type='PolyLR', power=1, begin=0, end='max_iters', by_epoch=False)]
    cfg = config(tmp_path, max_iters=6)
    cfg.param_scheduler = dict(unet=poly) if named else poly
    runner = RUNNERS.build(cfg)
    runner.train()
    for name, optimizer in runner.optim_wrapper.items():
        group = optimizer.optimizer.param_groups[0]
        share = pytest.approx(1 / 6 if name == 'unet' or not named else 1)  # of the last iteration
        assert group['lr'] / group.get('initial_lr', group['lr']) == share


def test_loader_with_a_batch_sampler_needs_no_more():
    cfg = dict(
        dataset=dict(type='mmssl.ToyDataset'),
        batch_sampler=dict(type='mmssl.ToySampler'),
        num_workers=0,
        persistent_workers=True,
        prefetch_factor=4,
    )
    from mmssl.engine import SemiRunner

    loader = SemiRunner.build_dataloader(cfg, seed=1)
    assert isinstance(loader.batch_sampler, ToySampler)
    assert not loader.persistent_workers


@pytest.mark.parametrize(
    'launcher, environment, text',
    [
        ('pytorch', {}, 'RANK, LOCAL_RANK, WORLD_SIZE is not set'),
        ('slurm', {}, 'SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID is not set'),
        ('mpi', {}, 'known are none, pytorch, slurm'),
    ],
)
def test_launcher_without_its_variables(tmp_path, monkeypatch, launcher, environment, text):
    for key in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'SLURM_PROCID', 'SLURM_NTASKS'):
        monkeypatch.delenv(key, raising=False)
    with pytest.raises(ValueError, match=text):
        RUNNERS.build(config(tmp_path, launcher=launcher))


def test_scaling_to_the_world(tmp_path):
    cfg = config(tmp_path, max_iters=9)
    with pytest.raises(ValueError, match='per_rank=True'):
        scale_to_world(cfg, 2)
    cfg.train_dataloader.batch_sampler.per_rank = True
    scaled = scale_to_world(cfg, 2)
    assert scaled.train_cfg.max_iters == 5 and scaled.train_cfg.val_interval == 2
    assert scaled.default_hooks.checkpoint.interval == 2
    assert scaled.param_scheduler.unet[0].end == 4
    assert scaled.optim_wrapper.optimizers.unet.lr == 0.2
    assert cfg.optim_wrapper.optimizers.unet.lr == 0.1
    assert scale_to_world(cfg, 1).train_cfg.max_iters == 9


def test_scaling_is_an_option_of_the_config(tmp_path, monkeypatch):
    monkeypatch.setenv('SLURM_NTASKS', '4')
    assert launched_world_size('slurm') == 4 and launched_world_size('none') == 1
    monkeypatch.setattr('mmssl.engine.runner.launched_world_size', lambda launcher: 2)
    cfg = config(tmp_path, scale_to_world=True)
    cfg.train_dataloader.batch_sampler.per_rank = True
    runner = RUNNERS.build(cfg)
    assert runner.max_iters == 4


def test_the_model_is_told_what_the_masks_are_before_the_first_iteration(tmp_path, monkeypatch):
    monkeypatch.setattr(ToyDataset, 'metainfo', {'classes': ('a', 'b')}, raising=False)
    runner, told = RUNNERS.build(config(tmp_path, max_iters=1)), []
    steps, train_step = [], runner.model.train_step
    monkeypatch.setattr(
        runner.model, 'train_step', lambda *a, **b: steps.append(1) or train_step(*a, **b)
    )
    runner.model.check_data = lambda metainfo: told.append((len(steps), metainfo))
    runner.train()
    assert told and all(one == (0, {'classes': ('a', 'b')}) for one in told) and steps


def test_hooks_that_are_switched_off_by_their_interval_are_taken(tmp_path):
    from mmssl.engine.checkpoints.setting_rules import SettingError, check_settings

    off = {
        'default_hooks.checkpoint.interval': -1,
        'default_hooks.visualization': dict(type='SegVisualizationHook', interval=0),
    }
    check_settings(config(tmp_path, **off)._cfg_dict)
    for name in ('logger', 'loss_guard', 'checkpoint'):
        with pytest.raises(SettingError, match=f'{name}.interval is 0'):
            check_settings(config(tmp_path, **{f'default_hooks.{name}.interval': 0})._cfg_dict)


def test_an_optimiser_that_a_config_drops_is_taken(tmp_path):
    from mmssl.engine.checkpoints.setting_rules import SettingError, check_settings

    check_settings(config(tmp_path, **{'optim_wrapper.optimizers.neck': None})._cfg_dict)
    with pytest.raises(SettingError, match='optimizers.neck is 0.1; it must be a dict or None'):
        check_settings(config(tmp_path, **{'optim_wrapper.optimizers.neck': 0.1})._cfg_dict)
