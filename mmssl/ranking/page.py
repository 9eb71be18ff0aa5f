"""The page of a ranking: the cases in their order, with pictures, in one file of HTML."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mmssl.ranking.ranked import Ranked, Ranking
from mmssl.utils.io import write_atomic

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em }
article { border-left: 4px solid #8888; margin: 1em 0; padding: .2em 1em; break-inside: avoid }
article.next { border-color: #d60 } h2 { font-size: 1.1em; margin: 0 }
figure { display: inline-block; margin: .3em 1em .3em 0 } img { max-width: 100% }
figcaption, small { font-size: .85em; opacity: .8 } table { border-collapse: collapse }
td, th { padding: .1em .8em; text-align: right } td:nth-child(-n+4) { text-align: left }
"""
LEGEND = (
    'Of each case the images that the networks are least certain of: image, prediction, and where '
    'the networks {what} (dark: nowhere). Cases with an orange bar are those to label next.'
)


def write_page(path: str | Path, title: str, ranking: Ranking, shown: int) -> None:
    """Write the page; it needs no other file and runs no script.

    Args:
        path: the file.
        title: what was ranked.
        ranking: the ranking.
        shown: how many cases have pictures; all are in the table.
    """
    what = 'disagree' if 'disagreement' in ranking.ranked[0].case.measures else 'are uncertain'
    body = [f'<h1>{escape(title)}</h1>', f'<p>{escape(LEGEND.format(what=what))}</p>']
    body += [f'<p>{escape(note)}</p>' for note in ranking.notes]
    if ranking.failed:
        told = ''.join(f'<li>{escape(f"{c.name}: {c.error}")}</li>' for c in ranking.failed)
        body.append(f'<p>Not read, and left out:</p><ul>{told}</ul>')
    body += [_article(one, list(ranking.weights)) for one in ranking.ranked[:shown]]
    body += ['<h2>All cases</h2>', _table(ranking.table())]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f'<title>{escape(title)}</title><style>{STYLE}</style>'
    )
    lines = ['<!DOCTYPE html>', '<html lang="en">', f'<head>{head}</head>', '<body>', *body]
    write_atomic(path, '\n'.join([*lines, '</body>', '</html>', '']))


def _article(one: Ranked, measures: Sequence[str]) -> str:
    case = one.case
    values = ', '.join(f'{name} {case.measures[name]:.3g}' for name in measures)
    number = len(case.images)
    about = f'{case.domain}, {number} image{"s" * (number > 1)}, score {one.score:.2f} ({values})'
    figures = ''.join(
        f'<figure><img alt="{escape(picture.name)}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(picture.jpeg).decode()}"><figcaption>{escape(picture.name)}'
        '</figcaption></figure>'
        for picture in case.pictures
    )
    kind = ' class="next"' if one.chosen else ''
    title = f'<h2>{one.place}. {escape(case.name)}</h2><small>{escape(about)}</small>'
    return f'<article{kind}>{title}<div>{figures}</div></article>'


def _table(rows: Sequence[Sequence[object]]) -> str:
    lines = []
    for number, row in enumerate(rows):
        kind = 'td' if number else 'th'
        cells = ''.join(f'<{kind}>{escape(str(cell))}</{kind}>' for cell in row)
        lines.append(f'<tr>{cells}</tr>')
    return '<table>\n' + '\n'.join(lines) + '\n</table>'
