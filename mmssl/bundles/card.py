"""What a bundle says of its model: the card, and how it reads."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import mmssl
from mmssl.bundles.networks import Choice, trunks
from mmssl.bundles.plain import modules_from_outside, plain
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.sam.weights import describe_fingerprint
from mmssl.utils import tables


class About(NamedTuple):
    """What only a person can say of a model.

    Attributes:
        name: of the model.
        description: what it is for, and what it is not for.
        licence: under which it may be used.
        citation: what to cite.
    """

    name: str = ''
    description: str = ''
    licence: str = ''
    citation: str = ''


def make_card(
    model: SemiSegmentor,
    config: Mapping[str, Any],
    choice: Choice,
    about: About,
    checkpoint: Mapping[str, Any],
    results: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the card of a bundle.

    Args:
        model: the trained model.
        config: that of the bundle.
        choice: its networks.
        about: what a person says.
        checkpoint: what `load_checkpoint_file` returned.
        results: what `tools/test.py --out` wrote.
        data: what `summarise` returned.
    """
    dataset = config['test_dataloader']['dataset']
    meta, info = dataset['metainfo'], (checkpoint.get('message_hub') or {}).get('info') or {}
    said = checkpoint.get('meta') or {}
    networks = choice.networks(model)
    names = [name for name, teacher in networks if not teacher]
    return {
        **about._asdict(),
        'method': type(model).__name__,
        'networks': [_network(model, *network) for network in networks],
        **_lora(model, choice),
        **{key: meta[key] for key in ('classes', 'parts', 'palette')},
        'reading': _reading(dataset),
        'data': None if data is None else dict(data),
        'scores': {'test': _tested(results), 'validation': _validated(info, names)},
        'training': {
            'dataset': meta['dataset_name'],
            'iterations': plain(said.get('iter')),
            'seed': plain(said.get('seed')),
            'config': Path(str(getattr(model.cfg, 'filename', None) or '')).name,
        },
        'versions': {
            'mmssl': mmssl.__version__,
            'mmssl of the training': plain(said.get('mmssl_version')),
            'torch': str(torch.__version__),
        },
        'published': time.strftime('%Y-%m-%d', time.gmtime()),
        'plug_ins': modules_from_outside(config),
        'dataset_meta': plain(said.get('dataset_meta') or meta),
    }


def _network(model: SemiSegmentor, name: str, teacher: bool) -> dict[str, Any]:
    network = (model.teachers if teacher else model.students)[name]
    parts = [getattr(network, part, None) for part in ('backbone', 'neck', 'decode_head')]
    return {
        'student': name,
        'teacher': teacher,
        'type': type(network).__name__,
        'parts': [type(part).__name__ for part in parts if part is not None],
        'parameters': sum(value.numel() for value in network.parameters()),
    }


def _lora(model: SemiSegmentor, choice: Choice) -> dict[str, Any]:
    """Return how LoRA is kept, and which trunk it needs; neither where there is no such trunk."""
    found = {
        prefix.split('.')[1]: encoder.identity.raw
        for prefix, encoder in trunks(model)
        if prefix.startswith('students.')
    }
    kept = {name for name, _ in choice.networks(model)}
    shown = {name: describe_fingerprint(raw) for name, raw in found.items() if name in kept}
    digests = {name: found[name].hex() for name in shown}
    if not shown:
        return {'lora': None, 'trunks': {}}
    return {
        'lora': choice.lora,
        'trunks': {name: {'is': shown[name], 'fingerprint': digests[name]} for name in shown},
    }


def _reading(dataset: Mapping[str, Any]) -> dict[str, Any]:
    steps = [step['type'] for name in ('prepare', 'pipeline') for step in dataset[name]]
    left = ('type', 'data_root', 'mode', 'label_map', 'metainfo', 'prepare', 'pipeline')
    return {**{k: v for k, v in dataset.items() if k not in left and v not in (None, {})},
            'channels': dataset.get('channels', 1), 'steps': steps}  # fmt: skip


def _tested(results: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return means and protocol of a file of results, without its images."""
    if results is None:
        return None
    kept = {key: results[key] for key in ('dataset', 'students', 'protocol', 'iteration')
            if key in results}  # fmt: skip
    numbers = {k: v for k, v in results.items() if isinstance(v, int | float)}
    return plain(kept if 'students' in kept else numbers)


def _validated(info: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """Return the last evaluation of the training, of the students in the bundle."""
    history = info.get('eval_history') or []
    if not history:
        return None
    last = history[-1]
    metrics = {
        key: value for key, value in last['metrics'].items() if key.rpartition('/')[0] in names
    }
    return plain({'iteration': last['iter'], 'metrics': metrics}) if metrics else None


def describe(card: Mapping[str, Any], sha256: str) -> str:
    """Return a card as text for a person.

    Args:
        card: the card.
        sha256: of the whole file.
    """
    lines = [str(card.get('name') or 'A model of mmssl')]
    lines += ['=' * len(lines[0]), *_paragraph(card.get('description'))]
    for title, rows in (
        ('Model', _model_rows(card, sha256)),
        ('Parts', _part_rows(card)),
        ('Images are read as', _reading_rows(card)),
        ('Training data', _data_rows(card)),
        ('Scores', _score_rows(card)),
    ):
        if rows:
            lines += ['', title, '-' * len(title), tables.text(rows, left=1 + (title != 'Scores'))]
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
        size = f'{_between(one["height"])} x {_between(one["width"])}'
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
