"""Intervals, paired tests and calibration against values that are known otherwise."""

import itertools

import numpy as np
import pytest

from mmssl.evaluation.domain_table import average
from mmssl.evaluation.statistics import (
    CaseScores,
    bland_altman,
    bootstrap_means,
    calibration,
    holm,
    interval,
    rank_stability,
    reliability_of,
    reliability_sums,
    share_ahead,
    wilcoxon,
)


def test_every_resample_of_three_patients_comes_as_often_as_it_should():
    """The distribution of the mean of 3 drawn of 3 is known: 27 draws of equal chance."""
    values = np.array([0.0, 1.0, 3.0])
    known = [round(np.mean(draw), 9) for draw in itertools.product(values, repeat=3)]
    draws = bootstrap_means(values[:, None], 'AAA', '012', resamples=40000, seed=1)[:, 0].round(9)
    assert {*draws.tolist()} == {*known}
    for value in {*known}:
        expected = known.count(value) / len(known)
        assert np.mean(draws == value) == pytest.approx(expected, abs=0.01)


def test_a_patient_is_drawn_with_all_slices():
    """Slices of one patient never part: two patients of 1 and of 99 slices, means 0 and 1."""
    values = np.array([0.0] + [1.0] * 99)[:, None]
    draws = bootstrap_means(values, ['A'] * 100, ['p'] + ['q'] * 99, resamples=4000)[:, 0]
    assert {*draws.round(9).tolist()} == {0.0, 0.99, 1.0}
    assert np.mean(draws == 0) == pytest.approx(0.25, abs=0.03)


def test_domains_are_resampled_apart_and_count_the_same():
    values = np.array([1.0, 1.0, 1.0, 1.0, 5.0])[:, None]
    draws = bootstrap_means(values, 'AAAAB', '01230', resamples=50)
    assert (draws == 3).all(), 'the only patient of B is in every resample, and weighs one half'


def test_columns_share_their_draws_and_nan_is_left_out():
    rng = np.random.default_rng(0)
    one = rng.normal(size=30)
    values = np.stack([one, one + 2, np.where(np.arange(30) < 29, np.nan, 7.0)], axis=1)
    draws = bootstrap_means(values, ['A'] * 30, [str(i) for i in range(30)], resamples=500)
    assert np.allclose(draws[:, 1] - draws[:, 0], 2)
    known = draws[:, 2][~np.isnan(draws[:, 2])]
    assert (known == 7).all() and 0 < len(known) < 500
    assert interval(draws[:, 2]) == (7, 7)
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_interval_of_a_mean_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(400, 1))
    low, high = interval(bootstrap_means(values, ['A'] * 400, [str(i) for i in range(400)])[:, 0])
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_holm_against_the_published_example_and_statsmodels():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    found = holm([0.02, float('nan'), 0.01])
    assert found[0] == 0.02 and np.isnan(found[1]) and found[2] == 0.02
    multitest = pytest.importorskip('statsmodels.stats.multitest')
    values = np.random.default_rng(0).uniform(size=9) ** 3
    assert holm(values) == pytest.approx(multitest.multipletests(values, method='holm')[1])


def test_wilcoxon_is_exact_and_takes_patients():
    """Six equal signs of six pairs: p = 2 / 2**6; the depression scores of Hollander and Wolfe."""
    assert wilcoxon(np.arange(1.0, 7), np.zeros(6)) == pytest.approx(2 / 64)
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    assert wilcoxon(before, after) == pytest.approx(0.03906, abs=1e-5)
    slices = wilcoxon(np.repeat(before, 4), np.repeat(after, 4), np.repeat([*'abcdefghi'], 4))
    assert slices == pytest.approx(0.03906, abs=1e-5), 'four slices of a patient are one pair'
    assert wilcoxon(before, before) == 1.0
    assert np.isnan(wilcoxon(np.array([np.nan]), np.array([1.0])))


