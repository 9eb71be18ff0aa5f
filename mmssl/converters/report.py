"""What was converted, as a table, and how the counts compare with the published ones."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mmssl.converters.base import Converter
from mmssl.converters.engine import Report
from mmssl.utils import tables

HEADER = ('domain', 'part', 'cases', 'left out', 'images', 'published', 'size', 'mm', 'labels')


def described(converter: Converter, report: Report, out: Path) -> str:
    """Return the table of domains, what differs from the published set, and the config."""
    published = converter.published()
    rows = list(_rows(report, published))
    parts = [tables.text([HEADER, *rows], left=2)]
    parts += [f'- {note}' for note in [*_notes(report, published), *converter.notes()]]
    parts += [
        '',
        'The config to train with, for a file in this folder:',
        '',
        converter.config(out.resolve()),
    ]
    return '\n'.join(parts)


def _rows(report: Report, published: dict[tuple[str, str], int]) -> Iterable[Sequence[object]]:
    groups = dict.fromkeys((item.domain, item.part) for item in [*report.items, *report.dropped])
    for domain, part in sorted(groups):
        own = [item for item in report.items if (item.domain, item.part) == (domain, part)]
        made = [report.made[item.key] for item in own]
        yield (
            domain,
            part or '-',
            len({item.case for item in own}),
            sum((item.domain, item.part) == (domain, part) for item in report.dropped),
            sum(one.images for one in made),
            published.get((domain, part), '-'),
            span([one.shape for one in made]),
            span([one.spacing for one in made if one.spacing]),
            ' '.join(map(str, sorted({value for one in made for value in one.labels}))),
        )


def _notes(report: Report, published: dict[tuple[str, str], int]) -> Iterable[str]:
    if report.faults:
        yield (
            f'{len(report.faults)} fault(s) were passed over; {len(report.dropped)} image(s) or '
            'volume(s) are left out for them.'
        )
    skipped = sum(one.left_out for one in report.made.values())
    if skipped:
        yield f'{skipped} slice(s) without the structures asked for are left out.'
    counts: dict[tuple[str, str], int] = {}
    for item in report.items:
        for domain in (item.domain, ''):
            place = (domain, item.part)
            counts[place] = counts.get(place, 0) + report.made[item.key].images
    differing = [
        f'{domain or "all domains"} {part} {counts.get((domain, part), 0)} (published: {number})'
        for (domain, part), number in published.items()
        if counts.get((domain, part), 0) != number
    ]
    if differing:
        yield f'Numbers of images that differ from the published ones: {", ".join(differing)}.'


def span(sizes: Sequence[tuple[float, ...]]) -> str:
    """Return sizes as one text: the only one, or the smallest and the largest.

    Example:
        >>> span([(10.0, 1.5, 1.5), (5.0, 1.25, 1.5)])
        '5-10 x 1.25-1.5 x 1.5'
        >>> span([(256, 216), (232, 256)])
        '232-256 x 216-256'
        >>> span([])
        '-'
    """
    if not sizes or len({len(size) for size in sizes}) > 1:
        return '-'
    columns = [(f'{min(column):.4g}', f'{max(column):.4g}') for column in zip(*sizes, strict=True)]
    return ' x '.join(low if low == high else f'{low}-{high}' for low, high in columns)
