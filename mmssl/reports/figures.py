"""The plots of scores, sizes and cases, as plain values that plotly.js draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmssl.evaluation.statistics import bland_altman, reliability_of
from mmssl.reports.cases import BINS, Cases
from mmssl.reports.plots import Figure, axes, colour_of, curve_figures
from mmssl.reports.runs import Entry, Method
from mmssl.reports.scores import Scores, mean_dice, tested


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
    layout = axes('DSC (%)', '', height=90 + 44 * len(known))
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
    layout = axes('', 'DSC (%)')
    layout['violinmode'] = layout['boxmode'] = 'group'
    lowest = min(value for trace in data for value in trace['y'])
    layout['yaxis']['range'] = [-3 if lowest < 50 else 47, 103]
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
    dice, bland = [], []
    for number, row in enumerate(scores.entries):
        found = _sizes(row)
        if not found:
            continue
        text = [f'{domain}, {name}, {part}' for name, domain, part, *_ in found]
        marker = {'color': colour_of(number), 'size': 6, 'opacity': 0.65}
        common = {
            'type': 'scatter', 'mode': 'markers', 'name': row.name, 'legendgroup': row.name,
            'text': text,
        }  # fmt: skip
        truth, pred = [f[4] for f in found], [f[5] for f in found]
        dice.append({**common, 'marker': marker, 'x': truth, 'y': [f[3] for f in found]})
        means = [(t + p) / 2 for t, p in zip(truth, pred, strict=True)]
        apart = [p - t for t, p in zip(truth, pred, strict=True)]
        bland.append({**common, 'marker': marker, 'x': means, 'y': apart})
        agreed = bland_altman(pred, truth)
        levels = {'bias': agreed.bias, 'lower limit': agreed.low, 'upper limit': agreed.high}
        for name, level in levels.items():
            if np.isfinite(level):  # a click on the row in the legend hides them, too
                line = {'color': colour_of(number), 'width': 1.5}
                line['dash'] = 'solid' if name == 'bias' else 'dot'
                limit: dict[str, Any] = (
                    {'type': 'scatter', 'mode': 'lines', 'x': [min(means), max(means)],
                     'y': [level, level], 'name': f'{name} of {row.name}', 'line': line,
                     'legendgroup': row.name, 'showlegend': False}
                )  # fmt: skip
                bland.append(limit)
    if not dice:
        return []
    notes = (
        'Small parts cost more: one pixel at the edge weighs more in them.',
        'Predicted minus true size against the mean of both. Solid: bias; dotted: limits of '
        'agreement, bias ± 1.96 standard deviations (Bland and Altman 1986). A click in the '
        'legend hides a row.',
    )
    layout = axes(f'true size ({unit})', 'DSC (%)')
    layout['yaxis']['range'] = [-3, 103]
    other = axes(f'mean of true and predicted size ({unit})', f'predicted - true ({unit})')
    return [
        Figure('dice_size', 'Dice against size', notes[0], dice, layout),
        Figure('bland', 'Sizes: predicted against true', notes[1], bland, other),
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
    layout = axes('how sure the network is', 'how often it is right')
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
    layout = axes('', f'predicted size ({cases.unit})', boxmode='group')
    layout['xaxis'].update(type='category', automargin=True)
    note = 'Sizes that differ from those of the domain with labels ask for a look at the pictures.'
    return Figure(
        'predicted_sizes', 'What is predicted where nobody drew masks', note, data, layout
    )


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
    layout = axes('grey level', 'share of pixels')
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
