"""Intervals by drawing the patients of every domain anew."""

from collections.abc import Mapping, Sequence

import numpy as np

LEVEL = 0.95
RESAMPLES = 2000


def bootstrap_means(
    values: np.ndarray,
    domains: Sequence[str],
    clusters: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Resample patients within each domain and average as the tables do.

    A patient is drawn with all images of it (cluster bootstrap, Davison and Hinkley 1997, 3.8), so
    that slices of one volume do not count as independent. All columns see the same patients: what
    is taken of two of them is paired. A domain keeps its number of patients; the mean over its
    images is taken first, then that over the domains. NaN is left out.

    Args:
        values: scores (N, M) of N images, a column for each method or part.
        domains: domain of each image.
        clusters: patient of each image; the same name in two domains is two patients.
        resamples: number R of draws.
        seed: of the draws.

    Returns:
        Means (R, M).

    Example:
        >>> bootstrap_means(np.array([[1.0], [1.0]]), 'AA', ['1', '2'], resamples=2)
        array([[1.],
               [1.]])
    """
    rng = np.random.default_rng(seed)
    values = np.asarray(values, float)
    where, patients = np.asarray([*domains]), np.asarray([*clusters])
    totals = np.zeros((resamples, values.shape[1]))
    seen = np.zeros_like(totals)
    for domain in dict.fromkeys(where.tolist()):
        inside = where == domain
        sums, counts = by_cluster(values[inside], patients[inside])
        size = len(sums)
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(float)
        number = drawn @ counts
        with np.errstate(invalid='ignore', divide='ignore'):
            means = (drawn @ sums) / number
        totals += np.where(number > 0, means, 0)
        seen += number > 0
    with np.errstate(invalid='ignore', divide='ignore'):
        return totals / seen


def by_cluster(values: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of each column over a patient's images, and how many were no NaN."""
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.zeros((index.max() + 1, values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, index, np.nan_to_num(values, nan=0.0))
    np.add.at(counts, index, ~np.isnan(values))
    return sums, counts


def interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of resampled values; NaN where there are none.

    Example:
        >>> interval(np.arange(101.0), 0.5)
        (25.0, 75.0)
    """
    kept = draws[~np.isnan(draws)]
    if not len(kept):
        return float('nan'), float('nan')
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def share_ahead(draws: np.ndarray, others: np.ndarray, greater: bool = True) -> float:
    """Return in which share of the resamples the first is ahead; a tie counts half.

    Example:
        >>> share_ahead(np.array([3.0, 2.0, 1.0, 5.0]), np.array([1.0, 2.0, 3.0, 4.0]))
        0.625
    """
    difference = (draws - others) if greater else (others - draws)
    difference = difference[~np.isnan(difference)]
    if not len(difference):
        return float('nan')
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean of what is no NaN, NaN where nothing is left, without a warning."""
    number = (~np.isnan(values)).sum(axis)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(number > 0, np.nansum(values, axis) / number, np.nan)


def mean_of_parts(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is no NaN."""
    return nan_mean(values, values.ndim - 1)


def score_intervals(
    items: Sequence[Mapping], metrics: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict]:
    """Return the intervals of every student's means over the cases.

    Args:
        items: one for each image or volume: `domain`, `case` (None is one of its own, of its
            `key`), and `scores` as student to part to metric to value.
        metrics: names of the metrics.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        For each student `mean` (metric to the two bounds) and `parts` (part to metric to bounds);
        None in place of bounds where a domain has a single case, or there are no values.
    """
    domains = [item['domain'] for item in items]
    cases = [str(item['key'] if item['case'] is None else item['case']) for item in items]
    scores = items[0]['scores']
    shape = len(scores), len(metrics), len(next(iter(scores.values())))
    table = [
        [[row[m] for row in rows.values()] for rows in item['scores'].values() for m in metrics]
        for item in items
    ]
    values = np.asarray(table, float).reshape(len(items), -1)
    draws = bootstrap_means(values, domains, cases, resamples, seed).reshape(resamples, *shape)
    means = mean_of_parts(draws)
    several = all(
        len({c for d, c in zip(domains, cases, strict=True) if d == domain}) > 1
        for domain in {*domains}
    )

    def bounds(columns: np.ndarray) -> dict[str, tuple[float, float] | None]:
        found = {m: interval(column) for m, column in zip(metrics, columns.T, strict=True)}
        return {m: b if several and not np.isnan(b[0]) else None for m, b in found.items()}

    return {
        student: {
            'mean': bounds(means[:, at]),
            'parts': {part: bounds(draws[:, at, :, k]) for k, part in enumerate(rows)},
        }
        for at, (student, rows) in enumerate(scores.items())
    }
