"""Averages over images, domains and parts, and the table that papers print."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

SELECTIONS = {
    'test': 'best evaluation on the TEST set (as published; optimistic)',
    'val': 'best evaluation on a validation set',
    'last': 'last iteration',
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
        table = {}
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


def format_domain_table(
    averages: Mapping[str, dict],
    published: Mapping[str, dict] | None = None,
    primary: str | None = None,
) -> str:
    """Write the domain table: a row for each student and part, a column for each test domain.

    Args:
        averages: result of `average`.
        published: result of `published_dsc`; gives a column where it has a student.
        primary: student marked with a star.
    """
    published = {s: p for s, p in (published or {}).items() if s in averages}
    first = next(iter(averages.values()))
    metrics = [m for m in first['mean'] if m != 'DSC']
    header = ['student', 'part', *first['domains'], '|', 'DSC', *metrics]
    rows = [header + ['|', 'published DSC'] * bool(published)]
    for student, entry in averages.items():
        name = student + '*' * (student == primary and len(averages) > 1)
        numbers = published.get(student, {})
        for part, means in entry['parts'].items():
            line = [d['parts'][part]['DSC'] for d in entry['domains'].values()]
            alone = len(entry['parts']) == 1
            known = numbers.get('parts', {}).get(part) or (numbers.get('dsc') if alone else None)
            rows.append([name, part, *_numbers(line, means), *_beside(published, known, means)])
        if len(entry['parts']) > 1:
            line = [d['mean']['DSC'] for d in entry['domains'].values()]
            known = numbers.get('dsc')
            means = entry['mean']
            rows.append([name, 'mean', *_numbers(line, means), *_beside(published, known, means)])
    return align(rows)


def table_notes(published: Mapping[str, dict], protocol: str) -> str:
    """Return the lines under the table: what the published column is, and the protocol."""
    lines = ['Columns are TEST domains, DSC in %; right of the bar, means over the domains.']
    if published:
        one = next(iter(published.values()))
        lines.append(
            f'Published: labels from {one["labelled_domain"]} ({one["labels"]} images), mean over '
            'the test sets of all domains.'
        )
        lines.append(
            'The columns of the published table are LABELLED domains, so only this mean compares.'
        )
    return '\n'.join([*lines, f'Protocol: {protocol}'])


def align(rows: Sequence[Sequence[Any]]) -> str:
    """Lay out rows of text in columns: the first two to the left, the others to the right.

    Example:
        >>> print(align([['a', 'b', 'c'], ['dd', 'e', '1.25']]))
        a   b     c
        dd  e  1.25
    """
    table = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append('  '.join(cells).rstrip())
    return '\n'.join(lines)


def _over(table: Mapping[str, Mapping[str, float]], metrics: Sequence[str]) -> dict[str, float]:
    return {m: mean(row[m] for row in table.values()) for m in metrics}


def _number(value: float) -> str:
    return '-' if np.isnan(value) else f'{value:.2f}'


def _numbers(domains: Sequence[float], means: Mapping[str, float]) -> list[str]:
    others = [_number(v) for m, v in means.items() if m != 'DSC']
    return [*map(_number, domains), '|', _number(means['DSC']), *others]


def _beside(published: Mapping, known: float | None, means: Mapping[str, float]) -> list[str]:
    if not published:
        return []
    return ['|', '-' if known is None else f'{known:.2f} ({means["DSC"] - known:+.2f})']
