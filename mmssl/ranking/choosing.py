"""In which order cases are labelled: by score, far apart, and fair to the domains."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata


class Choice(NamedTuple):
    """What counts when cases are chosen.

    Attributes:
        number: how many are to be labelled next.
        diversity: take those far apart among the `diversity` times `number` highest scores; 1
            takes the highest.
        balance: the domain of which the fewest cases are labelled or chosen comes next.
    """

    number: int
    diversity: int = 1
    balance: bool = False


def standardise(features: np.ndarray) -> np.ndarray:
    """Return features (N, C) with mean 0 and deviation 1 in each channel; constant ones are 0."""
    spread = features.std(0)
    return (features - features.mean(0)) / np.where(spread > 1e-12, spread, np.inf)


def distances(features: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance (N,) of each row to the nearest labelled one (M, C)."""
    return cdist(features, labelled).min(1)


def scores(measures: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Return the weighted mean of the measures' ranks, 0 for the lowest case and 1 for the highest.

    Ranks do not ask what the units of a measure are, nor for its outliers; equal values share one.

    Example:
        >>> scores({'a': np.array([5.0, 1.0, 9.0])}, {'a': 2.0}).tolist()
        [0.5, 0.0, 1.0]
    """
    total = sum(weights.values())
    ranks = {name: rankdata(values) - 1 for name, values in measures.items()}
    most = max(len(next(iter(measures.values()))) - 1, 1)
    return sum(weights[name] * ranks[name] for name in weights) / (total * most)


def choose(
    score: np.ndarray,
    domains: Sequence[str],
    choice: Choice,
    labelled: Sequence[str] = (),
    features: np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> list[int]:
    """Return the order of all cases, the chosen ones first.

    With diversity, each next case is, of those with the highest scores, the one farthest from all
    that are labelled or chosen: the greedy solution of k-center (Sener and Savarese, ICLR 2018)
    among the most uncertain, as in suggestive annotation (Yang et al., MICCAI 2017).

    Args:
        score: of each case (N,).
        domains: of each case.
        choice: what counts.
        labelled: domain of each labelled case.
        features: (N, C) of the cases, needed for diversity.
        known: (M, C) of the labelled cases.

    Returns:
        Indices of the cases. Of equal ones, the first comes first.
    """
    by_score = [int(index) for index in np.argsort(-score, kind='stable')]
    space = features if choice.diversity > 1 else None
    nearest = np.full(len(score), np.inf)
    if space is not None and known is not None and len(known):
        nearest = distances(space, known)
    groups: dict[str, list[int]] = {}
    for index in by_score:
        groups.setdefault(domains[index] if choice.balance else '', []).append(index)
    turns = _turns({name: len(group) for name, group in groups.items()}, labelled, choice.number)
    for name, share in Counter(turns).items():
        groups[name] = groups[name][: share * (1 if space is None else choice.diversity)]
    chosen: list[int] = []
    for name in turns:
        index = max(groups[name], key=lambda one: nearest[one])  # of equal ones the first
        groups[name].remove(index)
        chosen.append(index)
        if space is not None:
            nearest = np.minimum(nearest, distances(space, space[index : index + 1]))
    taken = {*chosen}
    return [*chosen, *(index for index in by_score if index not in taken)]


def _turns(sizes: Mapping[str, int], labelled: Sequence[str], number: int) -> list[str]:
    """Return which group each next case comes from: the one with the fewest so far.

    Example:
        >>> _turns({'a': 5, 'b': 1}, ['a'], 4)
        ['b', 'a', 'a', 'a']
    """
    counts, left = Counter(labelled), dict(sizes)
    turns: list[str] = []
    while len(turns) < number and any(left.values()):
        name = min((name for name in left if left[name]), key=lambda name: counts[name])
        counts[name] += 1
        left[name] -= 1
        turns.append(name)
    return turns
