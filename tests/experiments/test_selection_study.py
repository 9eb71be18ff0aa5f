"""What a way to choose loses, and what is measured of a finished run."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmssl.apis import init_model, publish
from mmssl.experiments.kept_run import KeptRun
from mmssl.experiments.selection_study import Regret, Study, find_runs, place_of, places_of, regret
from mmssl.registry import RUNNERS
from mmssl.utils.errors import SettingError
from mmssl.utils.setup import register_all_modules

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_training import ROOT, config, phantom

__all__ = ['phantom']
TOOLS = ROOT / 'tools/analysis_tools'


def tool(name, *words):
    return runpy.run_path(str(TOOLS / f'{name}.py'))['main']([str(word) for word in words])


def fake_run(test, teacher, val=None, means=None, name='data/method/seed0'):
    """Return a measured run of two students, of which the curves are given."""
    iterations = [10 * (n + 1) for n in range(len(test['a']))]
    entries = {}
    for n, iteration in enumerate(iterations):
        entry = {
            'metrics': {f'{s}/teacher': teacher[s][n] for s in test},
            'test': {s: test[s][n] for s in test},
        }
        if val:
            entry['val'] = {s: val[s][n] for s in test}
        entries[f'iter_{iteration}'] = entry
    for way, value in (means or {}).items():
        entries[way] = {'test': {'a': value, 'b': 0.0}}
    return SimpleNamespace(
        iterations=iterations,
        entries=entries,
        students=lambda: list(test),
        history=lambda: [{'iter': i, **entries[f'iter_{i}']} for i in iterations],
        folder=Path('/x', name),
    )


def test_losses_are_against_the_best_student_at_the_best_checkpoint():
    one = regret(
        fake_run(
            test={'a': [50, 70, 60], 'b': [40, 80, 75]},
            teacher={'a': [0.1, 0.9, 0.2], 'b': [0.1, 0.3, 0.5]},
            val={'a': [1, 2, 5], 'b': [2, 3, 4]},
            means={'swa': 81.0},
        )
    )
    assert (one.data, one.method, one.best) == ('data', 'method', 80)
    assert one.lost == {
        'last': 20,  # a at 30
        'last, student by rank': 5,  # b at 30
        'val': 20,
        'rank': 10,  # a at 20
        'teacher': 10,
        'swa': -1,
    }, 'and no rule that the method does not have'


def test_the_choice_does_not_see_the_test():
    curves = dict(teacher={'a': [0.1, 0.9, 0.2], 'b': [0.1, 0.3, 0.5]})
    one = regret(fake_run(test={'a': [50, 70, 60], 'b': [40, 80, 75]}, **curves))
    other = regret(fake_run(test={'a': [70, 50, 60], 'b': [1, 2, 3]}, **curves))
    assert one.best - one.lost['rank'] == 70 and other.best - other.lost['rank'] == 50


def test_table_has_each_data_set_and_method_and_says_what_is_chance():
    regrets = [
        Regret(f'{d}{m}{s}', d, m, 80, {'last': 4 + s, 'rank': 1 + s, 'swa': 2.0})
        for d in ('A', 'B')
        for m in ('x', 'y')
        for s in (0, 1)
    ]
    regrets.append(Regret('Bx2', 'B', 'x', 80, {'last': 10, 'rank': 1}))
    study = Study(regrets)
    header, last, rank, swa = study.table()
    assert header == ['way', 'runs', 'mean', '95 %', 'worst', 'A', 'B', 'A/x', 'A/y', 'B/x', 'B/y']
    assert last[:3] == ['last', '9', '5.05'] and last[4:7] == ['10.00', '4.50', '5.60']
    assert rank[1] == '9' and swa[1] == '8' and rank[9] == '1.33'
    first, _ = study.words()
    assert first.startswith('rank is ahead of last by 3.') and 'more than chance' in first
    assert 'Wilcoxon over 9 runs' in first


def test_runs_are_found_and_trials_are_not(tmp_path):
    for place in ('m/seed0', 'm/seed1', 'm/tune/lr=1', 'other'):
        (tmp_path / place).mkdir(parents=True)
        for number in (1, 2) if place != 'other' else (1,):
            (tmp_path / place / f'iter_{number}.pth').touch()
    assert find_runs([tmp_path]) == [tmp_path / 'm/seed0', tmp_path / 'm/seed1']
    assert find_runs([tmp_path / 'm/tune/lr=1']) == [tmp_path / 'm/tune/lr=1']
    with pytest.raises(SettingError, match='has 1 checkpoint iter_.*max_keep_ckpts'):
        KeptRun(tmp_path / 'other', tmp_path / 'x.json')
    with pytest.raises(SettingError, match='No training below .*other kept several'):
        find_runs([tmp_path / 'other'])
    for name in ('missing', 'other/iter_1.pth'):
        with pytest.raises(SettingError, match=f'no folder ".*{name}"'):
            find_runs([tmp_path / name])
        with pytest.raises(SettingError, match=f'no folder ".*{name}"'):
            KeptRun(tmp_path / name, tmp_path / 'x.json')
    two = [tmp_path / 'x' / 'd/m/seed0', tmp_path / 'y' / 'd/m/seed0']
    assert len(places_of(two, None)) == 2
    with pytest.raises(SettingError, match='x/d/m/seed0 and .*y/d/m/seed0 would both'):
        places_of(two, tmp_path)
    assert place_of(tmp_path / 'other', None) == tmp_path / 'other/selection.json'


@pytest.fixture
def measured(tmp_path):
    """Return a function that opens a run whose two checkpoints and mean are measured."""
    for number in (1, 2):
        (tmp_path / f'iter_{number}.pth').write_bytes(b'x' * number)

    def kept(**options):
        return KeptRun(tmp_path, tmp_path / 'x.json', **options)

    run = kept()
    for i in (1, 2):
        run.keep(f'iter_{i}', {'stamp': run.stamps[i], 'test': {'a': i}})
    run.keep('swa', {'stamp': run.all_stamps, 'test': {'a': 3}})
    return kept


def test_what_was_asked_otherwise_is_kept_beside(measured):
    other = measured(num_images=4)
    assert not other.entries
    other.keep('iter_1', {'stamp': other.stamps[1], 'test': {'a': 9}})
    assert measured(num_images=4).entries['iter_1']['test'] == {'a': 9}
    assert set(measured().entries) == {'iter_1', 'iter_2', 'swa'}


@pytest.mark.parametrize('name, left', [('iter_2', {'iter_1'}), ('iter_3', {'iter_1', 'iter_2'})])
def test_what_was_measured_of_other_checkpoints_does_not_count(measured, tmp_path, name, left):
    (tmp_path / f'{name}.pth').write_bytes(b'another')
    assert set(measured().entries) == left


def test_the_one_behind_a_changed_checkpoint_is_measured_again(measured, tmp_path, monkeypatch):
    """Its stability is the agreement with that."""
    seen = []
    look = SimpleNamespace(scores={}, masks={})
    monkeypatch.setattr(KeptRun, 'state', lambda self, iteration: seen.append(iteration))
    monkeypatch.setattr(KeptRun, 'load', lambda self, state: None)
    monkeypatch.setattr(KeptRun, 'look', lambda self: look)
    monkeypatch.setattr(KeptRun, 'images', SimpleNamespace(stability=lambda *masks: {}))
    monkeypatch.setattr(KeptRun, 'model', SimpleNamespace(outputs=['a']))
    monkeypatch.setattr(KeptRun, 'score', lambda self: {'test': {'a': 1}})
    measured().measure()
    assert seen == [], 'nothing is left to do'
    (tmp_path / 'iter_1.pth').write_bytes(b'another')
    measured().measure()
    assert seen == [1], 'of what was measured without a note of the one before'
    (tmp_path / 'iter_2.pth').write_bytes(b'another one')
    measured().measure()
    (tmp_path / 'iter_1.pth').write_bytes(b'changed again')
    measured().measure()
    assert seen == [1, 1, 2, 1, 2]


@pytest.mark.parametrize('name', ['iter_1.pth', 'best_unet_DSC_iter_4.pth', 'mean', 'm.mmssl'])
def test_a_mean_takes_no_place_of_a_checkpoint(measured, tmp_path, name):
    with pytest.raises(SettingError, match='must be a file NAME.pth'):
        tool('average_checkpoints', tmp_path, '--out', tmp_path / name)
    assert (tmp_path / 'iter_1.pth').read_bytes() == b'x'


def test_a_study_goes_on_past_a_folder_that_is_no_run(measured, tmp_path, capsys):
    with pytest.raises(SettingError, match='No finished run is measured'):
        tool('selection_study', tmp_path)
    assert 'is left out: ' in capsys.readouterr().out
    assert not (tmp_path / 'selection_study.json').exists()


def test_validation_is_on_images_that_are_neither_trained_on_nor_the_test_set(monkeypatch):
    def validated_on(**updates):
        kept = KeptRun.__new__(KeptRun)
        kept.cfg = config('data', 'x')
        kept.cfg.merge_from_dict(updates)
        monkeypatch.setattr(kept, '_runner', lambda what, dataset: dict(dataset))
        return kept.validator

    assert validated_on() is None, 'the val_dataloader has the test set'
    own = validated_on(**{'val_dataloader.dataset.mode': 'val'})
    assert own['mode'] == 'val'
    held = validated_on(**{'train_dataloader.dataset.holdout': dict(fraction=0.5)})
    assert held['mode'] == 'val' and held['holdout'] == dict(fraction=0.5)
    assert held['labelled'].num == 3 and 'labelled_pipeline' not in held


@pytest.fixture(scope='module')
def trained(phantom, tmp_path_factory):
    """Train with four checkpoints, the last of which is validated."""
    register_all_modules()
    folder = tmp_path_factory.mktemp('runs') / 'data/synfoc/seed0'
    options = {
        'default_hooks.checkpoint.interval': 2,
        'optim_wrapper.optimizers.unet.lr': 0.1,
        'train_dataloader.dataset.holdout': dict(fraction=0.5),
    }
    RUNNERS.build(config(phantom, folder, 8, **options)).train()
    (folder / 'config.py').write_text(config(phantom, folder, 8, **options).pretty_text)
    return folder


@pytest.mark.slow
def test_a_finished_run_is_measured_once_and_goes_on(trained, tmp_path, capsys, monkeypatch):
    before = sorted((p, p.stat().st_mtime) for p in trained.rglob('*'))
    assert tool('selection_study', trained.parents[1], '--out', tmp_path, '--num-images', 6) == 0
    assert sorted((p, p.stat().st_mtime) for p in trained.rglob('*')) == before
    file = tmp_path / 'data-synfoc-seed0.json'
    whole = json.loads(file.read_text())
    names = [f'iter_{i}' for i in (2, 4, 6, 8)]
    assert list(whole['entries']) == [*names, 'swa', 'ema', 'soup']
    history = json.loads((trained / 'summary.json').read_text())['history'][-1]
    assert history['iter'] == 8
    for student in ('sam', 'unet'):
        tested = whole['entries']['iter_8']['test'][student]
        assert tested == pytest.approx(history['metrics'][f'{student}/DSC'])
        assert 0 <= whole['entries']['iter_8']['val'][student] <= 100
    assert whole['entries']['swa']['of'] == [6, 8]
    table = capsys.readouterr().out
    assert 'last, student by rank' in table and 'soup' in table
    part = {k: v for k, v in whole['entries'].items() if k not in ('iter_6', 'soup')}
    file.write_text(json.dumps({**whole, 'entries': part}))
    tool('selection_study', trained, '--out', tmp_path, '--num-images', 6)
    again = json.loads(file.read_text())['entries']
    assert again['iter_6'] == whole['entries']['iter_6'], 'with the masks of the one before'
    assert again['soup'] == whole['entries']['soup']
    monkeypatch.setattr(KeptRun, 'look', lambda self: pytest.fail('nothing is left to measure'))
    tool('selection_study', trained, '--out', tmp_path, '--num-images', 6)


@pytest.mark.slow
@pytest.mark.parametrize('by', ['swa', 'ema', 'soup'])
def test_a_mean_is_a_checkpoint_for_all_that_take_one(trained, tmp_path, by):
    out = tmp_path / 'mean.pth'
    tool('average_checkpoints', trained, '--by', by, '--out', out, '--num-images', 6)
    mean = torch.load(out, weights_only=True)
    assert mean['meta']['mean']['by'] == by and 'optimizer' not in mean
    states = [
        torch.load(trained / f'iter_{i}.pth', weights_only=True)['state_dict']
        for i in mean['meta']['mean']['iterations']
    ]
    name = next(k for k in states[0] if k.startswith('students.unet') and 'conv.weight' in k)
    if by != 'ema':
        expected = torch.stack([s[name] for s in states]).mean(0)
        assert torch.allclose(mean['state_dict'][name], expected, atol=1e-6)
    model = init_model(str(trained / 'config.py'), out)
    assert torch.equal(model.state_dict()[name], mean['state_dict'][name])
    publish(str(trained / 'config.py'), str(out), tmp_path / 'mean.mmssl')
    assert init_model(str(tmp_path / 'mean.mmssl')).bundle
