"""Which checkpoint and which student are best, as far as one can say without labels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

SCORES = {
    'teacher': 'Dice of the masks of a student and its teacher',
    'students': 'mean Dice of its masks with those of every other student',
    'confidence': 'Dice that its calibrated probabilities expect of its masks',
    'certainty': '1 minus the mean entropy inside of its masks, in parts of the largest',
    'stability': 'Dice of its masks with those of the evaluation before',
}
"""What is measured of a student on unlabelled images; 0 to 1, and more is better."""

RANK = 'rank'
RANKED = ('teacher', 'students', 'confidence', 'stability')
"""What the mean rank is of; networks are certain early, long before they are right."""
RULES = (RANK, *SCORES)
"""By what is chosen: one of `SCORES`, or the mean rank in all `RANKED`."""

History = Sequence[Mapping[str, Any]]
"""Evaluations in their order: `iter`, and `metrics` as `<student>/<score>` to value."""


class Candidate(NamedTuple):
    """A student as it was at an evaluation.

    Attributes:
        iter: iteration of the evaluation.
        student: its name.
    """

    iter: int
    student: str


def usable_rule(history: History, rule: str, students: Sequence[str]) -> str:
    """Return the rule, or the mean rank where a student has no such score in any evaluation."""
    have = rule == RANK or all(_known(history, student, rule) for student in students)
    return rule if have else RANK


def rule_values(history: History, rule: str, students: Sequence[str]) -> dict[Candidate, float]:
    """Return what a rule says of every student at every evaluation; more is better.

    The mean rank of a candidate is the mean, over those `RANKED` that all the students have, of the
    share of the candidates that it beats, a tie counting half. A missing value beats none.

    Args:
        history: the evaluations.
        rule: one of `RULES`; a score that a student does not have is replaced by the mean rank.
        students: those that are compared.

    Example:
        >>> history = [
        ...     {'iter': 1, 'metrics': {'a/teacher': 0.5, 'a/confidence': 0.9}},
        ...     {'iter': 2, 'metrics': {'a/teacher': 0.7, 'a/confidence': 0.8}},
        ...     {'iter': 3, 'metrics': {'a/teacher': 0.8, 'a/confidence': 0.95}},
        ... ]
        >>> [round(value, 2) for value in rule_values(history, 'rank', ['a']).values()]
        [0.33, 0.33, 0.83]
    """
    rule = usable_rule(history, rule, students)
    names = [rule] if rule != RANK else [
        name for name in RANKED if all(_known(history, student, name) for student in students)
    ]  # fmt: skip
    candidates = [Candidate(int(e['iter']), s) for e in history for s in students]
    table = np.array(
        [
            [e['metrics'].get(f'{s}/{name}', np.nan) for name in names]
            for e in history
            for s in students
        ]
    ).reshape(len(candidates), len(names))
    table = np.where(np.isnan(table), -np.inf, table)
    column = table[:, 0] if rule != RANK else mean_share_beaten(table)
    return dict(zip(candidates, column.tolist(), strict=True))


def mean_share_beaten(table: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """Return for each row the share of rows that it beats, a tie counting half: the columns' mean.

    Args:
        table: (N, K), more is better; without a column no row beats another.
        others: rows (M, K) that are beaten; by default those of the table.
    """
    others = table if others is None else others
    if not table.shape[1]:
        return np.full(len(table), 0.5)
    less = (others[None] < table[:, None]).mean(1)
    same = (others[None] == table[:, None]).mean(1)
    return (less + same / 2).mean(1)


def follow(
    history: History, rule: str, students: Sequence[str], best: Candidate | None
) -> tuple[Candidate, dict[Candidate, float]]:
    """Return the best candidate after the newest evaluation, and what the rule says of all.

    The newest evaluation is compared with the best so far, whose weights are kept, and with
    nothing else: an earlier one that has come to look better is gone.

    Args:
        history: the evaluations, the newest last.
        rule: one of `RULES`.
        students: those that are compared.
        best: the best before the newest evaluation.
    """
    values = rule_values(history, rule, students)
    new = max((c for c in values if c.iter == history[-1]['iter']), key=values.__getitem__)
    stays = best is not None and best in values and values[best] >= values[new]
    return (best if stays and best is not None else new), values


def choose(history: History, rule: str, students: Sequence[str]) -> Candidate | None:
    """Return what a training that evaluates in this order ends with; None without evaluations."""
    best = None
    for end in range(1, len(history) + 1):
        best, _ = follow(history[:end], rule, students, best)
    return best


def _known(history: History, student: str, name: str) -> bool:
    values = (e['metrics'].get(f'{student}/{name}', np.nan) for e in history)
    return any(not np.isnan(value) for value in values)
