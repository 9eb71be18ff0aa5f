"""Methods over several data sets, against numbers that are known otherwise."""

import json

import numpy as np
import pytest
from scipy import stats

from mmssl.evaluation.statistics import CaseScores, merge, welch
from mmssl.reports.across import Across
from mmssl.utils.errors import SettingError
from mmssl.utils.packaged import TOOLS

LABELLED = 'train_dataloader.dataset.labelled.domain'


def write(folder, seed, gain, parts=('lung',), dataset='Lungs', labelled='A', count=12, other=0.0):
    """Write a training with its test: images of domains A and B, whose scores differ by images."""
    images = [
        {
            'domain': domain,
            'name': f'{domain}{i}',
            'case': f'{domain}{i}',
            'index': None,
            'scores': {
                student: {
                    part: {m: 70.0 + i + more + gain * (domain == 'B') for m in METRICS}
                    for part in parts
                }
                for student, more in (('sam', 0.1 * seed), ('unet', other))
            },
        }
        for domain in 'AB'
        for i in range(count)
    ]
    place = folder / f'seed{seed}'
    place.mkdir(parents=True)
    (place / 'run.json').write_text(json.dumps({'settings': {LABELLED: repr(labelled)}}))
    result = {'dataset': dataset, 'students': {'sam': {}, 'unet': {}}, 'images': images}
    (place / 'result_last.json').write_text(json.dumps(result))


METRICS = ('DSC', 'Jaccard', 'HD95', 'ASD')


@pytest.fixture
def two_sets(tmp_path):
    """`plain` and `better` on two data sets; better gains 1 and 3 on the domain without labels."""
    for name, gain, parts in (('one', 1.0, ('lung',)), ('two', 3.0, ('cup', 'disc'))):
        for seed in range(3):
            write(tmp_path / name / 'plain', seed, 0.0, parts, dataset=name)
            write(tmp_path / name / 'better', seed, gain, parts, dataset=name, other=5.0)
    return [tmp_path / 'one', tmp_path / 'two']


def test_each_data_set_counts_the_same_however_many_parts_it_has(two_sets):
    found = Across(two_sets)
    (difference,) = found.chance.differences
    assert found.chance.best == 'better' and difference.name == 'plain'
    assert difference.value == pytest.approx((1 / 2 + 3 / 2) / 2)
    assert difference.patients == 48
    better, plain = sorted(found.rows, key=lambda row: row.name)
    mean = 70 + 5.5 + 0.1
    assert better.get(('one', 'mean', 'DSC')).mean == pytest.approx(mean + 1 / 2)
    assert better.get(('two', 'mean', 'DSC')).mean == pytest.approx(mean + 3 / 2)
    assert better.get(('mean', 'mean', 'DSC')).mean == pytest.approx(mean + 1)
    assert plain.get(('mean', 'mean', 'HD95')).mean == pytest.approx(mean)
    assert better.notes['mean rank'] == '1.00' and plain.notes['mean rank'] == '2.00'


def test_the_domains_without_labels_are_those_that_the_training_had_none_of(two_sets):
    (difference,) = Across(two_sets, domains='unlabelled').chance.differences
    assert difference.value == pytest.approx((1 + 3) / 2) and not difference.by_chance
    (difference,) = Across(two_sets, domains='labelled').chance.differences
    assert difference.value == pytest.approx(0) and difference.by_chance


def test_where_less_is_better_the_ranks_turn(two_sets):
    found = Across(two_sets, metric='HD95')
    assert found.chance.best == 'plain'
    assert {row.name: row.notes['mean rank'] for row in found.rows} == {
        'plain': '1.00',
        'better': '2.00',
    }


def test_another_student_and_a_method_that_one_set_lacks(two_sets, tmp_path):
    write(two_sets[0] / 'alone', 0, 9.0)
    found = Across(two_sets, student='unet')
    assert found.compared == ['better', 'plain']
    assert found.chance.differences[0].value == pytest.approx(5 + 1)
    alone = next(row for row in found.rows if row.name == 'alone')
    assert alone.notes['mean rank'] == '-' and alone.get(('mean', 'mean', 'DSC')).mean is None
    assert alone.get(('one', 'mean', 'DSC')).mean == pytest.approx(75.5 + 9 / 2)
    assert any('not compared: alone.' in line for line in found.words())


