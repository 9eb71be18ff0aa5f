"""A comparison with equal tuning budgets: trials, choice, what is said of it, test data closed."""

import functools
import importlib.util
import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests' / 'utils'))
from stub_tools import write_stubs  # noqa: E402

from mmssl.experiments.runs import run_jobs  # noqa: E402
from tests.fake_files import write_prostate  # noqa: E402

BASE = ROOT / 'configs/sup_only/lite_phantom.py'
DATA = """
_base_ = ['{base}']
part = dict(data_root='{root}', domains=['A', 'B'], label_map={{0: 1, 255: 0}},
            case_pattern=r'(?P<case>\\d+)_(?P<slice>\\d+)', image_size=32)
model = dict(students=dict(unet=dict(
    backbone=dict(base_channels=4), decode_head=dict(in_channels=4, channels=4))))
train_dataloader = dict(dataset=dict(**part, labelled=dict(domain='A', num=6)))
test_dataloader = dict(dataset=part)
val_dataloader = test_dataloader
"""


@pytest.fixture
def tool(tmp_path, monkeypatch):
    path = ROOT / 'tools/analysis_tools/benchmark_methods.py'
    spec = importlib.util.spec_from_file_location('benchmark_methods', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'run_jobs', functools.partial(run_jobs, poll=0.01))
    root = write_prostate(tmp_path / 'data', domains=('A', 'B'), cases=4, per_case=2)
    (tmp_path / 'data.py').write_text(DATA.format(base=BASE, root=root))
    return module


@pytest.fixture
def compare(tool, tmp_path):
    """Call the tool on pretended trainings, whose score is 10 times `_fake.x`, and the seed."""
    write_stubs(tmp_path)
    for name, rate in (('one', 0.01), ('two', 0.5)):
        (tmp_path / f'{name}.py').write_text(
            f"_base_ = ['{BASE}']\n_fake = dict(x=1, y=0, fail=False)\n"
            f'optim_wrapper = dict(optimizers=dict(unet=dict(lr={rate})))\n'
        )

    def call(*words, methods='one,two'):
        named = ','.join(f'{name}={tmp_path / name}.py' for name in methods.split(','))
        out = ['--work-dir', str(tmp_path / 'out'), '--data', str(tmp_path / 'data.py')]
        tool.main(['--methods', named, '--iters', '2', *out, *words], tools=tmp_path)
        return tmp_path / 'out'

    return call


def table_of(out):
    """Return the tables without the blanks that only lay them out."""
    return re.sub(' +', ' ', (out / 'table.md').read_text())


def test_every_method_tries_as_many_settings_and_runs_with_the_best(compare, capsys):
    words = ('--tune', '_fake.x=2,7,4', 'lr*=1,3', '--trials', '4', '--seeds', '0,1')
    out = compare(*words)
    results = json.loads((out / 'results.json').read_text())
    tuning = results['tuning']
    assert (tuning['trials'], tuning['sampler'], tuning['seed']) == (4, 'tpe', 0)
    for label, rate in (('one', 0.01), ('two', 0.5)):
        made = tuning['methods'][label]
        assert len(made['tried']) == 4 and len(list((out / label / 'tune').glob('*/test.log'))) == 4
        best = max(made['tried'], key=lambda one: one['score'])
        assert made['chosen'] == best['setting']
        assert best['score'] == 10 * float(best['setting']['_fake.x']), 'of seed 0'
        options = made['options']
        factor = float(best['setting']['lr*'])
        assert float(options['optim_wrapper.optimizers.unet.lr']) == pytest.approx(rate * factor)
        settings = json.loads((out / label / 'seed1/settings.json').read_text())
        assert float(settings['optim_wrapper.optimizers.unet.lr']) == pytest.approx(rate * factor)
        assert 'holdout' not in str(settings), 'trained on all labelled cases in the end'
        table = table_of(out)
        row = next(line for line in table.splitlines() if line.startswith(f'| {label} '))
        assert f'_fake.x={best["setting"]["_fake.x"]}' in row
    assert table.count('| yes') == 2 and '1 of 3 labelled cases (A: ' in table
    assert 'no test image was used' in table
    capsys.readouterr()
    compare(*words)
    said = capsys.readouterr().out
    assert '4 runs: 4 done before' in said and 'trial' not in said, 'nothing is tried again'


