"""Pictures of a metric against the settings that were varied."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from mmssl.experiments.table import LOWER_IS_BETTER, MEAN, UNITS, Row, columns
from mmssl.utils.io import write_atomic


def plot_sweep(
    rows: Sequence[Row], names: Sequence[str], metric: str, out: str | Path, bars: bool = False
) -> Path:
    """Draw a metric against the varied values, with the spread over the runs, as one PNG.

    One varied setting gives points with error bars, joined where its values are numbers, for the
    mean and, where there are several, for the parts; two give a heat map; more give a bar for each
    combination.

    Args:
        rows: the settings with their runs; those without a run are left empty.
        names: titles of the varied settings.
        metric: which metric.
        out: PNG to write.
        bars: draw bars whatever the number of settings; for names, which have no order.

    Returns:
        The path of the PNG.

    Raises:
        ValueError: no run is done.
    """
    if not any(row.cells for row in rows):
        raise ValueError(f'There is no finished run to draw in {out}.')
    figure, axes = _figure()
    draw = _bars if bars else {1: _lines, 2: _heat_map}.get(len(names), _bars)
    draw(figure, axes, rows, names, metric)
    return _written(figure, out)


def plot_budgets(
    budgets: Sequence[int],
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    metric: str,
    out: str | Path,
) -> Path:
    """Draw a metric against the number of labelled cases as one PNG.

    Each curve is the mean over the runs, a thin line is a run.

    Args:
        budgets: numbers of labelled cases.
        curves: name to the score of each run, by its name, at every budget.
        metric: which metric.
        out: PNG to write.

    Returns:
        The path of the PNG.
    """
    figure, axes = _figure()
    for number, (name, points) in enumerate(curves.items()):
        colour = f'C{number}'
        for run in dict.fromkeys(run for point in points for run in point):
            kept = [
                (x, point[run]) for x, point in zip(budgets, points, strict=True) if run in point
            ]
            axes.plot(*zip(*kept, strict=True), color=colour, lw=0.8, alpha=0.4, marker='.')
        means = [
            (x, fmean(point.values())) for x, point in zip(budgets, points, strict=True) if point
        ]
        if means:
            axes.plot(*zip(*means, strict=True), color=colour, lw=2.2, marker='o', label=name)
    axes.set_xticks(budgets)
    axes.set_xlabel('labelled cases')
    axes.set_ylabel(UNITS.get(metric, metric))
    axes.grid(alpha=0.3)
    axes.legend()
    return _written(figure, out)


def _figure():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.2), layout='constrained')
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _written(figure, out: str | Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=120)
    write_atomic(out, buffer.getvalue())
    return Path(out)


def positions(labels: Sequence[str]) -> tuple[list[float], bool]:
    """Return where labels stand on an axis, and whether they are numbers.

    Example:
        >>> positions(['0.9', '0.95']), positions(['[2,4]', '[5,6]'])
        (([0.9, 0.95], True), ([0.0, 1.0], False))
    """
    try:
        return [float(label) for label in labels], True
    except ValueError:
        return [float(index) for index in range(len(labels))], False


def _lines(figure, axes, rows, names, metric) -> None:
    labels = [row.labels[0] for row in rows]
    where, numeric = positions(labels)
    parts = [cell for cell in columns(rows) if cell[0] == MEAN]
    for cell in parts:
        main = cell == (MEAN, MEAN)
        points = sorted(
            (x, s.mean, s.sd or 0.0)
            for x, s in ((x, row.get((*cell, metric))) for x, row in zip(where, rows, strict=True))
            if s.mean is not None
        )
        if points:
            x, mean, spread = zip(*points, strict=True)
            axes.errorbar(
                x,
                mean,
                yerr=spread,
                label=cell[1],
                capsize=4,
                marker='o',
                color='black' if main else None,
                lw=2.2 if main else 1.2,
                ls='-' if numeric else 'none',
                alpha=1 if main else 0.8,
                markersize=4,
            )
    if numeric and min(where) > 0 and max(where) > 20 * min(where):
        axes.set_xscale('log')
    axes.set_xticks(where, labels)
    axes.minorticks_off()
    axes.margins(x=0.08)
    axes.set_xlabel(names[0])
    axes.set_ylabel(UNITS.get(metric, metric))
    axes.grid(alpha=0.3)
    if len(parts) > 1:
        axes.legend(fontsize=8)


def _heat_map(figure, axes, rows, names, metric) -> None:
    down, across = (list(dict.fromkeys(row.labels[i] for row in rows)) for i in (0, 1))
    values = [[float('nan')] * len(across) for _ in down]
    texts = {}
    for row in rows:
        i, j = down.index(row.labels[0]), across.index(row.labels[1])
        spread = row.get((MEAN, MEAN, metric))
        texts[i, j] = str(spread).replace(' ± ', '\n± ')
        if spread.mean is not None:
            values[i][j] = spread.mean
    colours = 'viridis_r' if metric in LOWER_IS_BETTER else 'viridis'
    image = axes.imshow(values, cmap=colours, aspect='auto')
    for (i, j), text in texts.items():
        axes.text(
            j,
            i,
            text,
            ha='center',
            va='center',
            fontsize=9,
            bbox=dict(facecolor='white', alpha=0.7, lw=0, pad=2),
        )
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    axes.set_xlabel(names[1])
    axes.set_ylabel(names[0])
    figure.colorbar(image, label=UNITS.get(metric, metric))


def _bars(figure, axes, rows, names, metric) -> None:
    spreads = [row.get((MEAN, MEAN, metric)) for row in rows]
    where = range(len(rows))
    figure.set_size_inches(7.5, 1.5 + 0.35 * len(rows))
    axes.barh(
        where,
        [s.mean or 0.0 for s in spreads],
        xerr=[s.sd or 0.0 for s in spreads],
        capsize=3,
        color='tab:blue',
        alpha=0.8,
    )
    for y, spread in zip(where, spreads, strict=True):
        axes.text(
            0,
            y,
            f' {spread}',
            va='center',
            fontsize=8,  # on bars of no length, too
            bbox=dict(facecolor='white', alpha=0.7, lw=0, pad=1),
        )
    axes.set_yticks(where, [', '.join(row.labels) or 'all runs' for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(', '.join(names), fontsize=9)
    axes.set_xlabel(UNITS.get(metric, metric))
    axes.grid(alpha=0.3, axis='x')
