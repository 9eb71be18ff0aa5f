"""Tables as text, as Markdown and as CSV; laid out by prettytable."""

import csv as _csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def text(rows: Sequence[Sequence[Any]], left: int) -> str:
    """Lay out rows of cells for a screen or a log.

    Args:
        rows: the header, and what stands under it.
        left: number of columns, from the first, whose cells stand to the left; others stand to the
            right.

    Example:
        >>> print(text([['a', 'b', 'c'], ['dd', 'e', '1.25']], left=2))
        a   b     c
        dd  e  1.25
    """
    lines = _lay_out(rows, left, border=False, left_padding_width=0, right_padding_width=1)
    return '\n'.join(line[1:].rstrip() for line in lines)


def markdown(rows: Sequence[Sequence[Any]], left: int) -> str:
    r"""Write rows of cells as a table of Markdown that reads well as text, too.

    Args:
        rows: as `text`.
        left: as `text`.

    Example:
        >>> print(markdown([['a', 'b'], ['dd', '1|2']], left=1))
        | a  |    b |
        |----|-----:|
        | dd | 1\|2 |
    """
    escaped = [[str(cell).replace('|', r'\|') for cell in row] for row in rows]
    header, *lines = _lay_out(escaped, left, border=True, junction_char='|')
    widths = [max(map(len, column)) + 2 for column in zip(*escaped, strict=True)]
    rule = ['-' * w if i < left else '-' * (w - 1) + ':' for i, w in enumerate(widths)]
    return '\n'.join([header, f'|{"|".join(rule)}|', *lines])


def csv(rows: Iterable[Sequence[Any]]) -> str:
    r"""Write rows of cells as comma-separated values; None is an empty cell.

    Example:
        >>> csv([['a', 'b'], ['x, y', None]])
        'a,b\n"x, y",\n'
    """
    file = io.StringIO()
    _csv.writer(file, lineterminator='\n').writerows(rows)
    return file.getvalue()


def _lay_out(rows: Sequence[Sequence[Any]], left: int, **options: Any) -> list[str]:
    """Return the lines of a table without rules; its header is a row, whose cells may repeat."""
    from prettytable import HRuleStyle, PrettyTable

    table = PrettyTable(header=False, hrules=HRuleStyle.NONE, **options)
    table.add_rows([list(row) for row in rows])
    for index, name in enumerate(table.field_names):
        table.align[name] = 'l' if index < left else 'r'
    return table.get_string().split('\n')
