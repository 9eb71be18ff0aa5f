"""Rules that need no label: ranks, ties, what is missing, and who stays the best."""

import numpy as np
import pytest

from mmssl.evaluation.label_free import RANK, Candidate, choose, follow, rule_values


def evaluations(**curves):
    """Return a history of curves `<student>__<score>`."""
    length = len(next(iter(curves.values())))
    return [
        {'iter': 10 * (n + 1), 'metrics': {k.replace('__', '/'): v[n] for k, v in curves.items()}}
        for n in range(length)
    ]


def test_one_score_is_taken_as_it_is_and_the_first_of_equals_stays():
    history = evaluations(a__teacher=[0.2, 0.9, 0.9, 0.5], a__certainty=[0.9, 0.1, 0.2, 0.3])
    assert choose(history, 'teacher', ['a']) == Candidate(20, 'a')
    assert choose(history, 'certainty', ['a']) == Candidate(10, 'a')


def test_mean_rank_is_that_of_all_ranked_scores():
    history = evaluations(
        a__teacher=[0.1, 0.2, 0.3], a__stability=[0.5, 0.9, 0.5], a__confidence=[0.1, 0.2, 0.3]
    )
    values = list(rule_values(history, RANK, ['a']).values())
    expected = [np.mean([1, 2, 1]) / 6, np.mean([3, 5, 3]) / 6, np.mean([5, 2, 5]) / 6]
    assert values == pytest.approx(expected)
    for entry, certain in zip(history, (0.9, 0.8, 0.1), strict=True):
        entry['metrics']['a/certainty'] = certain
    again = list(rule_values(history, RANK, ['a']).values())
    assert again == values, 'certainty is measured and has no part in it'


def test_what_is_missing_beats_nothing_and_what_only_one_has_does_not_count():
    history = evaluations(
        a__stability=[np.nan, 0.1], a__teacher=[0.9, 0.1], b__stability=[np.nan, 0.2]
    )
    assert choose(history, RANK, ['a', 'b']) == Candidate(20, 'b'), 'by stability alone'
    assert choose(history, 'stability', ['a']) == Candidate(20, 'a')
    worst = evaluations(a__stability=[np.nan, 0.0])
    assert choose(worst, 'stability', ['a']) == Candidate(20, 'a'), 'the worst there is beats none'


def test_a_score_that_a_method_lacks_is_replaced_by_the_mean_rank():
    history = evaluations(a__confidence=[0.1, 0.3, 0.2])
    assert choose(history, 'teacher', ['a']) == choose(history, RANK, ['a']) == Candidate(20, 'a')


def test_the_newest_is_compared_with_the_kept_one_and_no_other():
    """The second was behind the first when it was there; later ranks cannot bring it back."""
    history = evaluations(
        a__teacher=[0.5, 0.4, 0.45, 0.46], a__confidence=[0.5, 0.6, 0.1, 0.2]
    )  # fmt: skip
    assert choose(history[:2], RANK, ['a']) == Candidate(10, 'a')
    best, values = follow(history, RANK, ['a'], Candidate(10, 'a'))
    assert best == Candidate(10, 'a') and values[best] == pytest.approx(np.mean([7, 5]) / 8)


def test_students_are_compared_with_each_other():
    history = evaluations(a__teacher=[0.5, 0.6], b__teacher=[0.4, 0.7])
    assert choose(history[:1], 'teacher', ['a', 'b']) == Candidate(10, 'a')
    assert choose(history, 'teacher', ['a', 'b']) == Candidate(20, 'b')
    assert choose([], RANK, ['a']) is None
