"""Paired comparisons of methods on the same cases: tests, corrections, ranks."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mmssl.evaluation.statistics.resampling import (
    LEVEL,
    RESAMPLES,
    bootstrap_means,
    by_cluster,
    interval,
    mean_of_parts,
    nan_mean,
    share_ahead,
)


def wilcoxon(one: np.ndarray, other: np.ndarray, clusters: Sequence[str] | None = None) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test, by `scipy.stats.wilcoxon`.

    Args:
        one: scores of the cases (N,); a pair with NaN is left out.
        other: scores of the same cases.
        clusters: patient of each case; the mean difference of a patient is one pair then.

    Returns:
        p, 1 where all pairs are equal, NaN where there is none.
    """
    from scipy import stats

    difference = np.asarray(one, float) - np.asarray(other, float)
    kept = ~np.isnan(difference)
    difference = difference[kept]
    if clusters is not None and len(difference):
        sums, counts = by_cluster(difference[:, None], np.asarray(clusters)[kept])
        difference = (sums / counts)[:, 0]
    if not len(difference):
        return float('nan')
    # Means of equal scores differ by rounding alone.
    difference = np.where(np.abs(difference) < 1e-9, 0.0, difference)
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)


def holm(pvalues: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979); NaN stays and does not count.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(pvalues, float)
    order = [i for i in np.argsort(values, kind='stable') if not np.isnan(values[i])]
    corrected, largest = values.copy(), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(order) - rank) * values[index])
        corrected[index] = min(1.0, largest)
    return corrected.tolist()


class Difference(NamedTuple):
    """How a method differs from another on the same cases.

    Attributes:
        name: of the other method.
        value: mean of the first minus that of the other.
        low: lower end of its interval over cases.
        high: upper end.
        ahead: share of the resamples in which the first is ahead.
        p: of Wilcoxon's test over patients, corrected by Holm for all comparisons.
        patients: how many there are.
        p_runs: of Welch's t test over trainings, within each data set where there are several; None
            where one of the two has a single one.
    """

    name: str
    value: float
    low: float
    high: float
    ahead: float
    p: float
    patients: int
    p_runs: float | None = None

    @property
    def by_chance(self) -> bool:
        """Whether chance explains it: other cases, or where there are several, other trainings."""
        alpha = 1 - LEVEL
        sure = (self.low > 0 or self.high < 0) and self.p < alpha
        return not sure or (self.p_runs is not None and not self.p_runs < alpha)

    def words(self, first: str) -> str:
        """Say it in one sentence.

        Args:
            first: name of the method whose difference it is.
        """
        share = f'{100 * self.ahead:.0f} %'
        ahead = 'ahead of' if self.value >= 0 else 'behind'
        share = share if self.value >= 0 else f'{100 - 100 * self.ahead:.0f} %'
        runs = '' if self.p_runs is None else f', over trainings {p_text(self.p_runs)}'
        end = 'within chance' if self.by_chance else 'more than chance'
        return (
            f'{first} is {ahead} {self.name} by {abs(self.value):.2f} in {share} of resamples '
            f'({100 * LEVEL:.0f} % interval {self.low:+.2f} to {self.high:+.2f}; Wilcoxon over '
            f'{self.patients} patients, Holm: {p_text(self.p)}{runs}): {end}.'
        )


def p_text(value: float) -> str:
    """Write a p value.

    Example:
        >>> p_text(0.04321), p_text(1e-9), p_text(float('nan'))
        ('p = 0.043', 'p < 0.001', 'p unknown')
    """
    if np.isnan(value):
        return 'p unknown'
    return 'p < 0.001' if value < 0.001 else f'p = {value:.3f}'


