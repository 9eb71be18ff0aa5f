"""The numbers of a report: means, deviations, intervals, differences; as CSV and LaTeX."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from mmssl.evaluation.published import load_published
from mmssl.evaluation.statistics import (
    CaseScores,
    Difference,
    Ranks,
    case_scores,
    interval,
    rank_stability,
)
from mmssl.reports.runs import Entry, Method
from mmssl.utils.packaged import CONFIGS

METRICS = {'DSC': 'DSC (%)', 'Jaccard': 'Jaccard (%)', 'HD95': 'HD95', 'ASD': 'ASD'}
LOWER_IS_BETTER = ('HD95', 'ASD')
ALL = 'all'
LABELS = 'train_dataloader.dataset.labelled.num'
FAILED = 50.0
"""Dice in percent below which a case counts as failed."""

Cell = tuple[str, str]  # domain or ALL, part or ALL


@dataclass
class Value:
    """A score in a table.

    Attributes:
        mean: over the runs; None where it does not exist.
        sd: sample standard deviation over the runs, None with a single one.
        low: lower end of the interval over patients, None where there is none.
        high: upper end.
        runs: the score of every run, as its file has it.
    """

    mean: float | None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    runs: list[float | None] = field(default_factory=list)


@dataclass
class Scores:
    """All numbers of the tables.

    Attributes:
        entries: the rows.
        domains: the test domains.
        parts: the parts.
        values: metric to entry to cell to value.
        common: the metric's scores on the images that all entries have, for comparisons.
        differences: entry to its differences from the others in the DSC.
        ranks: how stable the order in the DSC is; None with a single entry.
        best: entry with the best DSC.
        published: rows of published numbers: name, and metric to value.
        asked: whether published numbers were asked for.
    """

    entries: list[Entry]
    domains: list[str]
    parts: list[str]
    values: dict[str, dict[str, dict[Cell, Value]]]
    common: CaseScores | None = None
    differences: dict[str, list[Difference]] = field(default_factory=dict)
    ranks: Ranks | None = None
    best: str | None = None
    published: list[dict[str, Any]] = field(default_factory=list)
    asked: bool = False

    def get(self, metric: str, entry: str, domain: str = ALL, part: str = ALL) -> Value:
        """Return a value, an empty one where there is none."""
        return self.values.get(metric, {}).get(entry, {}).get((domain, part), Value(None))

    def columns(self) -> list[Cell]:
        """Return what a table shows: the mean, the domains, the parts."""
        domains = [(domain, ALL) for domain in self.domains] if len(self.domains) > 1 else []
        parts = [(ALL, part) for part in self.parts] if len(self.parts) > 1 else []
        return [(ALL, ALL), *domains, *parts]


def mean_dice(scores: Mapping[str, Mapping[str, float | None]] | None) -> float | None:
    """Return the mean Dice over the parts of an image; None where it has none."""
    values = [one.get('DSC') for one in (scores or {}).values()]
    kept = [value for value in values if value is not None]
    return sum(kept) / len(kept) if kept else None


def find_scores(rows: Sequence[Entry]) -> Scores:
    """Read the means out of the files of results, and take intervals from the single images."""
    found = [run.result['students'][row.student] for row in rows for run in row.runs]
    domains = list(dict.fromkeys(d for one in found for d in one['domains']))
    parts = list(dict.fromkeys(p for one in found for p in one['parts']))
    scores = Scores(list(rows), domains, parts, {})
    for metric in METRICS:
        if any(metric in one['mean'] for one in found):
            scores.values[metric] = {row.name: _values(row, metric, scores) for row in rows}
    _compare(scores)
    return scores


def _values(row: Entry, metric: str, scores: Scores) -> dict[Cell, Value]:
    found = {}
    for domain in (ALL, *scores.domains):
        images = {row.name: tested(row)}
        of_cases = case_scores(images, metric, domain=None if domain == ALL else domain)
        for part in (ALL, *scores.parts):
            runs = [_number(run.result, row.student, domain, part, metric) for run in row.runs]
            kept = [one for one in runs if one is not None]
            value = Value(fmean(kept) if kept else None, runs=runs)
            value.sd = stdev(kept) if len(kept) > 1 else None
            found[domain, part] = value
        if of_cases is None:
            continue
        parts = list(row.runs[0].result['images'][0]['scores'][row.student])
        for part in (ALL, *parts):
            at = slice(None) if part == ALL else slice(parts.index(part), parts.index(part) + 1)
            if of_cases.values.shape[2] != len(parts) or (domain, part) not in found:
                continue
            draws = of_cases._replace(values=of_cases.values[:, :, at]).draws()[:, 0]
            if len({*zip(of_cases.domains, of_cases.clusters, strict=True)}) > 1:
                low, high = interval(draws)
                found[domain, part].low, found[domain, part].high = _finite(low), _finite(high)
    return found


def tested(row: Entry) -> list[tuple[list[dict[str, Any]], str]]:
    """Return the images and the student of each run of a row, as `case_scores` takes them."""
    return [(run.result.get('images') or [], row.student) for run in row.runs]


def _number(
    result: Mapping[str, Any], student: str, domain: str, part: str, metric: str
) -> float | None:
    table = result['students'][student]
    if domain != ALL:
        table = table['domains'].get(domain, {})
    table = table.get('mean', {}) if part == ALL else table.get('parts', {}).get(part, {})
    return _finite(table.get(metric))


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _compare(scores: Scores) -> None:
    """Compare all rows on the images that they share."""
    means = {row.name: scores.get('DSC', row.name).mean for row in scores.entries}
    kept = {name: mean for name, mean in means.items() if mean is not None}
    scores.best = max(kept, key=lambda name: kept[name], default=None)
    if len(scores.entries) < 2:
        return
    scores.common = case_scores({row.name: tested(row) for row in scores.entries}, 'DSC')
    if scores.common is None:
        return
    draws = scores.common.draws()
    scores.ranks = rank_stability(scores.common.names, draws)
    scores.differences = {
        name: scores.common.differences(name, draws) for name in scores.common.names
    }


def failure_rate(row: Entry, domain: str = ALL, part: str = ALL) -> tuple[int, int]:
    """Return how many scores of images are below a Dice of 50 %, and how many there are.

    Runs are counted together; an image with several parts has several scores.
    """
    failed = count = 0
    for images, student in tested(row):
        for image in images:
            if domain not in (ALL, image['domain']) or student not in image['scores']:
                continue
            for name, values in image['scores'][student].items():
                value = values.get('DSC')
                if part in (ALL, name) and value is not None:
                    failed, count = failed + (value < FAILED), count + 1
    return failed, count


def size_ratio(row: Entry, domain: str, part: str) -> float | None:
    """Return how many times its true size a part is predicted, the geometric mean of the images.

    Runs are counted together; images in which the part is absent or not predicted are left out.
    """
    logarithms = []
    for images, student in tested(row):
        for image in images:
            sizes = image.get('sizes') or {}
            truth, pred = (sizes.get(of, {}).get(part) for of in ('truth', student))
            if image['domain'] == domain and truth and pred:
                logarithms.append(math.log(pred / truth))
    return math.exp(fmean(logarithms)) if logarithms else None


def published_rows(methods: Sequence[Method]) -> list[dict[str, Any]]:
    """Return a row for each student of each metafile that has the data set, best DSC first.

    Where a metafile has several numbers of labels, that of the runs is taken.

    Returns:
        `name`, and `mean` (metric to number).
    """
    runs = [run for method in methods for run in method.runs]
    dataset = next((run.result.get('dataset') for run in runs if run.result.get('dataset')), None)
    if dataset is None:
        return []
    labels = next((n for run in runs if isinstance(n := run.setting(LABELS), int)), None)
    rows = []
    for folder in sorted(path.parent.name for path in CONFIGS.glob('*/metafile.yml')):
        found = load_published(folder, dataset, labels) or load_published(folder, dataset)
        for student, entry in found.items():
            name = f'{folder}, {student} ({entry["labels"]} labels)'
            rows.append({'name': name, 'mean': entry['mean']})
    return sorted(rows, key=lambda row: -row['mean'].get('DSC', 0))
