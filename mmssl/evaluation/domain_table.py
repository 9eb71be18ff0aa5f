"""Averages over images, domains and parts, and the table that papers print."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmssl.utils import tables

SELECTIONS = {
    'test': 'best evaluation on the TEST set (as published; optimistic)',
    'val': 'best evaluation on a validation set',
    'last': 'last iteration',
    'agreement': 'best by agreement on unlabelled training images (no label of them)',
}


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN, NaN where none is left.

    Example:
        >>> mean([1.0, float('nan'), 2.0])
        1.5
    """
    kept = [v for v in values if not np.isnan(v)]
    return float(np.sum(kept) / len(kept)) if kept else float('nan')


def average(
    items: Sequence[dict], metrics: Sequence[str], domains: Sequence[str] = ()
) -> dict[str, dict]:
    """Average scores: over items for each domain and part, then domains, then parts.

    Args:
        items: one dict for each image or case: `domain`, and `scores` as student to part to
            metric to value.
        metrics: names of the metrics.
        domains: order of the domains; others follow in the order they are met.

    Returns:
        For each student `mean` (metric to value), `parts` (part to metrics, over the domains) and
        `domains` (domain to `mean`, `parts` and `count`).
    """
    found = dict.fromkeys(item['domain'] for item in items)
    order = [d for d in domains if d in found] + [d for d in found if d not in domains]
    result = {}
    for student in items[0]['scores']:
        table: dict[str, dict[str, Any]] = {}
        for domain in order:
            rows = [item['scores'][student] for item in items if item['domain'] == domain]
            parts = {
                part: {m: mean(row[part][m] for row in rows) for m in metrics} for part in rows[0]
            }
            table[domain] = {'mean': _over(parts, metrics), 'parts': parts, 'count': len(rows)}
        names = items[0]['scores'][student]
        parts = {
            part: _over({d: table[d]['parts'][part] for d in order}, metrics) for part in names
        }
        result[student] = {'mean': _over(parts, metrics), 'parts': parts, 'domains': table}
    return result


def flat_metrics(averages: Mapping[str, dict]) -> dict[str, float]:
    """Return the averages under keys `<student>/<metric>` and `<student>/<domain>/<part>/...`."""
    flat = {}
    for student, entry in averages.items():
        flat.update({f'{student}/{m}': v for m, v in entry['mean'].items()})
        for domain, scores in entry['domains'].items():
            for part, values in scores['parts'].items():
                flat.update({f'{student}/{domain}/{part}/{m}': v for m, v in values.items()})
    return flat


def format_table(
    averages: Mapping[str, dict],
    published: Mapping[str, dict] | None = None,
    primary: str | None = None,
) -> str:
    """Write the table that papers print: by structure for one test domain, else by domain.

    Args:
        averages: result of `average`.
        published: result of `published_dsc`; gives a column where it has a student.
        primary: student marked with a star.
    """
    published = {s: p for s, p in (published or {}).items() if s in averages}
    first = next(iter(averages.values()))
    domains = list(first['domains']) if len(first['domains']) > 1 else []
    others = [m for m in first['mean'] if m != 'DSC']
    header = ['student', 'part', *domains, *['|'] * bool(domains), 'DSC', *others]
    rows = [header + ['|', 'published DSC'] * bool(published)]
    for student, entry in averages.items():
        name = student + '*' * (student == primary and len(averages) > 1)
        known = published.get(student, {})
        alone = len(entry['parts']) == 1
        for part, means in entry['parts'].items():
            line = [entry['domains'][domain]['parts'][part]['DSC'] for domain in domains]
            value = known.get('parts', {}).get(part) or (known.get('dsc') if alone else None)
            rows.append([name, part, *_numbers(line, means), *_beside(published, value, means)])
        if not alone:
            line = [entry['domains'][domain]['mean']['DSC'] for domain in domains]
            beside = _beside(published, known.get('dsc'), entry['mean'])
            rows.append([name, 'mean', *_numbers(line, entry['mean']), *beside])
    return tables.text(rows, left=2)


def table_notes(
    published: Mapping[str, dict], protocol: str, averages: Mapping[str, dict], cases: int
) -> str:
    """Return the lines under the table: what the columns are, the protocol, and the intervals.

    Args:
        published: result of `published_dsc`.
        protocol: how the numbers came about.
        averages: result of `average`; with `interval`, that of `score_intervals`, where known.
        cases: number of cases that were scored.
    """
    domains = next(iter(averages.values()))['domains']
    alone = len(domains) == 1
    if alone:
        lines = [f'Test set: {next(iter(domains))}. DSC and Jaccard in %.']
    else:
        lines = ['Columns are TEST domains, DSC in %; right of the bar, means over the domains.']
    if published:
        one = next(iter(published.values()))
        source = f'Published: labels from {one["labelled_domain"]} ({one["labels"]} images)'
        lines.append(source + ('.' if alone else ', mean over the test sets of all domains.'))
        if not alone:
            lines.append(
                'The columns of the published table are LABELLED domains, so only this mean '
                'compares.'
            )
    return '\n'.join([*lines, f'Protocol: {protocol}', *_interval_lines(averages, cases)])


def _interval_lines(averages: Mapping[str, dict], cases: int) -> list[str]:
    """Return a line with the intervals of each student's means."""
    lines = []
    for student, entry in averages.items():
        bounds = (entry.get('interval') or {}).get('mean', {})
        texts = [f'{m} {b[0]:.2f} to {b[1]:.2f}' for m, b in bounds.items() if b is not None]
        if texts:
            lines.append(f'95 % interval of {student} over {cases} cases: {", ".join(texts)}.')
    return lines


def _over(table: Mapping[str, Mapping[str, float]], metrics: Sequence[str]) -> dict[str, float]:
    return {m: mean(row[m] for row in table.values()) for m in metrics}


def _number(value: float) -> str:
    return '-' if np.isnan(value) else f'{value:.2f}'


def _numbers(domains: Sequence[float], means: Mapping[str, float]) -> list[str]:
    others = [_number(v) for m, v in means.items() if m != 'DSC']
    bar = ['|'] * bool(domains)
    return [*map(_number, domains), *bar, _number(means['DSC']), *others]


def _beside(published: Mapping, known: float | None, means: Mapping[str, float]) -> list[str]:
    if not published:
        return []
    return ['|', '-' if known is None else f'{known:.2f} ({means["DSC"] - known:+.2f})']
