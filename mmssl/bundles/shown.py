"""The card of a bundle as a text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmssl.bundles.archive import BundleError
from mmssl.utils import tables


def describe(card: Mapping[str, Any], sha256: str) -> str:
    """Return a card as text for a person.

    Args:
        card: the card; what it says comes from a file, so it cannot steer a terminal.
        sha256: of the whole file.

    Raises:
        BundleError: it is not as `mmssl publish` writes it.
    """
    try:
        text = _text(card, sha256)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BundleError(
            f'The card is not as mmssl publish writes it ({error!r}); --json shows it as it is'
        ) from None
    return ''.join(one if one.isprintable() or one == '\n' else '?' for one in text)


def _text(card: Mapping[str, Any], sha256: str) -> str:
    lines = [str(card.get('name') or 'A model of mmssl')]
    lines += ['=' * len(lines[0]), *_paragraph(card.get('description'))]
    for title, rows, left in (
        ('Model', _model_rows(card, sha256), 2),
        ('Parts', _part_rows(card), 2),
        ('Images are read as', _reading_rows(card), 2),
        ('Training data', _data_rows(card), 1),
        ('Scores', _score_rows(card), 2),
    ):
        if rows:
            lines += ['', title, '-' * len(title), tables.text(rows, left)]
    return '\n'.join(lines)


def _paragraph(text: Any) -> list[str]:
    return ['', str(text)] if text else []


def _model_rows(card: Mapping[str, Any], sha256: str) -> list[list[Any]]:
    rows = [['method', card['method']]]
    for network in card['networks']:
        kind = 'teacher' if network['teacher'] else 'student'
        built = ' + '.join(network['parts'])
        rows.append(
            [f'{kind} {network["student"]}', f'{built}, {network["parameters"] / 1e6:.2f} M']
        )
    if card['lora']:
        rows += [
            [f'trunk of {name}', f'{trunk["is"]}; LoRA {card["lora"]}']
            for name, trunk in card['trunks'].items()
        ]
    training = card['training']
    rows.append(['trained on', f'{training["dataset"]}, {training["iterations"]} iterations'])
    rows += [[f'needs {kind}', f'import {module}'] for kind, module in card['plug_ins'].items()]
    rows += [[key, card[key]] for key in ('licence', 'citation') if card[key]]
    versions = ', '.join(f'{name} {value}' for name, value in card['versions'].items() if value)
    return [*rows, ['published', card['published']], ['versions', versions], ['SHA-256', sha256]]


def _part_rows(card: Mapping[str, Any]) -> list[list[Any]]:
    colours = ['#' + ''.join(f'{value:02x}' for value in one) for one in card['palette']]
    classes = zip(card['classes'], colours, strict=False)
    rows = [['class', 'colour'], *([f'{i} {name}', c] for i, (name, c) in enumerate(classes))]
    return rows + [
        [f'part {name}', 'classes ' + ', '.join(map(str, ids))]
        for name, ids in card['parts'].items()
    ]


def _reading_rows(card: Mapping[str, Any]) -> list[list[Any]]:
    reading = dict(card['reading'])
    reading['steps'] = ', '.join(reading['steps'])
    reading['domains'] = ', '.join(reading['domains'])
    return [[key.replace('_', ' '), value] for key, value in reading.items()]


def _data_rows(card: Mapping[str, Any]) -> list[list[Any]]:
    data = card['data']
    if not data:
        return []
    head = ['domain', 'cases', 'images', 'labelled', 'size', 'spacing (mm)', 'intensity']
    rows = []
    for name, one in data['domains'].items():
        spacing = ' x '.join(_between(axis) for axis in one['spacing'] or ()) or '-'
        sides = [one[side] for side in ('depth', 'height', 'width') if side in one]
        size = ' x '.join(map(_between, sides))
        low, high = one['intensity']['p1'][1], one['intensity']['p99'][1]
        counts = [one['cases'], one['images'], one['labelled']]
        rows.append([name, *counts, size, spacing, f'{low:.4g} to {high:.4g}'])
    return [head, *rows]


def _between(spread: Sequence[float]) -> str:
    low, _, high = spread
    return f'{low:.4g}' if low == high else f'{low:.4g}-{high:.4g}'


def _score_rows(card: Mapping[str, Any]) -> list[list[Any]]:
    scores = [*_test_scores(card['scores']['test'] or {}), *_last_scores(card['scores'])]
    metrics = list(dict.fromkeys(name for _, _, found in scores for name in found))
    rows = [
        [where, what, *(f'{found[m]:.2f}' if m in found else '-' for m in metrics)]
        for where, what, found in scores
    ]
    return [['scores', 'of', *metrics], *rows] if rows else []


def _test_scores(test: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    for name, entry in (test.get('students') or {}).items():
        yield 'test', name, entry['mean']
        for domain, one in entry['domains'].items() if len(entry['domains']) > 1 else ():
            yield 'test', f'{name}, {domain}', one['mean']
    if test and 'students' not in test:
        yield 'test', 'all', test


def _last_scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    last = scores['validation']
    names = dict.fromkeys(key.rpartition('/')[0] for key in (last or {}).get('metrics', {}))
    for name in names:
        found = {k.rpartition('/')[2]: v for k, v in last['metrics'].items()
                 if k.rpartition('/')[0] == name}  # fmt: skip
        yield 'last evaluation in training', f'{name}, iteration {last["iteration"]}', found
