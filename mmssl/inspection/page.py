"""The page of an inspection: tables and pictures in one file of HTML."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from mmssl.inspection.entries import Collected, spread
from mmssl.inspection.findings import (
    ALIKE,
    APART,
    Findings,
    Rows,
    distance_table,
    domain_table,
    part_table,
    shares,
)
from mmssl.inspection.measuring import Facts, read, read_classes
from mmssl.utils.io import write_atomic
from mmssl.visualization.overlay import draw_overlay, in_a_row, panel, to_rgb

HEIGHT = 160  # of an example in pixels
SHOWN = 200  # sentences of one kind on the page at most

STYLE = """
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } img { max-width: 100% }
th, td { border-bottom: 1px solid #ccc; padding: .2em .8em; text-align: left }
.wrong { border-left: 4px solid #b00; padding-left: 1em } .fine { color: #060 }
"""

DISTANCE_NOTE = (
    'The distance of two domains is the Wasserstein distance of their grey levels (0 to 255, as '
    'the networks see them): by how many levels those of one must be moved on average to become '
    'those of the other. A usual distance is that of an image from the others of its domain. '
    f'Below {ALIKE:g} usual distances two domains are called alike, from {APART:g} on far apart.'
)


def write_page(
    path: str | Path, title: str, collected: Collected, found: Findings, number: int = 4
) -> None:
    """Write the page; it needs no other file and runs no script.

    Args:
        path: the file.
        title: what was looked at.
        collected: what was looked at.
        found: what was found.
        number: examples of each domain.
    """
    body = [f'<h1>{escape(title)}</h1>']
    body += [f'<p>{escape(note)}</p>' for note in found.notes]
    body += _sentences('Faults', found.faults, 'Everything can be read.')
    body += _sentences(
        'In two parts of the split', found.duplicates, 'No image is in two parts of the split.'
    )
    if found.facts:
        body += ['<h2>Domains</h2>', _table(domain_table(found))]
        if found.distances:
            body += ['<h2>Are they alike?</h2>', _table(distance_table(found))]
            body += [f'<p>{escape(DISTANCE_NOTE)}</p>']
        body += [_picture(_histograms(found), 'Grey levels of each domain')]
        parts = part_table(found, collected.parts)
        if len(parts) > 1:
            body += ['<h2>Parts</h2>', _table(parts)]
        body += ['<h2>Examples</h2>']
        for domain, facts in found.by_domain().items():
            strip = _examples(facts, collected.palette, number)
            body += [f'<h3>{escape(domain)}</h3>', _picture(strip, f'Examples of {domain}')]
    head = (
        '<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f'<title>{escape(title)}</title><style>{STYLE}</style>'
    )
    lines = ['<!DOCTYPE html>', '<html lang="en">', f'<head>{head}</head>', '<body>', *body]
    write_atomic(path, '\n'.join([*lines, '</body>', '</html>', '']))


def _table(rows: Rows) -> str:
    lines = []
    for number, row in enumerate(rows):
        kind = 'td' if number else 'th'
        lines.append('<tr>' + ''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in row) + '</tr>')
    return '<table>\n' + '\n'.join(lines) + '\n</table>'


def _sentences(title: str, sentences: Sequence[str], otherwise: str) -> list[str]:
    if not sentences:
        return [f'<p class="fine">{escape(otherwise)}</p>']
    more = [f'... and {len(sentences) - SHOWN} more.'] if len(sentences) > SHOWN else []
    listed = ''.join(f'<li>{escape(one)}</li>' for one in [*sentences[:SHOWN], *more])
    return [f'<div class="wrong"><h2>{escape(title)}: {len(sentences)}</h2><ul>{listed}</ul></div>']


def _picture(png: bytes, title: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<p><img alt="{escape(title)}" src="data:image/png;base64,{data}"></p>'


def _histograms(found: Findings) -> bytes:
    """Draw the grey levels of each domain."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for domain, facts in found.by_domain().items():
        share, name = shares(facts), domain.replace('$', r'\$').lstrip('_')
        left.plot(np.arange(0, 256, 8), share.reshape(32, 8).sum(1), drawstyle='steps-post')
        right.plot(share.cumsum(), label=name)
    for axes, title in ((left, 'share of pixels in 8 levels'), (right, 'share up to a level')):
        axes.set(xlabel='grey level', ylabel=title, xlim=(0, 255))
    right.legend(fontsize='small')
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=100)
    return file.getvalue()


def _examples(facts: Sequence[Facts], palette: Sequence[Sequence[int]], number: int) -> bytes:
    """Draw some images of a domain, with their masks where these may be opened."""
    masked = [one for one in facts if one.sizes is not None and any(one.sizes.values())]
    panels = []
    for one in spread(masked or facts, number):
        picture = to_rgb(read(one.entry)[0])
        classes = read_classes(one.entry, None)
        if classes is not None and len(palette):
            picture = draw_overlay(picture, classes, palette)
        panels.append(panel(np.ascontiguousarray(picture), one.entry.name, HEIGHT))
    return cv2.imencode('.png', in_a_row(panels, 4)[..., ::-1])[1].tobytes()