class CaseScores(NamedTuple):
    """Scores of several methods on the same images.

    Attributes:
        names: of the M methods.
        values: scores (N, M, P), means over the trainings of a method; P parts.
        domains: domain of each image.
        clusters: patient of each image.
        runs: mean score of each training, by method and data set.
        greater: whether more is better.
    """

    names: Sequence[str]
    values: np.ndarray
    domains: Sequence[str]
    clusters: Sequence[str]
    runs: Mapping[str, Sequence[Sequence[float]]]
    greater: bool = True

    def draws(self, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
        """Return the means (R, M) over images, domains and parts of each resample."""
        count, methods, parts = self.values.shape
        flat = bootstrap_means(
            self.values.reshape(count, -1), self.domains, self.clusters, resamples, seed
        )
        return mean_of_parts(flat.reshape(-1, methods, parts))

    def means(self) -> np.ndarray:
        """Return the means (M,) over images, domains and parts, as the tables have them."""
        domains = np.asarray([*self.domains])
        found = [
            nan_mean(self.values[domains == domain], 0)
            for domain in dict.fromkeys(domains.tolist())
        ]
        return mean_of_parts(nan_mean(np.stack(found), 0)[None])[0]

    def differences(self, first: str, draws: np.ndarray | None = None) -> list[Difference]:
        """Compare a method with every other one.

        Args:
            first: its name.
            draws: what `draws` gave, where it is at hand.
        """
        draws = self.draws() if draws is None else draws
        means, of_cases = self.means(), mean_of_parts(self.values)
        at = list(self.names).index(first)
        patients = [f'{d}/{c}' for d, c in zip(self.domains, self.clusters, strict=True)]
        others = [i for i in range(len(self.names)) if i != at]
        raw = [wilcoxon(of_cases[:, at], of_cases[:, i], patients) for i in others]
        sign = 1 if self.greater else -1
        found = []
        for i, p in zip(others, holm(raw), strict=True):
            low, high = interval(sign * (draws[:, at] - draws[:, i]))
            found.append(
                Difference(
                    name=self.names[i],
                    value=float(sign * (means[at] - means[i])),
                    low=low,
                    high=high,
                    ahead=share_ahead(draws[:, at], draws[:, i], self.greater),
                    p=p,
                    patients=len({*patients}),
                    p_runs=welch(self.runs.get(first, ()), self.runs.get(self.names[i], ())),
                )
            )
        return found


def merge(sets: Sequence[CaseScores]) -> CaseScores:
    """Put the scores of the same methods on several data sets together.

    Each data set counts the same, however many parts it has. A patient that several have (the same
    name in the same domain) is one, and is drawn for all of them.

    Args:
        sets: of each data set, the methods in the same order.

    Raises:
        ValueError: the methods or their order differ.

    Example:
        >>> one = CaseScores(['a'], np.full((2, 1, 1), 3.0), 'AA', '12', {'a': [[3.0, 3.0]]})
        >>> two = CaseScores(['a'], np.full((1, 1, 2), 6.0), 'B', '1', {'a': [[6.0]]})
        >>> merge([one, two]).means().tolist(), merge([one, two]).runs
        ([4.5], {'a': [[3.0, 3.0], [6.0]]})
    """
    names = list(sets[0].names)
    if any(list(one.names) != names for one in sets):
        raise ValueError(f'The data sets have other methods: {[list(one.names) for one in sets]}.')
    width = math.lcm(*(one.values.shape[2] for one in sets))
    blocks = []
    for at, one in enumerate(sets):
        count, methods, parts = one.values.shape
        block = np.full((count, methods, len(sets), width), np.nan)
        block[:, :, at] = np.repeat(one.values, width // parts, axis=2)
        blocks.append(block.reshape(count, methods, -1))
    return CaseScores(
        names,
        np.concatenate(blocks),
        [domain for one in sets for domain in one.domains],
        [cluster for one in sets for cluster in one.clusters],
        {name: [run for one in sets for run in one.runs.get(name, ())] for name in names},
        sets[0].greater,
    )


def welch(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float | None:
    """Return the two-sided p of Welch's t test of the trainings of two methods.

    Over several data sets, trainings are compared within each: with the difference d of the means
    and the variances v, w of n and m trainings on each,
    `t = sum d / sqrt(sum (v / n + w / m))`, with degrees of freedom by Welch and Satterthwaite.

    Args:
        one: scores of a method's trainings on each data set.
        other: those of the other method on the same.

    Returns:
        p, None where either has a single training on a data set.

    Example:
        >>> round(welch([[1.0, 2.0, 3.0]], [[2.0, 4.0, 6.0]]), 4)
        0.2209
    """
    pairs = list(zip(one, other, strict=True))
    samples = [np.asarray(sample, float) for pair in pairs for sample in pair]
    if not samples or min(map(len, samples)) < 2:
        return None
    from scipy import stats

    difference = sum(float(np.mean(a) - np.mean(b)) for a, b in pairs)
    errors = np.array([0.0 if np.ptp(x) == 0 else x.var(ddof=1) / len(x) for x in samples])
    if not errors.any():
        return 1.0 if abs(difference) < 1e-9 else 0.0
    free = np.array([len(x) - 1 for x in samples])
    freedom = errors.sum() ** 2 / (errors**2 / free).sum()
    return float(2 * stats.t.sf(abs(difference) / np.sqrt(errors.sum()), freedom))


class Ranks(NamedTuple):
    """How stable an order of methods is when cases are drawn anew.

    Attributes:
        first: share of the resamples in which a method is the first, by name.
        mean: its mean rank, 1 for the best; equal ones share theirs.
        tau: mean of Kendall's tau-b between the order of a resample and that of the mean ranks.
    """

    first: dict[str, float]
    mean: dict[str, float]
    tau: float


def rank_stability(names: Sequence[str], draws: np.ndarray, greater: bool = True) -> Ranks:
    """Rank methods in every resample (bootstrap ranking, as in Wiesenfarth et al. 2021).

    Args:
        names: of the M methods.
        draws: their means (R, M), see `bootstrap_means`; NaN is the last.
        greater: whether more is better.

    Example:
        >>> rank_stability(['a', 'b'], np.array([[2.0, 1.0], [3.0, 1.0], [1.0, 4.0], [5.0, 0.0]]))
        Ranks(first={'a': 0.75, 'b': 0.25}, mean={'a': 1.25, 'b': 1.75}, tau=0.5)
    """
    from scipy import stats

    worst = -np.inf if greater else np.inf
    filled = np.where(np.isnan(draws), worst, draws)
    ranks = stats.rankdata(-filled if greater else filled, axis=1)
    best = ranks == ranks.min(axis=1, keepdims=True)
    first = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    mean = ranks.mean(axis=0)
    taus = [stats.kendalltau(mean, one).statistic for one in ranks] if len(names) > 1 else [1.0]
    known = [tau for tau in taus if not np.isnan(tau)]
    return Ranks(
        dict(zip(names, first.tolist(), strict=True)),
        dict(zip(names, mean.tolist(), strict=True)),
        float(np.mean(known)) if known else float('nan'),
    )
