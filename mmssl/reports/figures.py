"""The plots of a report, as plain values that plotly.js draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from mmssl.evaluation.statistics import bland_altman, reliability_of
from mmssl.reports.cases import BINS, Cases, mean_dice
from mmssl.reports.gather import Entry, Method, Run
from mmssl.reports.scores import Scores, tested
from mmssl.visualization.curves import Curve, group_curves

# Okabe and Ito's, which colour-blind readers tell apart, in an order that suits light and dark.
COLOURS = ('#1f7fc4', '#d55e00', '#009e73', '#cc79a7', '#b8860b', '#56b4e9', '#7f7f7f', '#8c564b')
DASHES = ('solid', 'dash', 'dot', 'dashdot')
LONGEST = 1000
"""Points of a curve at most."""


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


def _axes(x: str, y: str, **more: Any) -> dict[str, Any]:
    return {'xaxis': {'title': {'text': x}}, 'yaxis': {'title': {'text': y}}, **more}


def interval_figure(scores: Scores) -> Figure | None:
    """Draw the mean DSC of each row with its interval, and that of each run."""
    names = [row.name for row in scores.entries]
    values = [scores.get('DSC', name) for name in names]
    known = [(n, v, v.mean) for n, v in zip(names, values, strict=True) if v.mean is not None]
    if len(known) < 2:
        return None
    data: list[dict[str, Any]] = []
    for name, value, mean in known:
        low = mean if value.low is None else value.low
        high = mean if value.high is None else value.high
        error = {'array': [high - mean], 'arrayminus': [mean - low], 'thickness': 3}
        marker = {'color': colour_of(names.index(name)), 'size': 13}
        data.append(
            {
                'type': 'scatter', 'mode': 'markers', 'x': [mean], 'y': [name],
                'error_x': {'type': 'data', 'symmetric': False, **error}, 'marker': marker,
                'name': name, 'showlegend': False,
            }
        )  # fmt: skip
        if len(value.runs) > 1:
            runs = [one for one in value.runs if one is not None]
            marker = {'color': colour_of(names.index(name)), 'size': 8, 'symbol': 'line-ns-open'}
            data.append(
                {
                    'type': 'scatter', 'mode': 'markers', 'x': runs, 'y': [name] * len(runs),
                    'marker': marker, 'name': f'{name}, runs', 'showlegend': False,
                }
            )  # fmt: skip
    layout = _axes('DSC (%)', '', height=90 + 44 * len(known))
    layout['yaxis'].update(autorange='reversed', automargin=True, type='category')
    note = (
        'Point: mean over domains and parts. Bar: 95 % bootstrap interval over patients. '
        'Small lines: single trainings.'
    )
    return Figure('intervals', 'Which one is ahead?', note, data, layout)


def distribution_figure(scores: Scores) -> Figure | None:
    """Draw the Dice of all images by domain, a violin where there are enough, else a box."""
    data = []
    for number, row in enumerate(scores.entries):
        x, y, text = [], [], []
        for images, student in tested(row):
            for image in images:
                dice = mean_dice(image['scores'].get(student))
                if dice is not None:
                    x.append(image['domain'])
                    y.append(dice)
                    text.append(str(image.get('name')))
        if not y:
            continue
        smallest = min(x.count(domain) for domain in {*x})
        many = smallest >= 8 and len({*x}) * len(scores.entries) <= 40
        shape: dict[str, Any] = {'type': 'violin', 'box': {'visible': True}, 'spanmode': 'hard'}
        shape = shape if many else {'type': 'box'}
        points = {'points' if many else 'boxpoints': 'outliers' if many else 'all'}
        data.append(
            {
                **shape, **points, 'x': x, 'y': y, 'text': text, 'name': row.name,
                'jitter': 0.4, 'pointpos': 0, 'marker': {'size': 4},
                'line': {'color': colour_of(number), 'width': 1.5},
            }
        )  # fmt: skip
    if not data:
        return None
    layout = _axes('', 'DSC (%)')
    layout['violinmode'] = layout['boxmode'] = 'group'
    layout['yaxis']['range'] = [-3, 103]
    layout['xaxis'].update(type='category', automargin=True)
    note = 'Every image or case that was scored, mean over its parts; all trainings together.'
    return Figure('distribution', 'How the scores spread', note, data, layout)


def _sizes(row: Entry) -> list[tuple[str, str, str, float, float, float]]:
    """Return name, domain, part, Dice, true and predicted size of each part of an image."""
    found = []
    for images, student in tested(row):
        for image in images:
            sizes, voxel = image.get('sizes') or {}, float(np.prod(image.get('mm') or [1.0]))
            for part, values in (image['scores'].get(student) or {}).items():
                truth = sizes.get('truth', {}).get(part)
                pred = sizes.get(student, {}).get(part)
                if truth is None or pred is None or values.get('DSC') is None:
                    continue
                name = f'{image.get("name")}'
                found.append(
                    (name, image['domain'], part, values['DSC'], truth * voxel, pred * voxel)
                )
    return found


def _unit(scores: Scores) -> str:
    for row in scores.entries:
        for images, _ in tested(row):
            for image in images[:1]:
                axes = len(image.get('mm') or ())
                return {2: 'mm²', 3: 'mm³'}.get(axes, 'pixels')
    return 'pixels'


def size_figures(scores: Scores) -> list[Figure]:
    """Draw Dice against size, and the agreement of sizes by Bland and Altman."""
    unit = _unit(scores)
    dice, bland, lines = [], [], []
    for number, row in enumerate(scores.entries):
        found = _sizes(row)
        if not found:
            continue
        text = [f'{domain}, {name}, {part}' for name, domain, part, *_ in found]
        marker = {'color': colour_of(number), 'size': 6, 'opacity': 0.65}
        common = {'type': 'scatter', 'mode': 'markers', 'name': row.name, 'text': text}
        truth, pred = [f[4] for f in found], [f[5] for f in found]
        dice.append({**common, 'marker': marker, 'x': truth, 'y': [f[3] for f in found]})
        means = [(t + p) / 2 for t, p in zip(truth, pred, strict=True)]
        apart = [p - t for t, p in zip(truth, pred, strict=True)]
        bland.append({**common, 'marker': marker, 'x': means, 'y': apart})
        agreed = bland_altman(pred, truth)
        for level, dash in ((agreed.bias, 'solid'), (agreed.low, 'dot'), (agreed.high, 'dot')):
            if np.isfinite(level):
                line = {'color': colour_of(number), 'width': 1.5, 'dash': dash}
                lines.append(
                    {'type': 'line', 'xref': 'paper', 'x0': 0, 'x1': 1, 'y0': level, 'y1': level,
                     'line': line}
                )  # fmt: skip
    if not dice:
        return []
    notes = (
        'Small parts cost more: one pixel at the edge weighs more in them.',
        'Predicted minus true size against the mean of both. Solid: bias; dotted: limits of '
        'agreement, bias ± 1.96 standard deviations (Bland and Altman 1986).',
    )
    layout = _axes(f'true size ({unit})', 'DSC (%)')
    layout['yaxis']['range'] = [-3, 103]
    other = _axes(f'mean of true and predicted size ({unit})', f'predicted - true ({unit})')
    return [
        Figure('dice_size', 'Dice against size', notes[0], dice, layout),
        Figure(
            'bland', 'Sizes: predicted against true', notes[1], bland, {**other, 'shapes': lines}
        ),
    ]


def calibration_figure(rows: Sequence[str], cases: Cases) -> Figure | None:
    """Draw reliability curves of the object's pixels, all domains together."""
    data: list[dict[str, Any]] = [
        {
            'type': 'scatter', 'mode': 'lines', 'x': [0, 1], 'y': [0, 1], 'showlegend': False,
            'hoverinfo': 'skip', 'line': {'color': '#999', 'dash': 'dot', 'width': 1},
        }
    ]  # fmt: skip
    for number, name in enumerate(rows):
        sums = [s for (row, _, alone), s in cases.reliability.items() if row == name and alone]
        if not sums:
            continue
        curve = reliability_of(np.sum(sums, axis=0))
        kept = curve.pixels > 0
        data.append(
            {
                'type': 'scatter', 'mode': 'lines+markers', 'name': f'{name}, ECE {curve.ece:.3f}',
                'x': curve.confidence[kept].tolist(), 'y': curve.accuracy[kept].tolist(),
                'text': [f'{int(n)} pixels' for n in curve.pixels[kept]],
                'line': {'color': colour_of(number)},
            }
        )  # fmt: skip
    if len(data) == 1:
        return None
    layout = _axes('how sure the network is', 'how often it is right')
    layout['xaxis']['range'] = layout['yaxis']['range'] = [0, 1.02]
    note = (
        'Pixels that the truth or the prediction counts to a part. Below the diagonal the network '
        f'is surer than it may be. ECE: expected calibration error, {BINS} bins.'
    )
    return Figure('calibration', 'Does it know when it is wrong?', note, data, layout)


