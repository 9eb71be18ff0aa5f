"""What a bundle says of its model."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mmengine
import mmseg
import torch

import mmssl
from mmssl.bundles.networks import Choice, trunks
from mmssl.bundles.plain import modules_from_outside, plain
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.weights import describe_fingerprint


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
            'mmengine': mmengine.__version__,
            'mmsegmentation': mmseg.__version__,
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
