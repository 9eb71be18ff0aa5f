"""The plots of trainings, and what all plots of a report have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from mmssl.reports.runs import Method, Run
from mmssl.visualization.curves import Curve, group_curves

# Okabe and Ito's, which colour-blind readers tell apart, in an order that suits light and dark.
COLOURS = ('#1f7fc4', '#d55e00', '#009e73', '#cc79a7', '#b8860b', '#56b4e9', '#7f7f7f', '#8c564b')


@dataclass
class Figure:
    """A plot.

    Attributes:
        name: of its place in the page.
        title: what stands above it.
        note: how to read it.
        data: traces.
        layout: of plotly.
        smooth: whether its lines can be smoothed.
        method: the method it is of, where the page shows one method at a time.
    """

    name: str
    title: str
    note: str
    data: list[dict[str, Any]]
    layout: dict[str, Any] = field(default_factory=dict)
    smooth: bool = False
    method: str = ''

    def spec(self) -> dict[str, Any]:
        """Return what the page's script needs."""
        return {'data': self.data, 'layout': self.layout, 'smooth': self.smooth}


def colour_of(number: int) -> str:
    """Return the colour of the n-th row or term."""
    return COLOURS[number % len(COLOURS)]


def axes(x: str, y: str, **more: Any) -> dict[str, Any]:
    """Return a layout with titles of its axes."""
    return {'xaxis': {'title': {'text': x}}, 'yaxis': {'title': {'text': y}}, **more}


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
        kinds.update(_pseudo(run.pseudo))
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
        layout = axes('iteration', AXES.get(kind, 'Dice' if kind.startswith('Diag') else 'DSC (%)'))
        layout['showlegend'] = True  # a single line has a name, too
        layout['yaxis']['rangemode'] = 'tozero' if kind == 'Learning rate' else 'normal'
        if kind == 'Learning rate' and _far_apart(data):
            layout['yaxis']['type'] = 'log'
        smooth = kind in ('Losses', 'Confidences and weights')
        figures.append(
            Figure(f'curves{number}', kind, NOTES.get(kind, ''), data, layout, smooth, method.name)
        )
    return figures


AXES = {
    'Losses': 'loss',
    'Confidences and weights': 'value',
    'Learning rate': 'learning rate',
    'HD95 of the students': 'HD95',
}
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


def _pseudo(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Curve]]:
    """Return the Dice of teachers and pseudo-labels: on all images, and by domain for each."""
    found: dict[str, dict[str, Curve]] = {}

    def add(title: str, line: str, step: int, value: float) -> None:
        found.setdefault(title, {}).setdefault(line, {})[step] = value

    several = len({domain for point in history for domain in point.get('domains', ())}) > 1
    for point in history:
        for name, value in point.get('mean', {}).items():
            add('Diagnostic: Dice against the truth', name, point['iter'], value)
        for domain, values in point.get('domains', {}).items() if several else ():
            for name, value in values.items():
                add(f'Diagnostic by domain: {name}', domain, point['iter'], value)
    return found


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
