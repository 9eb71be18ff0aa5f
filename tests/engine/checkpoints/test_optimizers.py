"""A resumed run with other options has the rates that it would have had from its beginning."""

from pathlib import Path

import pytest
from engine_toy import config

from mmssl.registry import RUNNERS

POLY = dict(type='PolyLR', power=0.9, begin=0, end='max_iters', by_epoch=False)
WARM = dict(type='LinearLR', start_factor=0.1, begin=0, end=3, by_epoch=False)
KINDS = {
    'poly': {'param_scheduler': dict(unet=[POLY])},
    'chain': {'param_scheduler': dict(unet=[WARM, {**POLY, 'begin': 3}], sam=[POLY])},
    'list': {'param_scheduler': [POLY]},
    'cosine': {'param_scheduler': [dict(type='CosineAnnealingLR', T_max=8, by_epoch=False)]},
    'warm': {'param_scheduler': [dict(type='WarmupPolyLR', warmup=2, end='max_iters')]},
    'none': {'param_scheduler': None},
}


def run(folder, max_iters=8, resume=False, kind='poly', **options):
    cfg = config(folder, max_iters=max_iters, resume=resume, **options)
    cfg.param_scheduler = KINDS[kind]['param_scheduler']
    runner = RUNNERS.build(cfg)
    runner.train()
    rates = {
        key: list(buffer.data[0])
        for key, buffer in runner.message_hub.log_scalars.items()
        if key.endswith('lr')
    }
    return runner, rates


def log(runner):
    return next(Path(runner.log_dir).glob('*.log')).read_text()


@pytest.mark.parametrize('kind', list(KINDS))
def test_a_longer_run_has_the_schedule_of_its_length(tmp_path, kind):
    _, whole = run(tmp_path / 'whole', kind=kind)
    run(tmp_path / 'part', max_iters=4, kind=kind)
    runner, rates = run(tmp_path / 'part', resume=True, kind=kind)
    assert {key: values[4:] for key, values in rates.items()} == {
        key: values[4:] for key, values in whole.items()
    }
    assert 'train_cfg.max_iters is 4 there and 8 here' in log(runner)
    assert ('Rates are those' in log(runner)) is (kind != 'none')


@pytest.mark.parametrize('kind', ['poly', 'list', 'none'])
def test_new_options_of_the_optimisers_hold(tmp_path, kind):
    new = {
        'optim_wrapper.optimizers.unet.lr': 0.02,
        'optim_wrapper.optimizers.sam.lr': 3e-3,
        'optim_wrapper.optimizers.sam.weight_decay': 0.5,
        'optim_wrapper.optimizers.sam.betas': [0.8, 0.99],
    }
    _, whole = run(tmp_path / 'whole', kind=kind, **new)
    run(tmp_path / 'part', max_iters=4, kind=kind)
    runner, rates = run(tmp_path / 'part', resume=True, kind=kind, **new)
    assert {k: v[4:] for k, v in rates.items()} == {k: v[4:] for k, v in whole.items()}
    group = runner.optim_wrapper['sam'].optimizer.param_groups[0]
    assert group['weight_decay'] == 0.5 and list(group['betas']) == [0.8, 0.99]
    assert 'sam.weight_decay is not set there and 0.5 here' in log(runner)
    assert runner.optim_wrapper['sam'].optimizer.state, 'moments are kept'


@pytest.mark.parametrize('there, here', [('poly', 'none'), ('none', 'warm'), ('poly', 'chain')])
def test_another_schedule_holds_from_here_on(tmp_path, there, here):
    _, whole = run(tmp_path / 'whole', kind=here)
    run(tmp_path / 'part', max_iters=4, kind=there)
    _, rates = run(tmp_path / 'part', resume=True, kind=here)
    assert rates['train/unet.lr'][4:] == whole['train/unet.lr'][4:]


def test_a_schedule_that_follows_validations_is_not_computed_anew(tmp_path, monkeypatch):
    plateau = dict(type='ReduceOnPlateauLR', monitor='unet/DSC', rule='greater', by_epoch=True)
    monkeypatch.setitem(KINDS, 'plateau', {'param_scheduler': [plateau]})
    run(tmp_path, max_iters=4, kind='plateau')
    with pytest.raises(ValueError, match='follows the validations'):
        run(tmp_path, resume=True, kind='plateau', **{'optim_wrapper.optimizers.unet.lr': 0.5})
    assert run(tmp_path, resume=True, kind='plateau')[0].iter == 8


def test_other_batches_and_ranks_are_announced(tmp_path):
    run(tmp_path, max_iters=4)
    runner, _ = run(tmp_path, resume=True, **{'train_dataloader.batch_sampler.batch_size': 6})
    assert 'batch_sampler.batch_size is not set there and 6 here' in log(runner)
    from mmssl.engine import atomic_save, load_checkpoint_file

    checkpoint = load_checkpoint_file(tmp_path / 'iter_8.pth')
    checkpoint['meta']['world_size'] = 4
    atomic_save(checkpoint, tmp_path / 'iter_8.pth')
    runner, _ = run(tmp_path, resume=True, **{'train_dataloader.batch_sampler.batch_size': 6})
    assert 'trained by 4 process(es), now there are 1' in log(runner)


def test_an_unchanged_run_says_nothing(tmp_path):
    run(tmp_path, max_iters=8)
    (tmp_path / 'iter_8.pth').unlink()
    (tmp_path / 'last_checkpoint').write_text('iter_4.pth')
    runner, _ = run(tmp_path, resume=True, log_level='INFO', **{'train_dataloader.num_workers': 1})
    text = log(runner)
    assert 'Resumed from' in text and 'Taken over' not in text and 'Rates are' not in text
