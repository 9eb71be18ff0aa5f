"""The page of a report: one file of HTML that needs no other and no network."""

import base64
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmssl import __version__
from mmssl.reports.cases import Cases, find_cases
from mmssl.reports.figures import all_figures
from mmssl.reports.gather import gather
from mmssl.reports.plots import Figure
from mmssl.reports.runs import Method, entries, run_card
from mmssl.reports.scores import Scores, find_scores, published_rows
from mmssl.reports.tables import (
    ahead,
    calibration,
    costs,
    data_card,
    data_note,
    failures,
    metric_table,
    published_note,
    sizes,
    to_csv,
    to_latex,
    unmasked,
)
from mmssl.reports.words import caveats, in_short, tiles
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
        scores.asked = True
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
    metrics = [metric_table(scores, metric) for metric in scores.values]
    data = data_card(methods, scores, cases)
    context = {
        'title': title,
        'subtitle': _subtitle(methods, scores),
        'tiles': tiles(scores, cases),
        'short': in_short(methods, scores, cases),
        'metrics': metrics,
        'first_title': 'student' if len(methods) == 1 else 'method',
        'published_note': published_note(scores, metrics),
        'ahead': ahead(scores),
        'failures': failures(scores),
        'sizes': sizes(scores),
        'calibration': calibration(scores, cases),
        'csv': _encoded(to_csv(scores)) if metrics else '',
        'latex': _encoded(to_latex(scores)) if metrics else '',
        'gallery': bool(cases.shown),
        'figures': shown,
        'distributions': any(
            not f['method'] and f['name'] not in ('intervals', 'levels') for f in shown
        )
        or bool(cases.unmasked),
        'unmasked': unmasked(cases),
        'curve_methods': list(dict.fromkeys(f['method'] for f in shown if f['method'])),
        'data': data,
        'data_note': data_note(data),
        'costs': costs(methods) if len(methods) > 1 else [],
        'cards': [_card(method) for method in methods],
        'caveats': caveats(methods, scores, cases),
        'footer': f'mmssl {__version__}, {time.strftime("%Y-%m-%d %H:%M")}',
        'made': time.strftime('%H:%M:%S'),
        'refresh': refresh,
        'style': Markup((HERE / 'page.css').read_text(encoding='utf-8')),
        'script': Markup((HERE / 'page.js').read_text(encoding='utf-8')),
        'plotly': Markup(get_plotlyjs().replace('</script', r'<\/script')) if figures else '',
        'data_json': Markup(_json_in_html({'refresh': refresh, **_page_data(figures, cases)})),
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


def _card(method: Method) -> dict[str, Any]:
    settings = list(method.runs[0].settings.items())[:MOST_SETTINGS]
    return {'name': method.name, 'pairs': run_card(method), 'settings': settings}


def _page_data(figures: Sequence[Figure], cases: Cases) -> dict[str, Any]:
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