def case_scores(gain=0.0, noise=1.0, count=24, runs=None, greater=True, seed=0):
    rng = np.random.default_rng(seed)
    base = rng.normal(80, 5, size=(count, 1))
    values = np.stack([base + gain + noise * rng.normal(size=(count, 1)), base], axis=1)
    domains = ['A'] * (count // 2) + ['B'] * (count - count // 2)
    patients = [str(i // 2) for i in range(count)]
    return CaseScores(['new', 'old'], values, domains, patients, runs or {}, greater)


def test_a_gain_is_told_from_chance():
    (gain,) = case_scores(gain=3.0).differences('new')
    assert gain.value == pytest.approx(3, abs=0.5) and gain.low > 0 and gain.ahead == 1
    assert gain.p < 0.05 and gain.patients == 12 and not gain.by_chance
    assert 'new is ahead of old by ' in gain.words('new') and 'more than chance' in gain.words(
        'new'
    )
    (loss,) = case_scores(gain=3.0).differences('old')
    assert loss.value == pytest.approx(-gain.value) and loss.ahead == 0
    assert 'old is behind new by' in loss.words('old') and '100 % of resamples' in loss.words('old')
    (same,) = case_scores(gain=0.0).differences('new')
    assert same.low < 0 < same.high and same.by_chance
    (lower,) = case_scores(gain=3.0, greater=False).differences('new')
    assert lower.value == pytest.approx(-gain.value), 'where less is better, less is ahead'


def test_trainings_that_differ_more_than_methods_make_it_chance():
    apart = case_scores(gain=3.0, runs={'new': [[83.0, 83.2, 82.9]], 'old': [[80.0, 80.1, 79.9]]})
    mixed = case_scores(gain=3.0, runs={'new': [[90.0, 76.0, 83.0]], 'old': [[85.0, 75.0, 80.0]]})
    single = case_scores(gain=3.0, runs={'new': [[83.0]], 'old': [[80.0, 80.1]]})
    assert not apart.differences('new')[0].by_chance
    assert apart.differences('new')[0].p_runs < 0.001
    assert mixed.differences('new')[0].by_chance and mixed.differences('new')[0].p_runs > 0.3
    assert single.differences('new')[0].p_runs is None


def test_few_patients_never_say_more_than_chance():
    (gain,) = case_scores(gain=30.0, count=8).differences('new')
    assert gain.low > 0 and gain.p == pytest.approx(2 / 2**4) and gain.by_chance


def test_means_are_those_of_the_table():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(7, 2, 3))
    values[2, 0, 1] = values[5, 1, 2] = np.nan
    domains = 'AAABBBB'
    items = [
        {
            'domain': domain,
            'scores': {
                name: {f'p{k}': {'DSC': row[m, k]} for k in range(3)}
                for m, name in enumerate(('a', 'b'))
            },
        }
        for domain, row in zip(domains, values, strict=True)
    ]
    table = average(items, ['DSC'])
    found = CaseScores(['a', 'b'], values, domains, '0123456', {}).means()
    assert found == pytest.approx([table[name]['mean']['DSC'] for name in ('a', 'b')], rel=1e-12)


def test_ranks_say_how_stable_an_order_is():
    sure = rank_stability(['a', 'b', 'c'], np.tile([3.0, 2.0, 1.0], (20, 1)))
    assert sure.first == {'a': 1, 'b': 0, 'c': 0} and sure.tau == 1
    assert sure.mean == {'a': 1, 'b': 2, 'c': 3}
    lower = rank_stability(['a', 'b', 'c'], np.tile([3.0, 2.0, 1.0], (20, 1)), greater=False)
    assert lower.mean == {'a': 3, 'b': 2, 'c': 1}
    tied = rank_stability(['a', 'b'], np.array([[1.0, 1.0], [np.nan, 0.0]]))
    assert tied.first == {'a': 0.25, 'b': 0.75}
    assert share_ahead(np.array([1.0, 2.0]), np.array([1.0, 1.0])) == 0.75


def test_calibration_by_hand():
    """Four pixels at 0.95 of which three are right, two at 0.55 of which one is."""
    confidence = np.array([0.95] * 4 + [0.55] * 2)
    right = np.array([1, 1, 1, 0, 1, 0])
    found = calibration(confidence, right, bins=10)
    assert found.pixels[[5, 9]].tolist() == [2, 4] and found.pixels.sum() == 6
    assert found.accuracy[[5, 9]].tolist() == [0.5, 0.75] and np.isnan(found.accuracy[0])
    assert found.ece == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0.05)
    assert calibration(np.ones(3), np.ones(3)).ece == 0
    assert np.isnan(calibration(np.zeros(0), np.zeros(0)).ece)
    sums = sum(reliability_sums(confidence[s], right[s], 10) for s in (slice(3), slice(3, 6)))
    assert reliability_of(sums).ece == pytest.approx(found.ece), 'sums of images add up'
    with pytest.raises(ValueError, match='3 confidences do not go with 2 answers'):
        calibration(np.ones(3), np.ones(2))


def test_bland_altman_by_hand():
    found = bland_altman([10.0, 12.0, 14.0, np.nan], [9.0, 12.0, 11.0, 3.0])
    assert found.bias == pytest.approx(4 / 3) and found.pairs == 3
    spread = np.std([1, 0, 3], ddof=1)
    assert (found.low, found.high) == pytest.approx((4 / 3 - 1.96 * spread, 4 / 3 + 1.96 * spread))
    assert bland_altman([], []).pairs == 0 and np.isnan(bland_altman([1], [1]).low)
