"""The page of a report: one file of HTML that needs no other and no network."""

import base64
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from mmssl import __version__
from mmssl.evaluation.statistics import reliability_of
from mmssl.reports.cases import Cases, find_cases
from mmssl.reports.figures import all_figures
from mmssl.reports.gather import Method, entries, gather
from mmssl.reports.plots import Figure, colour_of
from mmssl.reports.published import published_rows
from mmssl.reports.scores import (
    ALL,
    METRICS,
    Scores,
    Value,
    best_rows,
    failure_rate,
    find_scores,
    to_csv,
    to_latex,
)
from mmssl.reports.words import caveats, data_card, ece_of, in_short, number, run_card, tiles
from mmssl.utils.io import write_atomic

HERE = Path(__file__).parent
MOST_SETTINGS = 400


def write_report(
    paths: Sequence[str | Path],
    out: str | Path,
    title: str | None = None,
    published: bool = False,
    refresh: int = 0,
) -> list[Path]:
    """Write the page, and the numbers of its tables as CSV and LaTeX beside it.

    Args:
        paths: what `gather` reads.
        out: the page.
        title: of the page; by default the names of what is shown.
        published: add the numbers of the metafiles.
        refresh: seconds after which an open page loads itself anew; 0 for never.

    Returns:
        The files.

    Raises:
        FileNotFoundError: a path has nothing of a run.
    """
    out = Path(out)
    methods = gather(paths)
    scores = find_scores(entries(methods))
    if published:
        scores.published = published_rows(methods)
    cases = find_cases(scores.entries or entries(methods, tested=False))
    files = [out]
    write_atomic(out, render(methods, scores, cases, title, refresh))
    if scores.entries:
        for suffix, text in (('.csv', to_csv(scores)), ('.tex', to_latex(scores))):
            files.append(out.with_suffix(suffix))
            write_atomic(files[-1], text)
    return files


def render(
    methods: Sequence[Method],
    scores: Scores,
    cases: Cases,
    title: str | None = None,
    refresh: int = 0,
) -> str:
    """Return the page."""
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    figures = all_figures(methods, scores, cases)
    shown = [_described(figure, index) for index, figure in enumerate(figures)]
    names = list(dict.fromkeys(method.name for method in methods))
    title = title or (
        names[0] if len(names) == 1 else ' · '.join(names[:4]) + ' …' * (len(names) > 4)
    )
    metrics = [_metric_table(scores, metric) for metric in scores.values]
    data = data_card(methods, scores, cases)
    context = {
        'title': title,
        'subtitle': _subtitle(methods, scores),
        'tiles': tiles(scores, cases),
        'short': in_short(methods, scores, cases),
        'metrics': metrics,
        'first_title': 'student' if len(methods) == 1 else 'method',
        'published_note': _published_note(scores, metrics),
        'ahead': _ahead(scores),
        'failures': _failures(scores),
        'calibration': _calibration(scores, cases),
        'csv': _encoded(to_csv(scores)) if metrics else '',
        'latex': _encoded(to_latex(scores)) if metrics else '',
        'gallery': bool(cases.shown),
        'figures': shown,
        'distributions': any(
            not f['method'] and f['name'] not in ('intervals', 'levels') for f in shown
        )
        or bool(cases.unmasked),
        'unmasked': _unmasked(cases),
        'curve_methods': list(dict.fromkeys(f['method'] for f in shown if f['method'])),
        'data': data,
        'data_note': _data_note(data),
        'cards': [_card(method) for method in methods],
        'caveats': caveats(methods, scores, cases),
        'footer': f'mmssl {__version__}, {time.strftime("%Y-%m-%d %H:%M")}',
        'refresh': refresh,
        'style': Markup((HERE / 'page.css').read_text(encoding='utf-8')),
        'script': Markup((HERE / 'page.js').read_text(encoding='utf-8')),
        'plotly': Markup(get_plotlyjs().replace('</script', r'<\/script')) if figures else '',
        'data_json': Markup(_json_in_html(_page_data(figures, scores, cases))),
    }
    context['sections'] = _sections(context)
    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template('page.html').render(context)


def _described(figure: Figure, index: int) -> dict[str, Any]:
    return {
        'index': index, 'name': figure.name, 'title': figure.title, 'note': figure.note,
        'method': figure.method,
    }  # fmt: skip


