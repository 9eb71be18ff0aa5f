"""The tables of a report: of scores, comparisons, failures, calibration and data; CSV and LaTeX."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from mmssl.evaluation.statistics import reliability_of
from mmssl.experiments.runs import duration
from mmssl.reports.cases import Cases
from mmssl.reports.plots import colour_of
from mmssl.reports.runs import Method
from mmssl.reports.scores import (
    ALL,
    LOWER_IS_BETTER,
    METRICS,
    Cell,
    Scores,
    Value,
    failure_rate,
    size_ratio,
)
from mmssl.reports.words import ece_of, number
from mmssl.utils import tables


def metric_table(scores: Scores, metric: str) -> dict[str, Any]:
    columns = scores.columns()
    known = _published_of_runs(scores) if metric == 'DSC' else {}
    rows = []
    for index, row in enumerate(scores.entries):
        cells = [
            _cell(scores.get(metric, row.name, *cell), row.name in best_rows(scores, metric, cell))
            for cell in columns
        ]
        if known:
            text = known.get(row.name)
            cells.append({**_cell(Value(text), False)})
        rows.append(
            {'name': row.name, 'runs': len(row.runs), 'colour': colour_of(index), 'cells': cells}
        )
    titles = [
        'mean' if cell == (ALL, ALL) else cell[1] if cell[0] == ALL else cell[0] for cell in columns
    ]
    return {
        'name': metric,
        'title': METRICS[metric],
        'columns': titles + ['published'] * bool(known),
        'rows': rows,
        'published': [
            {'name': row['name'],
             'cells': [number(row['mean'].get(metric))] + ['-'] * (len(columns) - 1 + bool(known))}
            for row in scores.published
        ],
    }  # fmt: skip


def _cell(value: Value, best: bool) -> dict[str, Any]:
    low, high = value.low, value.high
    return {
        'exact': '' if value.mean is None else repr(value.mean),
        'text': number(value.mean),
        'sd': None if value.sd is None else number(value.sd),
        'interval': None if low is None else f'{number(low, 1)} – {number(high, 1)}',
        'best': best,
    }


def _published_of_runs(scores: Scores) -> dict[str, float]:
    found = {}
    for row in scores.entries:
        for run in row.runs[:1]:
            one = (run.result.get('published') or {}).get(row.student)
            if one:
                found[row.name] = float(one['dsc'])
    return found


def published_note(scores: Scores, metrics: Sequence[Mapping[str, Any]]) -> str:
    if scores.asked and not scores.published:
        return 'No metafile has published numbers of this data set.'
    if not scores.published and not any('published' in m['columns'] for m in metrics):
        return ''
    return (
        'Published numbers are those of the papers: full size and length, chosen on the test set '
        'where the paper did so.'
    )


def ahead(scores: Scores) -> list[list[str]]:
    """Return the table of who is ahead of whom."""
    if not scores.differences:
        return []
    names = list(scores.differences)
    rows = [['', *names]]
    for name in names:
        of = {one.name: one for one in scores.differences[name]}
        cells = [
            '' if other == name else f'{100 * of[other].ahead:.0f} %' + ' ≈' * of[other].by_chance
            for other in names
        ]
        rows.append([name, *cells])
    if scores.ranks:
        rows[0] += ['first', 'mean rank']
        for row in rows[1:]:
            row += [f'{100 * scores.ranks.first[row[0]]:.0f} %', f'{scores.ranks.mean[row[0]]:.2f}']
    return rows


def failures(scores: Scores) -> list[list[str]]:
    domains = scores.domains if len(scores.domains) > 1 else []
    parts = scores.parts if len(scores.parts) > 1 else []
    rows = [['', 'all', *domains, *parts]]
    for row in scores.entries:
        places = [(ALL, ALL), *((d, ALL) for d in domains), *((ALL, p) for p in parts)]
        found = [failure_rate(row, *place) for place in places]
        cells = [f'{100 * n / count:.0f} % ({n})' if count else '-' for n, count in found]
        rows.append([row.name, *cells])
    return rows if any(cell != '-' for row in rows[1:] for cell in row[1:]) else []


def sizes(scores: Scores) -> list[list[str]]:
    """Return how many times its true size each part of each domain is predicted."""
    places = [(domain, part) for part in scores.parts for domain in scores.domains]
    rows = [['', *(f'{part}, {domain}' for domain, part in places)]]
    for row in scores.entries:
        rows.append([row.name, *(number(size_ratio(row, *place)) for place in places)])
    return rows if any(cell != '-' for row in rows[1:] for cell in row[1:]) else []


def calibration(scores: Scores, cases: Cases) -> list[list[str]]:
    domains = list(dict.fromkeys(domain for _, domain, _ in cases.reliability))
    if not domains:
        return []
    rows = [['', 'object', *(domains if len(domains) > 1 else []), 'all pixels']]
    for name in dict.fromkeys(row for row, _, _ in cases.reliability):
        every = [s for (row, _, alone), s in cases.reliability.items() if row == name and not alone]
        of_domains = [ece_of(cases, name, d) for d in domains] if len(domains) > 1 else []
        values = [ece_of(cases, name), *of_domains, reliability_of(np.sum(every, axis=0)).ece]
        rows.append([name, *(number(value, 3) for value in values)])
    return rows


def unmasked(cases: Cases) -> list[list[str]]:
    """Compare domains without masks with the others by what needs no mask."""
    if not cases.unmasked:
        return []
    rows = [['method', 'domain', 'masks', 'cases', f'predicted size ({cases.unit})',
             'nothing predicted', 'agreement with teacher (%)', 'with the other student (%)',
             'uncertainty (%)']]  # fmt: skip
    for name, of_domains in cases.sizes.items():
        for domain, several in of_domains.items():
            sizes = [sum(one.values()) for one in several]
            agreed = cases.agreement.get(name, {}).get(domain)
            peers = cases.peers.get(name, {}).get(domain)
            doubt = cases.doubt.get(name, {}).get(domain)
            rows.append(
                [name, domain, 'no' if domain in cases.unmasked else 'yes', str(len(several)),
                 f'{fmean(sizes):.0f}', str(sum(size == 0 for size in sizes)),
                 f'{fmean(agreed):.1f}' if agreed else '-',
                 f'{fmean(peers):.1f}' if peers else '-',
                 f'{100 * fmean(doubt):.1f}' if doubt else '-']
            )  # fmt: skip
    return rows


def data_note(rows: Sequence[Sequence[str]]) -> str:
    if not rows or 'shift' not in rows[0]:
        return ''
    return (
        'Shift: Wasserstein distance of the grey levels (0 to 255) of the test images, as the '
        'networks see them, from those of the reference domain.'
    )


def costs(methods: Sequence[Method]) -> list[list[str]]:
    """Return a table of what the trainings took, means over the runs of each method."""
    rows = [['', 'runs', 'iterations', 'ms an iteration', 'time of a run', 'memory (MiB)', 'on']]
    for method in methods:
        runs = [run for run in method.runs if run.cost.get('time')]
        if not runs:
            continue
        time, memory = (fmean(run.cost.get(key) or 0 for run in runs) for key in ('time', 'memory'))
        done = round(fmean(run.iterations[0] for run in runs))
        device = dict.fromkeys(str(run.cost.get('device') or '') for run in runs)
        rows.append(
            [method.name, str(len(runs)), str(done), f'{time:.0f}', duration(time / 1000 * done),
             f'{memory:.0f}' if memory else '-', ', '.join(filter(None, device)) or '-']
        )  # fmt: skip
    return rows if len(rows) > 1 else []


def data_card(methods: Sequence[Method], scores: Scores, cases: Cases) -> list[list[str]]:
    """Return a table of the domains: what was trained on, labelled and tested; and the shift."""
    data: dict[str, dict] = next((last['data'] for m in methods for r in m.runs
                 for last in list(r.about.values())[-1:] if last.get('data')), {})  # fmt: skip
    domains = list(dict.fromkeys([*data, *scores.domains, *cases.levels]))
    if not domains:
        return []
    shifts = _shifts(cases, next((d for d, one in data.items() if one.get('labelled')), None))
    images: dict[str, int] = {}
    patients: dict[str, set] = {}
    for row in scores.entries[:1]:
        for image in row.runs[0].result.get('images') or ():
            images[image['domain']] = images.get(image['domain'], 0) + 1
            patients.setdefault(image['domain'], set()).add(str(image.get('case')))
    header = ['domain', 'training images', 'patients', 'labelled', 'tested', 'test patients']
    header += ['mean grey level', 'shift'] * bool(shifts)
    rows = [header]
    for domain in domains:
        one = data.get(domain, {})
        labelled = one.get('labelled', 0)
        share = f' ({100 * labelled / one["images"]:.0f} %)' if one.get('images') else ''
        tested = 'no masks' if domain in cases.unmasked else images.get(domain, '-')
        line = [domain, one.get('images', '-'), one.get('cases', '-')]
        line += [f'{labelled}{share}' if one else '-', tested, len(patients.get(domain, ())) or '-']
        rows.append([*map(str, line), *shifts.get(domain, ['-', '-'] * bool(shifts))])
    return rows


def _shifts(cases: Cases, reference: str | None) -> dict[str, list[str]]:
    """Return the mean grey level, and the Wasserstein distance from the labelled domain."""
    from scipy.stats import wasserstein_distance

    if not cases.levels:
        return {}
    reference = reference if reference in cases.levels else next(iter(cases.levels))
    levels, base, found = np.arange(256), cases.levels[reference], {}
    for domain, counts in cases.levels.items():
        mean = float((levels * counts).sum() / counts.sum())
        apart = wasserstein_distance(levels, levels, counts, base)
        found[domain] = [f'{mean:.0f}', '0 (reference)' if domain == reference else f'{apart:.1f}']
    return found


def to_csv(scores: Scores) -> str:
    """Write every number: a line for each row, metric, domain and part."""
    runs = max((len(row.runs) for row in scores.entries), default=0)
    lines: list[list] = [
        ['row', 'metric', 'domain', 'part', 'mean', 'sd', 'low', 'high']
        + [f'run {i + 1}' for i in range(runs)]
    ]
    for metric, of_rows in scores.values.items():
        for name, cells in of_rows.items():
            for (domain, part), value in cells.items():
                numbers = [value.mean, value.sd, value.low, value.high, *value.runs]
                lines.append([name, metric, domain, part, *map(_exact, numbers)])
    for entry in scores.entries:
        for domain in scores.domains:
            for part in scores.parts:
                ratio = size_ratio(entry, domain, part)
                if ratio is not None:
                    lines.append([entry.name, 'size ratio', domain, part, _exact(ratio)])
    for row in scores.published:
        for metric, mean in row['mean'].items():
            lines.append([f'{row["name"]} (published)', metric, ALL, ALL, mean])
    width = len(lines[0])
    return tables.csv([[*line, *[None] * (width - len(line))] for line in lines])


def _exact(value: float | None) -> str | None:
    return None if value is None else repr(value)


LATEX = {'&': r'\&', '%': r'\%', '$': r'\$', '#': r'\#', '_': r'\_', '{': r'\{', '}': r'\}',
         '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '\\': r'\textbackslash{}',
         '<': r'\textless{}', '>': r'\textgreater{}'}  # fmt: skip


def latex_text(text: str) -> str:
    r"""Return a text as LaTeX prints it.

    Example:
        >>> print(latex_text('a_b & 5 %'))
        a\_b \& 5 \%
    """
    return ''.join(LATEX.get(sign, sign) for sign in text)


def best_rows(scores: Scores, metric: str, cell: Cell) -> set[str]:
    """Return the rows with the best value of a column, to two digits; none of a single row."""
    values = {row.name: scores.get(metric, row.name, *cell).mean for row in scores.entries}
    kept = {name: round(value, 2) for name, value in values.items() if value is not None}
    if len(kept) < 2:
        return set()
    best = (min if metric in LOWER_IS_BETTER else max)(kept.values())
    return {name for name, value in kept.items() if value == best}


def to_latex(scores: Scores) -> str:
    """Write a table of booktabs for each metric, the best of each column in bold."""
    blocks = ['% \\usepackage{booktabs}']
    columns = scores.columns()
    for metric in scores.values:
        heads = ['', *(part if domain == ALL else domain for domain, part in columns)]
        heads[1] = 'mean'
        lines = [
            f'\\begin{{tabular}}{{l{"r" * len(columns)}}}',
            r'\toprule',
            ' & '.join(map(latex_text, heads)) + r' \\',
            r'\midrule',
        ]
        for row in scores.entries:
            cells = [latex_text(row.name)]
            for cell in columns:
                value = scores.get(metric, row.name, *cell)
                text = '--' if value.mean is None else f'{value.mean:.2f}'
                bold = row.name in best_rows(scores, metric, cell)
                text = rf'\textbf{{{text}}}' if bold else text
                cells.append(text + (f' $\\pm$ {value.sd:.2f}' if value.sd is not None else ''))
            lines.append(' & '.join(cells) + r' \\')
        for place, paper in enumerate(scores.published):
            lines += [r'\midrule'] * (place == 0)
            mean = paper['mean'].get(metric)
            cells = ['--' if mean is None else f'{mean:.2f}'] + ['--'] * (len(columns) - 1)
            lines.append(' & '.join([latex_text(f'{paper["name"]} (published)'), *cells]) + r' \\')
        lines += [r'\bottomrule', r'\end{tabular}']
        blocks.append(f'% {METRICS[metric]}\n' + '\n'.join(lines))
    return '\n\n'.join(blocks) + '\n'
