"""Mean and spread over repeated runs, as Markdown with the best marked, as text and as CSV."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mmssl.utils import tables

METRICS = ('DSC', 'Jaccard', 'HD95', 'ASD')
COSTS = ('time', 'memory')
LOWER_IS_BETTER = ('HD95', 'ASD', *COSTS)
UNITS = {
    'DSC': 'DSC (%)',
    'Jaccard': 'Jaccard (%)',
    'time': 'ms / iteration',
    'memory': 'memory (MiB)',
}
MEAN = 'mean'

Cell = tuple[str, str, str]  # domain or MEAN, part or MEAN, metric


class Spread(NamedTuple):
    """Mean and standard deviation of some values; None where there are too few.

    Example:
        >>> str(Spread.of([80.0, 82.0])), str(Spread.of([80.0, None])), str(Spread.of([None]))
        ('81.00 ± 1.41', '80.00', '-')
    """

    mean: float | None
    sd: float | None
    values: tuple[float | None, ...]

    @classmethod
    def of(cls, values: Sequence[float | None]) -> 'Spread':
        """Take the values of the runs; None is a score that does not exist and is left out."""
        kept = [value for value in values if value is not None]
        mean = statistics.fmean(kept) if kept else None
        return cls(mean, statistics.stdev(kept) if len(kept) > 1 else None, tuple(values))

    def __str__(self) -> str:
        if self.mean is None:
            return '-'
        return f'{self.mean:.2f}' + ('' if self.sd is None else f' ± {self.sd:.2f}')


@dataclass
class Row:
    """The runs of one setting.

    Args:
        labels: name of the setting, one text for each column on the left.
        runs: scores of each run (a seed) that is done, as the file of `tools/test.py --out` has
            them for one student: `mean`, `parts` and `domains`. `mean` may have `time` and
            `memory` too.
        wanted: how many runs there should be.
        notes: further columns of the overview, title to text.
    """

    labels: tuple[str, ...]
    runs: Mapping[str, Mapping]
    wanted: int
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cells: dict[Cell, Spread] = _cells(list(self.runs.values()))

    @property
    def name(self) -> str:
        """The labels as one text."""
        return ', '.join(self.labels)

    def get(self, cell: Cell) -> Spread:
        """Return a cell, empty where no run is done."""
        return self.cells.get(cell, Spread(None, None, ()))


def _cells(runs: Sequence[Mapping]) -> dict[Cell, Spread]:
    found: dict[Cell, list] = {}
    for run in runs:
        domains = {MEAN: run, **run['domains']}
        for domain, scores in domains.items():
            for part, values in {MEAN: scores['mean'], **scores['parts']}.items():
                for metric in (*METRICS, *COSTS):
                    if metric in values:
                        found.setdefault((domain, part, metric), []).append(values[metric])
    return {cell: Spread.of(values) for cell, values in found.items()}


def columns(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return what a table of one metric shows: parts, then domains, then the mean of all."""
    cells = dict.fromkeys(cell[:2] for row in rows for cell in row.cells)
    parts = [cell for cell in cells if cell[0] == MEAN and cell[1] != MEAN]
    domains = [cell for cell in cells if cell[0] != MEAN and cell[1] == MEAN]
    return [
        *(parts if len(parts) > 1 else []),
        *(domains if len(domains) > 1 else []),
        (MEAN, MEAN),
    ]


def mark(column: Sequence[Spread], metric: str) -> list[str]:
    """Write a column for Markdown: the best in bold, the second best underlined.

    Example:
        >>> mark([Spread.of([v]) for v in (1.0, 3.0, 2.0)], 'HD95')
        ['**1.00**', '3.00', '<u>2.00</u>']
    """
    shown = [None if spread.mean is None else round(spread.mean, 2) for spread in column]
    if len([value for value in shown if value is not None]) < 2:
        return [str(spread) for spread in column]
    order = sorted({v for v in shown if v is not None}, reverse=metric not in LOWER_IS_BETTER)
    styles = dict(zip(order, ('**{}**', '<u>{}</u>'), strict=False))
    return [
        ('{}' if value is None else styles.get(value, '{}')).format(spread)
        for value, spread in zip(shown, column, strict=True)
    ]


def _table(
    rows: Sequence[Row], names: Sequence[str], shown: Mapping[str, Cell], marked: bool
) -> list[list[str]]:
    """Return a header and lines; `shown` has the title of each column of scores."""
    table = [[*names, 'runs', *shown]]
    scores = []
    for cell in shown.values():
        column = [row.get(cell) for row in rows]
        scores.append(mark(column, cell[2]) if marked else [str(spread) for spread in column])
    for index, row in enumerate(rows):
        runs = str(len(row.runs)) + f' of {row.wanted}' * (len(row.runs) < row.wanted)
        table.append([*row.labels, runs, *(column[index] for column in scores)])
    return table


def overview(rows: Sequence[Row], names: Sequence[str], marked: bool = False) -> list[list[str]]:
    """Return the table of the means over all parts and domains, one column for each metric.

    Costs and the rows' notes follow where there are any.
    """
    costs = [m for m in COSTS if any((MEAN, MEAN, m) in row.cells for row in rows)]
    shown = {UNITS.get(m, m): (MEAN, MEAN, m) for m in (*METRICS, *costs)}
    titles = dict.fromkeys(title for row in rows for title in row.notes)
    notes = [list(titles), *([row.notes.get(title, '-') for title in titles] for row in rows)]
    table = _table(rows, names, shown, marked)
    return [[*line, *more] for line, more in zip(table, notes, strict=True)]


def detail(
    rows: Sequence[Row], names: Sequence[str], metric: str, marked: bool = False
) -> list[list[str]]:
    """Return the table of one metric: a column for each part, each domain, and their mean."""
    shown = {
        part if domain == MEAN else domain: (domain, part, metric) for domain, part in columns(rows)
    }
    return _table(rows, names, shown, marked)


def markdown(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Write the overview, then a table for each metric.

    Args:
        rows: the settings.
        names: titles of the columns on the left, as many as each row has labels.
    """
    blocks = [('Mean over parts and domains', overview(rows, names, marked=True))]
    if len(columns(rows)) > 1:
        blocks += [(UNITS.get(m, m), detail(rows, names, m, marked=True)) for m in METRICS]
    texts = [f'### {title}\n\n{tables.markdown(table, len(names) + 1)}' for title, table in blocks]
    return '\n\n'.join(texts) + '\n'


def to_csv(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Write every number: a line for each setting, domain, part and metric."""
    runs = list(dict.fromkeys(run for row in rows for run in row.runs))
    lines: list[list] = [[*names, 'domain', 'part', 'metric', 'mean', 'sd', *runs]]
    for row in rows:
        for cell, spread in row.cells.items():
            values = dict(zip(row.runs, spread.values, strict=True))
            numbers = [spread.mean, spread.sd, *(values.get(run) for run in runs)]
            shown = [None if v is None else f'{v:.4f}' for v in numbers]
            lines.append([*row.labels, *cell, *shown])
    return tables.csv(lines)
