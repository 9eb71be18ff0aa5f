"""Training curves from the log that every run writes."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

Curve = dict[int, float]

SKIPPED = {'time', 'data_time', 'memory', 'iter', 'epoch', 'step', 'eta', 'grad_norm'}
CONFIDENCE = re.compile(r'^(alpha|self|mutual|mask|confiden|weight)', re.IGNORECASE)


def read_scalars(work_dir: str | Path) -> dict[str, Curve]:
    """Read the scalars of a work folder, all starts and resumptions of the run joined.

    Where a resumed run repeats steps, its values replace the earlier ones from its first step on.
    The starts are put in order by their first steps, since a clock may go back; by the names of
    their folders where those are equal. A line torn by a crash is left out.

    Args:
        work_dir: folder with `<timestamp>/vis_data/scalars.json`, or with `vis_data/scalars.json`.

    Returns:
        Name to curve (step to value).

    Raises:
        FileNotFoundError: if there is no log in the folder.
    """
    work_dir = Path(work_dir)
    files = sorted(
        [*work_dir.glob('*/vis_data/scalars.json'), *work_dir.glob('vis_data/scalars.json')]
    )
    if not files:
        raise FileNotFoundError(
            f'{work_dir} has no training log (looked for */vis_data/scalars.json); give the '
            'work folder of a run.'
        )
    starts = []
    for file in files:
        fresh = _read_lines(file)
        if 'loss' in fresh:  # else a validation alone, or a start that died before its first log
            starts.append((min(min(curve) for curve in fresh.values()), fresh))
    curves: dict[str, Curve] = {}
    for first, fresh in sorted(starts, key=lambda start: start[0]):
        for name in list(curves):
            curves[name] = {s: v for s, v in curves[name].items() if s < first}
        for name, curve in fresh.items():
            curves.setdefault(name, {}).update(curve)
    return {name: curve for name, curve in curves.items() if curve}


def group_curves(curves: Mapping[str, Curve]) -> dict[str, dict[str, Curve]]:
    """Sort curves into panels by their names; empty panels are left out."""
    panels: dict[str, dict[str, Curve]] = {
        'Losses': {},
        'Confidences and weights': {},
        'Learning rate': {},
        'DSC of the students (%)': {},
        'HD95 of the students': {},
        'Diagnostic: Dice against the truth': {},
    }
    for name, curve in sorted(curves.items()):
        last = name.rpartition('/')[2]
        if name in SKIPPED or last in SKIPPED:
            continue
        if name.startswith('diagnostic/'):
            panels['Diagnostic: Dice against the truth'][name.partition('/')[2]] = curve
        elif re.search(r'(^|[._/])lr$', name):
            panels['Learning rate'][name] = curve
        elif last in ('DSC', 'HD95') and name.count('/') == 1:
            title = 'DSC of the students (%)' if last == 'DSC' else 'HD95 of the students'
            panels[title][name.partition('/')[0]] = curve
        elif '/' in name:
            continue  # single domains and parts: too many lines for one panel
        elif CONFIDENCE.match(last):
            panels['Confidences and weights'][name] = curve
        else:
            panels['Losses'][name] = curve
    return {title: lines for title, lines in panels.items() if lines}


def plot_training(work_dir: str | Path, out: str | Path | None = None) -> Path:
    """Draw losses, confidences, learning rates and scores of a run as one PNG.

    Args:
        work_dir: work folder of the run.
        out: PNG to write; `curves.png` in the work folder by default.

    Returns:
        The path of the PNG.
    """
    out = Path(out) if out else Path(work_dir) / 'curves.png'
    plot_panels(group_curves(read_scalars(work_dir)), out, title=Path(work_dir).resolve().name)
    return out


def plot_panels(
    panels: Mapping[str, Mapping[str, Curve]], out: str | Path, title: str = '', columns: int = 2
) -> None:
    """Draw one panel for each group of curves and write the figure as PNG.

    Raises:
        ValueError: if there is nothing to draw.
    """
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from mmssl.utils.io import write_atomic

    if not panels:
        raise ValueError(f'There are no curves to draw for {out}.')
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.5 * columns, 3.4 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, curves) in zip(grid, panels.items(), strict=False):
        _draw_panel(axes, name, curves)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    if title:
        figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    write_atomic(out, buffer.getvalue())


def _draw_panel(axes, name: str, curves: Mapping[str, Curve]) -> None:
    for label, curve in curves.items():
        steps: Sequence[int] = sorted(curve)
        marker = 'o' if len(steps) <= 20 else None
        axes.plot(steps, [curve[s] for s in steps], label=label, marker=marker, markersize=3, lw=1)
    values = [v for curve in curves.values() for v in curve.values()]
    if name == 'Learning rate' and min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale('log')
    axes.set_title(name, fontsize=10)
    axes.set_xlabel('iteration', fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncol=2 if len(curves) > 6 else 1)


def _read_lines(file: Path) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if not isinstance(record, dict) or 'step' not in record:
            continue
        for key, value in record.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
                curves.setdefault(key, {})[int(record['step'])] = float(value)
    return curves
