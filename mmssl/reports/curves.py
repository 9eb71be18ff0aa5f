"""The plots of trainings: losses, rates, scores and pseudo-labels against the iterations."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from mmssl.reports.gather import Method, Run
from mmssl.reports.plots import Figure, axes, colour_of
from mmssl.visualization.curves import Curve, group_curves

DASHES = ('solid', 'dash', 'dot', 'dashdot')
LONGEST = 1000
"""Points of a curve at most."""


def _thin(curve: Curve) -> tuple[list[int], list[float]]:
    steps = sorted(curve)
    if len(steps) > LONGEST:
        steps = [steps[int(i)] for i in np.linspace(0, len(steps) - 1, LONGEST)]
    return steps, [curve[step] for step in steps]


def curve_figures(method: Method) -> list[Figure]:
    """Draw the training curves of a method, all its runs in one plot for each kind."""
    panels: dict[str, list[tuple[Run, dict[str, Curve]]]] = {}
    for run in method.runs:
        kinds = group_curves(run.curves)
        if run.pseudo:
            title = 'Diagnostic: Dice against the truth'
            kinds[title] = {**kinds.get(title, {}), **_pseudo(run.pseudo)}
        kinds.update(_domain_curves(run.curves))
        for kind, lines in kinds.items():
            panels.setdefault(kind, []).append((run, lines))
    figures = []
    for number, (kind, found) in enumerate(panels.items()):
        terms = list(dict.fromkeys(term for _, lines in found for term in lines))
        data = []
        for index, (run, lines) in enumerate(found):
            for term, curve in lines.items():
                steps, values = _thin(curve)
                line: dict[str, Any] = {'color': colour_of(terms.index(term))}
                line.update(dash=DASHES[index % 4], width=1.6)
                name = term if len(found) == 1 else f'{term}, {run.name}'
                mode = 'lines+markers' if len(steps) <= 20 else 'lines'
                data.append(
                    {'type': 'scatter', 'mode': mode, 'x': steps, 'y': values, 'name': name,
                     'line': line, 'marker': {'size': 5}}
                )  # fmt: skip
        if kind.startswith('DSC of the students'):
            data += _marks(method, terms)
        if all(len(trace['x']) < 2 for trace in data):
            continue  # a single evaluation, which the tables have
        layout = axes('iteration', '')
        layout['yaxis']['rangemode'] = 'tozero' if kind == 'Learning rate' else 'normal'
        if kind == 'Learning rate' and _far_apart(data):
            layout['yaxis']['type'] = 'log'
        smooth = kind in ('Losses', 'Confidences and weights')
        figures.append(
            Figure(f'curves{number}', kind, NOTES.get(kind, ''), data, layout, smooth, method.name)
        )
    return figures


NOTES = {
    'Losses': 'The terms of the loss; means over the window of the log.',
    'DSC of the students (%)': (
        'Scores while training. Star: chosen checkpoint; circle: last; line: mean of the last ten.'
    ),
    'Diagnostic: Dice against the truth': (
        'Teachers and pseudo-labels on images whose truth is known.'
    ),
}


def _far_apart(data: Sequence[Mapping[str, Any]]) -> bool:
    values = [value for trace in data for value in trace['y']]
    return bool(values) and min(values) > 0 and max(values) > 20 * min(values)


def _pseudo(history: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    names = dict.fromkeys(name for point in history for name in point.get('mean', {}))
    return {n: {p['iter']: p['mean'][n] for p in history if n in p.get('mean', {})} for n in names}


def _domain_curves(curves: Mapping[str, Curve]) -> dict[str, dict[str, Curve]]:
    """Return, for each student, the Dice of each domain (mean over its parts) over the training."""
    found: dict[str, dict[str, list[Curve]]] = {}
    for name, curve in curves.items():
        words = name.split('/')
        if len(words) == 4 and words[3] == 'DSC':
            found.setdefault(words[0], {}).setdefault(words[1], []).append(curve)
    return {
        f'DSC by domain, {student} (%)': {
            domain: {
                step: fmean(one[step] for one in several)
                for step in several[0]
                if all(step in one for one in several)
            }
            for domain, several in domains.items()
        }
        for student, domains in found.items()
        if len(domains) > 1
    }


def _marks(method: Method, terms: Sequence[str]) -> list[dict[str, Any]]:
    """Return the marks of the last, the mean of the last ten and the chosen checkpoint."""
    marks: list[dict[str, Any]] = []
    for run in method.runs:
        for student, entry in run.summary.get('students', {}).items():
            if student not in terms:
                continue
            colour = colour_of(terms.index(student))
            for key, symbol in (('last', 'circle-open'), ('chosen', 'star')):
                value = entry.get(key, {}).get('metrics', {}).get('DSC')
                if value is not None:
                    marker = {'symbol': symbol, 'size': 13, 'color': colour}
                    marks.append(
                        {'type': 'scatter', 'mode': 'markers', 'x': [entry[key]['iter']],
                         'y': [value], 'marker': marker, 'name': f'{key} of {student}',
                         'showlegend': False}
                    )  # fmt: skip
            tail = entry.get('last_k', {})
            mean = tail.get('mean', {}).get('DSC')
            if mean is not None and len(tail['iters']) > 1:
                line = {'color': colour, 'width': 4, 'dash': 'solid'}
                marks.append(
                    {'type': 'scatter', 'mode': 'lines', 'x': [tail['iters'][0], tail['iters'][-1]],
                     'y': [mean, mean], 'line': line, 'opacity': 0.45, 'showlegend': False,
                     'name': f'mean of the last {len(tail["iters"])} of {student}'}
                )  # fmt: skip
    return marks