def test_more_methods_join_and_other_plans_are_refused(compare):
    words = ('--tune', '_fake.x=2,7', '--trials', '2')
    compare(*words, methods='one')
    out = compare(*words, methods='two')
    results = json.loads((out / 'results.json').read_text())
    assert [row['labels'] for row in results['rows']] == [['one'], ['two']]
    assert sorted(results['tuning']['methods']) == ['one', 'two']
    with pytest.raises(ValueError, match='was made with other settings: _fake.x is 7 there'):
        compare('--tune', '_fake.x=3,4', '--trials', '2')
    with pytest.raises(ValueError, match='was made with other settings'):
        compare()


def test_a_trial_that_fails_counts_and_the_others_decide(compare):
    out = compare('--tune', '_fake.x&_fake.fail=2&False,9&True', '--trials', '2', methods='one')
    made = json.loads((out / 'results.json').read_text())['tuning']['methods']['one']
    assert sorted((one['score'] for one in made['tried']), key=str) == [20.0, None]
    assert '| failed ' in table_of(out)


def test_a_dry_run_shows_the_trials(compare, capsys):
    compare('--tune', '_fake.x=2,7', '--trials', '2', '--dry-run')
    said = capsys.readouterr().out
    assert said.count(': new') == 4 and 'two, trial _fake.x=7: new' in said


@pytest.mark.parametrize(
    'words, said',
    [
        (['--tune', '_fake.x=1,2'], '--tune needs --trials N'),
        (['--trials', '3'], 'say how --tune KEY=V1,V2 is done'),
        (['--tune', 'a', '--trials', '3'], '--tune "a" is not KEY=VALUE,VALUE'),
        (['--tune', 'model.rampe.x=1', '--trials', '3'], '--tune model.rampe.x: .* no "rampe"'),
        (['--tune', 'size_of_it*=1', '--trials', '3'], 'has no number "size_of_it" to multiply'),
        (['--tune', 'lr*=1', '--trials', '1', '--holdout', '2'], '--holdout 2 must be a share'),
    ],
    ids=lambda value: '',
)
def test_what_cannot_be_tuned_is_told_before_anything_runs(compare, tmp_path, words, said):
    with pytest.raises(ValueError, match=said):
        compare(*words)
    assert not list((tmp_path / 'out').glob('*/tune/*/calls.txt'))


@pytest.mark.slow
def test_the_choice_is_the_same_with_test_masks_of_noise(tool, tmp_path):
    """Real trainings: the masks of the test are exchanged, and the same is tried and chosen."""
    words = ['--methods', 'sup_only/lite_phantom', '--data', str(tmp_path / 'data.py')]
    words += ['--iters', '40', '--tune', 'lr*=0.001,1', '--trials', '2']
    tool.main([*words, '--work-dir', str(tmp_path / 'before')])
    for number, mask in enumerate(sorted((tmp_path / 'data').rglob('test/mask/*.png'))):
        noise = np.random.default_rng(number).integers(0, 2, (20, 24), dtype=np.uint8)
        cv2.imwrite(str(mask), 255 * noise)
    tool.main([*words, '--work-dir', str(tmp_path / 'after')])
    before, after = (
        json.loads((tmp_path / name / 'results.json').read_text()) for name in ('before', 'after')
    )
    assert before['tuning']['methods'] == after['tuning']['methods']
    scores = [one['score'] for one in before['tuning']['methods']['sup_only/lite_phantom']['tried']]
    assert len(set(scores)) == 2, 'the settings differ'
    assert before['rows'] != after['rows'], 'the noise is seen by the test'