def _sections(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [('short', 'In short', True), ('scores', 'Scores', context['metrics']),
             ('cases', 'Worst cases', context['gallery']),
             ('spread', 'Where it fails', context['distributions']),
             ('curves', 'Training', context['curve_methods']), ('runs', 'Runs and data', True),
             ('not', 'Not shown', True)]  # fmt: skip
    return [(anchor, name) for anchor, name, there in found if there]


def _subtitle(methods: Sequence[Method], scores: Scores) -> str:
    runs = sum(len(method.runs) for method in methods)
    sets = dict.fromkeys(
        run.result.get('dataset') or run.setting('train_dataloader.dataset.metainfo.dataset_name')
        for method in methods for run in method.runs
    )  # fmt: skip
    words = [f'{runs} run{"s" * (runs != 1)}', *(str(name) for name in sets if name)]
    if len(methods) > 1:
        words.insert(0, f'{len(methods)} methods')
    if len(scores.domains) > 1:
        words.append(f'{len(scores.domains)} domains')
    return ' · '.join(words)


def _metric_table(scores: Scores, metric: str) -> dict[str, Any]:
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


def _published_note(scores: Scores, metrics: Sequence[Mapping[str, Any]]) -> str:
    if not scores.published and not any('published' in m['columns'] for m in metrics):
        return ''
    return (
        'Published numbers are those of the papers: full size and length, chosen on the test set '
        'where the paper did so.'
    )


def _ahead(scores: Scores) -> list[list[str]]:
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


def _failures(scores: Scores) -> list[list[str]]:
    domains = scores.domains if len(scores.domains) > 1 else []
    parts = scores.parts if len(scores.parts) > 1 else []
    rows = [['', 'all', *domains, *parts]]
    for row in scores.entries:
        places = [(ALL, ALL), *((d, ALL) for d in domains), *((ALL, p) for p in parts)]
        found = [failure_rate(row, *place) for place in places]
        cells = [f'{100 * n / count:.0f} % ({n})' if count else '-' for n, count in found]
        rows.append([row.name, *cells])
    return rows if any(cell != '-' for row in rows[1:] for cell in row[1:]) else []


def _calibration(scores: Scores, cases: Cases) -> list[list[str]]:
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


def _unmasked(cases: Cases) -> list[list[str]]:
    """Compare domains without masks with the others by what needs no mask."""
    if not cases.unmasked:
        return []
    rows = [['method', 'domain', 'masks', 'cases', 'predicted size', 'nothing predicted',
             'agreement with teacher (%)', 'uncertainty (%)']]  # fmt: skip
    for name, of_domains in cases.sizes.items():
        for domain, several in of_domains.items():
            sizes = [sum(one.values()) for one in several]
            agreed = cases.agreement.get(name, {}).get(domain)
            doubt = cases.doubt.get(name, {}).get(domain)
            rows.append(
                [name, domain, 'no' if domain in cases.unmasked else 'yes', str(len(several)),
                 f'{fmean(sizes):.0f}', str(sum(size == 0 for size in sizes)),
                 f'{fmean(agreed):.1f}' if agreed else '-',
                 f'{100 * fmean(doubt):.1f}' if doubt else '-']
            )  # fmt: skip
    return rows


def _data_note(rows: Sequence[Sequence[str]]) -> str:
    if not rows or 'shift' not in rows[0]:
        return ''
    return (
        'Shift: Wasserstein distance of the grey levels (0 to 255) of the test images, as the '
        'networks see them, from those of the reference domain.'
    )


def _card(method: Method) -> dict[str, Any]:
    settings = list(method.runs[0].settings.items())[:MOST_SETTINGS]
    return {'name': method.name, 'pairs': run_card(method), 'settings': settings}


def _page_data(figures: Sequence[Figure], scores: Scores, cases: Cases) -> dict[str, Any]:
    about: dict[str, Any] = next((run.cases_about for run in cases.runs.values()), {})
    classes, palette = about.get('classes', ()), about.get('palette', ())
    colours = [f'rgb({",".join(map(str, colour))})' for colour in palette]
    pairs = list(zip(classes, colours, strict=False))[1:]
    return {
        'plots': [figure.spec() for figure in figures],
        'cases': cases.shown,
        'left_out': cases.left_out,
        'rows': list(cases.runs),
        'parts': list(about.get('parts', ())),
        'classes': pairs,
    }


def _json_in_html(value: Any) -> str:
    """Write JSON that no text in it can end; what is no number becomes null."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(',', ':'), allow_nan=False)
    for sign in '<>&\u2028\u2029':
        text = text.replace(sign, f'\\u{ord(sign):04x}')
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