def test_what_cannot_be_compared_is_said(two_sets, tmp_path):
    with pytest.raises(SettingError, match='named twice'):
        Across([two_sets[0], two_sets[0] / '..' / 'one'])
    with pytest.raises(SettingError, match='no finished test of student "mean"'):
        Across(two_sets, student='mean')
    write(tmp_path / 'every' / 'plain', 0, 0.0, labelled='all')
    with pytest.raises(SettingError, match='does not say which domain had labels'):
        Across([tmp_path / 'every'], domains='unlabelled')
    write(tmp_path / 'far' / 'plain', 0, 0.0, labelled='C')
    with pytest.raises(SettingError, match='are of other domains'):
        Across([tmp_path / 'far'], domains='labelled')


def test_the_command_prints_and_writes(two_sets, tmp_path, capsys, monkeypatch):
    import runpy

    monkeypatch.setattr('sys.argv', ['compare_across.py'])
    main = runpy.run_path(str(TOOLS / 'analysis_tools' / 'compare_across.py'))['main']
    assert main([*map(str, two_sets), '--out', str(tmp_path / 'out')]) == 0
    shown = capsys.readouterr().out
    assert 'better is ahead of plain by 1.00 in 100 % of resamples' in shown
    assert 'Mean over 2 data sets: one, two.' in shown
    files = {path.name for path in (tmp_path / 'out').iterdir()}
    assert files == {'table.md', 'table.csv', 'results.json', 'DSC.png'}
    content = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert content['compared'] == ['better', 'plain'] and content['chance']['best'] == 'better'
    assert 'better,two,mean,DSC' in (tmp_path / 'out' / 'table.csv').read_text()


def test_welch_is_that_of_scipy_and_trainings_are_compared_within_a_data_set():
    rng = np.random.default_rng(0)
    one, other = rng.normal(1, 1, 4).tolist(), rng.normal(0, 3, 5).tolist()
    assert welch([one], [other]) == pytest.approx(
        stats.ttest_ind(one, other, equal_var=False).pvalue
    )
    # data sets that differ by fifty points: together they tell nothing, each by itself does
    easy, hard = [90.0, 90.4, 90.2], [40.1, 40.3, 40.0]
    gained = [[value + 0.6 for value in own] for own in (easy, hard)]
    assert welch(gained, [easy, hard]) < 0.01
    assert stats.ttest_ind(sum(gained, []), easy + hard, equal_var=False).pvalue > 0.9
    assert welch([[1.0, 2.0], [1.0]], [[1.0, 2.0], [1.0, 3.0]]) is None
    assert welch([[1.0, 1.0]], [[1.0, 1.0]]) == 1.0 and welch([[2.0, 2.0]], [[1.0, 1.0]]) == 0.0


def test_welch_over_data_sets_rejects_as_often_as_it_says():
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(4000, 2, 3, 3)) * np.array([0.3, 1.0, 3.0])[:, None]
    found = [welch(one.tolist(), other.tolist()) < 0.05 for one, other in draws]
    assert 0.02 < np.mean(found) < 0.065


def test_a_patient_of_two_data_sets_is_drawn_for_both():
    """Two sets with the same patients and opposite errors: together nothing is left to chance."""
    error = np.array([-3.0, -1.0, 1.0, 3.0])[:, None, None]
    of = [CaseScores(['a'], 50 + sign * error, 'DDDD', '0123', {'a': [[50.0]]}) for sign in (1, -1)]
    assert np.ptp(merge(of).draws()[:, 0]) == pytest.approx(0)
    assert np.ptp(of[0].draws()[:, 0]) > 1
    with pytest.raises(ValueError, match='other methods'):
        merge([of[0], of[0]._replace(names=['b'])])