def unmasked_figure(rows: Sequence[str], cases: Cases) -> Figure | None:
    """Draw the predicted sizes of every domain, where some have no masks."""
    if not cases.unmasked:
        return None
    data = []
    for number, name in enumerate(rows):
        of_domains = cases.sizes.get(name, {})
        x = [domain for domain, several in of_domains.items() for _ in several]
        y = [sum(one.values()) for several in of_domains.values() for one in several]
        if y:
            line = {'color': colour_of(number), 'width': 1.5}
            data.append(
                {'type': 'box', 'boxpoints': 'all', 'jitter': 0.4, 'pointpos': 0, 'x': x, 'y': y,
                 'name': name, 'marker': {'size': 4}, 'line': line}
            )  # fmt: skip
    layout = _axes('', 'predicted size (pixels)', boxmode='group')
    layout['xaxis'].update(type='category', automargin=True)
    note = 'Sizes that differ from those of the domain with labels ask for a look at the pictures.'
    return Figure(
        'predicted_sizes', 'What is predicted where nobody drew masks', note, data, layout
    )


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
        layout = _axes('iteration', '')
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


def level_figure(cases: Cases) -> Figure | None:
    """Draw the grey levels of each domain, as the networks see them."""
    if len(cases.levels) < 2:
        return None
    data = []
    for number, (domain, counts) in enumerate(cases.levels.items()):
        share = counts.reshape(64, 4).sum(1) / max(counts.sum(), 1)
        data.append(
            {'type': 'scatter', 'mode': 'lines', 'x': list(range(2, 256, 4)), 'y': share.tolist(),
             'name': domain, 'line': {'color': colour_of(number), 'width': 1.6}}
        )  # fmt: skip
    layout = _axes('grey level', 'share of pixels')
    layout['yaxis']['type'] = 'log'
    note = (
        'Test images as the networks see them; the further apart two lines, the larger the shift.'
    )
    return Figure('levels', 'Are the domains alike?', note, data, layout)


def all_figures(methods: Sequence[Method], scores: Scores, cases: Cases) -> list[Figure]:
    """Return every figure that there is something to draw in, in the order of the page."""
    rows = [row.name for row in scores.entries] or list(cases.sizes)
    found = [
        interval_figure(scores),
        distribution_figure(scores),
        *size_figures(scores),
        calibration_figure(rows, cases),
        unmasked_figure(rows, cases),
        level_figure(cases),
    ]
    return [*(one for one in found if one), *(f for m in methods for f in curve_figures(m))]
