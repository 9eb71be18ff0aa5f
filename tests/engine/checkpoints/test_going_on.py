"""Which file a run goes on from, what may be another then, and what it may remove."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from engine_toy import ToyMetric, config

from mmssl.engine import (
    IncompleteCheckpointError,
    UnreadableCheckpointError,
    atomic_save,
    load_checkpoint_file,
)
from mmssl.engine.checkpoints import io as checkpoint_io
from mmssl.engine.checkpoints.folder import own_name, read_pointer
from mmssl.engine.checkpoints.hook import CheckpointHook
from mmssl.registry import RUNNERS

BEST = {
    'default_hooks.checkpoint.save_best': 'sam/DSC',
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
}


def build(folder, **options):
    ToyMetric.count = 0
    return RUNNERS.build(config(folder, **options))


def train(folder, **options):
    runner = build(folder, **options)
    runner.train()
    return runner


def log(runner):
    return next(Path(runner.log_dir).glob('*.log')).read_text()


def names(folder):
    return sorted(path.name for path in Path(folder).glob('*.pth'))


def rewrite(file, change):
    checkpoint = load_checkpoint_file(file)
    change(checkpoint)
    atomic_save(checkpoint, file)


@pytest.fixture(scope='module')
def short(tmp_path_factory):
    """A run of four of its eight iterations, with its best checkpoint."""
    folder = tmp_path_factory.mktemp('short') / 'run'
    train(folder, max_iters=4, **BEST)
    return folder


@pytest.fixture
def run(short, tmp_path):
    return Path(shutil.copytree(short, tmp_path / 'run'))


def fail_to_read(monkeypatch, name, number):
    real = open

    def failing(file, *args, **kwargs):
        if str(file).endswith(name):
            raise OSError(number, os.strerror(number), str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(checkpoint_io, 'open', failing, raising=False)


@pytest.mark.parametrize('number', [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_file_that_may_be_sound_stops_the_run(run, monkeypatch, number):
    before = (run / 'iter_4.pth').read_bytes()
    with monkeypatch.context() as patch:
        fail_to_read(patch, 'iter_4.pth', number)
        with pytest.raises(UnreadableCheckpointError, match=f'{os.strerror(number)}.*may be sound'):
            train(run, resume=True, **BEST)
    assert (run / 'iter_4.pth').read_bytes() == before


@pytest.mark.parametrize('name', ['iter_4.pth', 'last_checkpoint'])
@pytest.mark.parametrize('what', ['cut', 'empty', 'gone', 'binary', 'flipped'])
def test_checkpoints_of_which_none_is_whole_stop_the_run(run, name, what):
    file = run / name
    data = file.read_bytes()
    (run / 'iter_4.pth').unlink()
    if what != 'gone':
        file.write_bytes(
            {
                'cut': data[:-7],
                'empty': b'',
                'binary': bytes(range(99, 256)),
                'flipped': bytes([data[0] ^ 1]) + data[1:],
            }[what]
        )
    said = 'no whole checkpoint.*--overwrite'
    with pytest.raises(IncompleteCheckpointError, match=said) as error:
        train(run, resume=True, **BEST)
    assert '\n' not in str(error.value)
    assert 'iter_2.pth' not in names(run) and 'best_sam_DSC_iter_4.pth' in names(run)


@pytest.mark.parametrize('text', [b'\xff\xfe\x00iter', b'', b'/etc/passwd', b'x' * 10_000])
def test_a_foreign_pointer_is_left_aside(run, text):
    (run / 'last_checkpoint').write_bytes(text)
    assert train(run, resume=True, **BEST).iter == 8
    assert (run / 'last_checkpoint').read_text() == 'iter_8.pth'


def test_an_old_pointer_with_a_whole_path_is_read(run):
    (run / 'last_checkpoint').write_text('/elsewhere/run/iter_4.pth')
    assert read_pointer(run) == 'iter_4.pth'
    assert 'iter_4.pth at iteration 4' in log(train(run, resume=True, log_level='INFO', **BEST))


def test_a_folder_that_cannot_be_listed_stops_the_run(run, monkeypatch):
    from mmssl.engine.checkpoints import folder as module

    def fail(path):
        raise PermissionError(errno.EACCES, 'Permission denied', str(path))

    monkeypatch.setattr(module.os, 'listdir', fail)
    with pytest.raises(UnreadableCheckpointError, match='Permission denied'):
        train(run, resume=True, **BEST)


@pytest.mark.parametrize('elsewhere', ['resumed', 'copied'])
def test_nothing_of_the_run_it_came_from_is_removed(short, tmp_path, elsewhere):
    before = names(short)
    if elsewhere == 'copied':
        shutil.copytree(short, tmp_path / 'b')
    source = {} if elsewhere == 'copied' else {'load_from': str(short / 'iter_4.pth')}
    runner = build(tmp_path / 'b', resume=True, **source, **BEST)
    ToyMetric.count = -9  # scores of sam are better than those before
    runner.train()
    assert names(short) == before and 'best_sam_DSC_iter_4.pth' in before
    kept = names(tmp_path / 'b')
    assert len(kept) == 2 and 'iter_8.pth' in kept and 'best_sam_DSC_iter_4.pth' not in kept


def test_the_best_so_far_comes_along(short, tmp_path):
    runner = build(tmp_path / 'b', resume=True, load_from=str(short / 'iter_4.pth'), **BEST)
    ToyMetric.count = 5  # worse
    runner.train()
    assert names(tmp_path / 'b') == ['best_sam_DSC_iter_4.pth', 'iter_8.pth']
    assert runner.message_hub.get_info('best_ckpt') == 'best_sam_DSC_iter_4.pth'


@pytest.mark.parametrize(
    'key, value',
    [
        ('best_ckpt', '{victim}'),
        ('best_ckpt', '../thesis.pth'),
        ('best_ckpt', ['a']),
        ('last_ckpt', '{victim}'),
        ('keep_ckpt_ids', ['../../thesis', '4/../../thesis']),
        ('keep_ckpt_ids', '4'),
        ('extra_ckpt_id', '/../../thesis'),
        ('best_score', 'high'),
    ],
)
def test_a_crafted_checkpoint_removes_nothing(run, tmp_path, key, value):
    victim = tmp_path / 'thesis.pth'
    victim.write_text('years')
    value = value.format(victim=victim) if isinstance(value, str) else value
    rewrite(run / 'iter_4.pth', lambda c: c['message_hub']['info'].update({key: value}))
    runner = build(run, resume=True, **BEST)
    ToyMetric.count = -9
    runner.train()
    assert victim.read_text() == 'years' and runner.iter == 8


def test_names_of_other_files_are_none_of_ours():
    assert own_name('C:\\runs\\iter_4.pth') == 'iter_4.pth'
    for value in ('model.pth', '.iter_4.pth', 'iter_4.pth\n', 'iter_x.pth', '', None, 4):
        assert own_name(value) is None
    with pytest.raises(ValueError, match='filename_tmpl'):
        CheckpointHook(filename_tmpl='../{}.pth')


@pytest.mark.parametrize(
    'options, said',
    [
        ({'model.norm': 'gn'}, 'another run: model.norm'),
        ({'train_dataloader.dataset.noise': 'used'}, 'train_dataloader.dataset.noise'),
        (
            {'optim_wrapper.optimizers.sam.type': 'Adam'},
            "sam.type is 'AdamW' there and 'Adam' here",
        ),
    ],
)
def test_another_run_does_not_go_on(run, options, said):
    before = (run / 'iter_4.pth').read_bytes()
    for source in ({}, {'load_from': str(run / 'iter_4.pth')}):
        with pytest.raises(ValueError, match=f'{said}.*another --work-dir') as error:
            train(run, resume=True, **source, **options, **BEST)
        assert '\n' not in str(error.value)
    assert (run / 'iter_4.pth').read_bytes() == before


@pytest.mark.parametrize(
    'options, said',
    [
        ({}, 'this very run.*--resume'),
        ({'model.norm': 'gn'}, "model.norm is not set there and 'gn' here.*--overwrite"),
        ({'load_from': 'here'}, 'this very run'),
        ({'load_from': 'elsewhere', 'resume': True}, 'this very run'),
    ],
)
def test_a_used_folder_is_not_overwritten(short, run, options, said):
    where = {'here': run, 'elsewhere': short}
    options = {
        k: str(where[v] / 'iter_4.pth') if k == 'load_from' else v for k, v in options.items()
    }
    with pytest.raises(ValueError, match=said):
        train(run, **{'train_cfg.max_iters': 4}, **options, **BEST)
    assert names(run) == names(short)


def test_overwriting_is_asked_for(run):
    (run / 'notes.txt').write_text('mine')
    (run / 'other.pth').write_text('mine')
    runner = train(run, overwrite=True, **{'default_hooks.checkpoint.interval': 8})
    assert 'Removed the run' in log(runner)
    assert names(run) == ['iter_8.pth', 'other.pth'] and (run / 'notes.txt').exists()


def test_a_folder_without_checkpoints_is_free(tmp_path):
    (tmp_path / 'run.json').write_text('{broken')
    (tmp_path / '20240101_000000').mkdir()
    train(tmp_path)
    settings = json.loads((tmp_path / 'run.json').read_text())['settings']
    assert settings['model.type'] == "'ToyModel'"
    assert load_checkpoint_file(tmp_path / 'iter_8.pth')['meta']['settings'] == settings


def test_out_dir_has_a_folder_for_each_method_and_config(tmp_path):
    out = {'default_hooks.checkpoint.out_dir': str(tmp_path / 'out')}
    for method in ('one', 'two'):
        train(tmp_path / method / 'run', max_iters=4, **out)
    assert names(tmp_path / 'out' / 'one' / 'run') == names(tmp_path / 'out' / 'two' / 'run')
    assert train(tmp_path / 'one' / 'run', resume=True, **out).iter == 8
    assert (tmp_path / 'one' / 'run' / 'last_checkpoint').read_text() == 'iter_8.pth'


@pytest.mark.parametrize(
    'change, said',
    [
        (lambda c: c.update(message_hub=[1]), 'message_hub of another form'),
        (lambda c: c['message_hub']['info'].update(last_val_iter='4'), "last_val_iter is '4'"),
        (lambda c: c['message_hub']['info'].update(eval_history=[3]), 'eval_history has an entry'),
        (lambda c: c['message_hub'].update(scalars={'a': 3}), 'message_hub of another form'),
        (lambda c: c['meta'].update(iter=-1), 'says iter -1'),
        (lambda c: c['meta'].update(epoch='two'), "says epoch 'two'"),
        (lambda c: c['meta'].update(iter=99), 'stands at iteration 99, train_cfg.max_iters is 8'),
        (lambda c: c.update(meta='none'), 'no optimiser state'),
        (lambda c: c.update(optimizer=3), 'no optimiser state by name'),
        (lambda c: c['optimizer'].update(sam=[]), 'sam. has an optimiser state that is none'),
        (
            lambda c: c['optimizer'].update(sam=c['optimizer']['unet'] | {'param_groups': []}),
            'parameters in its groups',
        ),
        (
            lambda c: c['optimizer']['unet']['state'].update(
                {0: {'momentum_buffer': torch.ones(3, 3)}}
            ),
            r'momentum_buffer of parameter 0 is \(3, 3\), the parameter \(6, 4\)',
        ),
        (lambda c: c['optimizer']['unet']['state'].update({77: {}}), 'in no group'),
        (
            lambda c: c['state_dict']['ema'].fill_(float('nan')),
            'NaN or infinite values in 1 tensors',
        ),
        (lambda c: c['state_dict'].update(ema='text'), '"ema" as a str'),
        (lambda c: c['state_dict'].update(ema=torch.ones(6, 4, dtype=torch.cfloat)), 'complex64'),
    ],
)
def test_what_a_checkpoint_holds_is_checked_before_it_is_taken(run, change, said):
    rewrite(run / 'iter_4.pth', change)
    with pytest.raises(ValueError, match=said) as error:
        train(run, resume=True, **BEST)
    assert '\n' not in str(error.value) and names(run)[-1] == 'iter_4.pth'
