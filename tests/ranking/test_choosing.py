"""The order of the cases: scores of ranks, far apart, and fair to the domains."""

import numpy as np
import pytest

from mmssl.ranking.choosing import Choice, choose, distances, scores, standardise


def test_scores_are_weighted_means_of_ranks():
    measures = {'a': np.array([0.0, 1e9, 5.0]), 'b': np.array([2.0, 1.0, 2.0])}
    # Ranks 0, 2, 1 and 1.5, 0, 1.5, of at most 2.
    assert scores(measures, {'a': 1.0, 'b': 1.0}) == pytest.approx([0.375, 0.5, 0.625])
    assert scores(measures, {'a': 1.0, 'b': 3.0}) == pytest.approx([4.5 / 8, 2 / 8, 5.5 / 8])
    assert scores(measures, {'b': 1.0}) == pytest.approx([0.75, 0.0, 0.75])
    assert scores({'a': np.array([7.0])}, {'a': 1.0}).tolist() == [0.0], 'a single case'


def test_without_diversity_the_highest_come_first_and_equal_ones_as_they_stand():
    score = np.array([0.2, 0.9, 0.5, 0.9])
    assert choose(score, ['A'] * 4, Choice(2)) == [1, 3, 2, 0]
    assert choose(score, ['A'] * 4, Choice(9)) == [1, 3, 2, 0], 'more than there are'


def test_diversity_takes_the_farthest_of_the_shortlist():
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    features = np.array([[0.0], [0.1], [5.0], [2.0], [99.0]])
    known = np.array([[1.0]])
    # Of the four highest the one at 5 is farthest from 1; then 0 is 1 away, 0.1 only 0.9.
    assert choose(score, ['A'] * 5, Choice(2, 2), [], features, known) == [2, 0, 1, 3, 4]
    assert choose(score, ['A'] * 5, Choice(2, 9), [], features, known)[:2] == [4, 2]
    # Without a labelled case the highest score is first, and the rest goes away from it.
    assert choose(score, ['A'] * 5, Choice(2, 2), [], features, features[:0])[:2] == [0, 2]


def test_balance_counts_what_is_labelled():
    score = np.array([0.9, 0.8, 0.7, 0.3, 0.2])
    domains = ['A', 'A', 'A', 'B', 'C']
    assert choose(score, domains, Choice(3, balance=True), ['A', 'A'])[:3] == [3, 4, 0]
    assert choose(score, domains, Choice(3, balance=True), ['B', 'B', 'C'])[:3] == [0, 1, 4]
    assert choose(score, domains, Choice(3), ['A', 'A'])[:3] == [0, 1, 2]


def test_balance_with_diversity_has_a_shortlist_in_each_domain():
    score = np.array([0.9, 0.8, 0.7, 0.3, 0.2, 0.1])
    features = np.array([[0.0], [0.1], [50.0], [0.0], [7.0], [99.0]])
    domains = ['A'] * 3 + ['B'] * 3
    order = choose(score, domains, Choice(2, 2, True), [], features, np.array([[0.05]]))
    assert order[:2] == [0, 4], 'two of each domain are on its list, not the ones far out'


def test_distances_are_of_standardised_channels():
    features = standardise(np.array([[0.0, 0.0, 3.0], [2.0, 2000.0, 3.0]]))
    assert features.tolist() == [[-1, -1, 0], [1, 1, 0]], 'a constant channel says nothing'
    assert distances(features, features[:1]) == pytest.approx([0.0, 8**0.5])
