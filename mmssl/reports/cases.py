"""Saved cases: what can be measured on them, and which ones a report shows first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmssl.engine.hooks.save_cases_hook import FILE
from mmssl.evaluation.cases import natural_key
from mmssl.evaluation.statistics import identity, reliability_sums
from mmssl.reports.pictures import Pictures
from mmssl.reports.runs import Entry, Run
from mmssl.reports.scores import mean_dice
from mmssl.utils.io import read_json

BINS = 15
LARGEST_BUDGET = 8_000_000
"""Bytes of all pictures; the page has the script of the plots, too, and stays below 15 MB."""
SMALLEST_SHARE = 16_000
"""Bytes that a case needs; where there are more cases than that, the last have no pictures."""

Group = tuple[str, str]  # domain, and volume, patient or name
Arrays = Mapping[str, np.ndarray]


@dataclass
class Cases:
    """Everything that comes out of saved cases.

    Attributes:
        shown: cases with their pictures, the worst first, as the page takes them.
        left_out: how many cases have no picture, because the page would become too large.
        reliability: (row, domain, whether of the object alone) to sums of `reliability_sums`.
        levels: domain to the number of pixels of each grey level (256,).
        unmasked: domains whose cases have no truth.
        sizes: row to domain to the predicted size of each part, a dict for each case.
        unit: of the sizes, `pixels` unless the spacing of every case is known.
        peers: row to domain to the Dice of a student and the other student on each case.
        agreement: row to domain to the Dice of a student and its teacher on each case.
        doubt: row to domain to the mean entropy of each case, 0 to 1.
        runs: row to the run whose cases these are.
    """

    shown: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0
    reliability: dict[tuple[str, str, bool], np.ndarray] = field(default_factory=dict)
    levels: dict[str, np.ndarray] = field(default_factory=dict)
    unmasked: list[str] = field(default_factory=list)
    sizes: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    unit: str = 'pixels'
    peers: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    agreement: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    doubt: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)


def find_cases(rows: Sequence[Entry], budget: int = LARGEST_BUDGET) -> Cases:
    """Read the saved cases of every row, of its first run that has some.

    Args:
        rows: the rows of the tables.
        budget: bytes that the pictures may take.
    """
    found, sources = Cases(), []
    for row in rows:
        run = next((run for run in row.method.runs if run.cases), None)
        source = _Source.read(row, run) if run else None
        if source:
            sources.append(source)
            found.runs[row.name] = source.run
    found.unit = _unit(sources)
    keys = dict.fromkeys(key for source in sources for key in source.files)
    ordered = sorted(keys, key=lambda key: _badness(key, sources))
    pictures = Pictures(len(ordered), sources[0].about.get('palette', ())) if sources else None
    share, left = max(SMALLEST_SHARE, budget // max(len(ordered), 1)), budget
    masked = set()
    for key in ordered:
        case = _measure(key, sources, found)
        masked |= {key[0]} if case['truth'] else set()
        if pictures is None or left < SMALLEST_SHARE:
            found.left_out += 1
            continue
        used = pictures.draw(case, min(share, left))
        found.shown.append(case)
        left -= used
    for case in found.shown:
        case.pop('arrays', None)
    order = sources[0].about.get('domains', []) if sources else []
    found.levels = {d: found.levels[d] for d in [*order, *found.levels] if d in found.levels}
    found.unmasked = [domain for domain in found.levels if domain not in masked]
    return found


@dataclass
class _Source:
    """The saved cases of a row."""

    row: Entry
    run: Run
    about: dict[str, Any]
    files: dict[Group, list[tuple[dict[str, Any], Path]]]
    scores: dict[Any, dict[str, Any]]  # by case and, where slices are scored, by image

    @classmethod
    def read(cls, row: Entry, run: Run) -> '_Source | None':
        """List the files; None where they have no predictions of the row's student."""
        assert run.cases is not None
        about = read_json(run.cases / FILE, {})
        if row.student not in about.get('students', ()):
            return None
        files: dict[Group, list[tuple[dict, Path]]] = {}
        for path in run.cases.glob('*.npz'):
            with np.load(path, allow_pickle=False) as content:
                said = json.loads(str(content['about']))
            files.setdefault(_group(said), []).append((said, path))
        for several in files.values():
            several.sort(
                key=lambda item: natural_key([item[0].get(k) for k in ('slice', 'index', 'name')])
            )
        by_slice = run.result.get('protocol', {}).get('per') == 'slice'
        scores = {
            identity(image) if by_slice else _group(image): image['scores'][row.student]
            for image in run.result.get('images') or ()
            if row.student in image['scores']
        }
        return cls(row, run, about, files, scores)

    def of(self, key: Group, said: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the scores of a slice, or of the case that it is of."""
        return self.scores.get(identity(said)) or self.scores.get(key)


def _group(about: Mapping[str, Any]) -> Group:
    """Return which case an image belongs to: its volume, else its patient, else itself."""
    called = next((about[k] for k in ('volume', 'case', 'name') if about.get(k) is not None), '')
    return str(about['domain']), str(called)


def _badness(key: Group, sources: Sequence[_Source]) -> tuple:
    """Sort the worst case first, by the lowest Dice of a slice and row; without truth last."""
    values = [
        dice
        for source in sources
        for said, _ in source.files.get(key, ())
        if (dice := mean_dice(source.of(key, said))) is not None
    ]
    return not values, min(values, default=0.0), natural_key(key)


def _measure(key: Group, sources: Sequence[_Source], found: Cases) -> dict[str, Any]:
    """Read a case and add what can be measured on it.

    Returns:
        What the page says of it, without pictures, and under `arrays` what these are made of.
    """
    case: dict[str, Any] = {
        'domain': key[0], 'name': key[1], 'truth': False, 'aspect': 1.0, 'rows': {}, 'slices': {},
        'arrays': {},
    }  # fmt: skip
    for source in sources:
        if key not in source.files:
            continue
        sizes = dict.fromkeys(source.about.get('parts', {}), 0.0)
        peer = next((s for s in source.about['students'] if s != source.row.student), '')
        doubts, pairs, peers, counts = [], [], [], np.zeros(256, np.int64)
        for said, path in source.files[key]:
            with np.load(path, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files if name != 'about'}
            pixel = _pixel(said, arrays[f'pred_{source.row.student}'], found.unit)
            for name, one in _planes(said, arrays, source.row.student, peer):
                entry = case['slices'].setdefault(name, {'name': name, 'rows': {}})
                entry['rows'][source.row.name] = {'scores': source.of(key, said)}
                case['arrays'].setdefault(name, {})[source.row.name] = one
                case['truth'] |= 'truth' in one
                doubts.append(float(one['doubt'].mean()) if 'doubt' in one else float('nan'))
                counts += np.bincount(one['image'].ravel(), minlength=256)
                if 'teacher' in one:
                    pairs.append((one['pred'], one['teacher']))
                if 'peer' in one:
                    peers.append((one['pred'], one['peer']))
                for part, ids in source.about.get('parts', {}).items():
                    sizes[part] += pixel * float(np.isin(one['pred'], ids).sum())
                _add_reliability(found, source.row.name, key[0], one)
            case['aspect'] = _aspect(said)
        agreed = overlap(pairs, source.about.get('parts', {})) if pairs else None
        doubt = float(np.mean(doubts)) if doubts and not np.isnan(doubts).any() else None
        case['rows'][source.row.name] = {'sizes': sizes, 'agreed': agreed, 'doubt': doubt}
        _keep(found.sizes, source.row.name, key[0], sizes)
        _keep(found.agreement, source.row.name, key[0], agreed)
        if peers:
            alike = overlap(peers, source.about.get('parts', {}))
            _keep(found.peers, source.row.name, key[0], alike)
        _keep(found.doubt, source.row.name, key[0], doubt)
        if source is sources[0]:
            found.levels[key[0]] = found.levels.get(key[0], 0) + counts
    case['slices'] = list(case['slices'].values())
    return case


def _keep(table: dict[str, dict[str, list]], row: str, domain: str, value: Any) -> None:
    if value is not None:
        table.setdefault(row, {}).setdefault(domain, []).append(value)


def _unit(sources: Sequence[_Source]) -> str:
    """Return the unit in which all predictions can be measured."""
    abouts = [
        said for source in sources for several in source.files.values() for said, _ in several
    ]
    if not abouts or any(not said.get('spacing') or not said.get('ori_shape') for said in abouts):
        return 'pixels'
    axes = {len(said['spacing']) for said in abouts}
    return {2: 'mm²', 3: 'mm³'}[axes.pop()] if axes in ({2}, {3}) else 'pixels'


def _pixel(said: Mapping[str, Any], pred: np.ndarray, unit: str) -> float:
    """Return the size of a pixel of a prediction, whatever grid the network made of the image."""
    if unit == 'pixels':
        return 1.0
    return float(np.prod(said['ori_shape']) * np.prod(said['spacing']) / pred.size)


def _planes(
    said: Mapping[str, Any], arrays: Arrays, student: str, peer: str
) -> list[tuple[str, dict]]:
    """Return name and arrays of the slices of a file, those of one student."""
    kept = {'image': arrays['image'], 'pred': arrays[f'pred_{student}']}
    others = {'truth': 'truth', 'teacher': f'teacher_{student}', 'peer': f'pred_{peer}'}
    kept.update({name: arrays[key] for name, key in others.items() if key in arrays})
    if f'prob_{student}' in arrays:
        prob = np.moveaxis(arrays[f'prob_{student}'], 0, -1)
        kept['sure'], kept['doubt'] = prob.max(-1), entropy(prob)
    name = str(said.get('name'))
    if kept['pred'].ndim == 2:
        index = said.get('index')
        return [(name if index is None else f'{name}, slice {index}', kept)]
    depth = len(kept['pred'])
    fits = {key: one for key, one in kept.items() if len(one) == depth}
    if 'image' not in fits:  # the network's grid has another number of slices than the truth
        nearest = np.linspace(0, len(kept['image']) - 1, depth).round().astype(int)
        fits['image'] = kept['image'][nearest]
    return [
        (f'{name}, slice {i}', {key: one[i] for key, one in fits.items()}) for i in range(depth)
    ]


def entropy(prob: np.ndarray) -> np.ndarray:
    """Return the entropy of probabilities in steps of 1/255 (..., C), 0 to 1, as float32."""
    share = prob.astype(np.float32) / np.maximum(prob.sum(-1, keepdims=True, dtype=np.float32), 1)
    logs = np.log(np.where(share > 0, share, 1))
    return -(share * logs).sum(-1) / np.log(max(prob.shape[-1], 2))


def overlap(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], parts: Mapping[str, Sequence[int]]
) -> float:
    """Return the Dice in percent of two predictions of a case, mean over the parts.

    Args:
        pairs: class maps of both on each slice.
        parts: part to its class ids; one that neither has counts 100.
    """
    values = []
    for ids in parts.values():
        masks = [(np.isin(one, ids), np.isin(other, ids)) for one, other in pairs]
        both = sum(int((one & other).sum()) for one, other in masks)
        total = sum(int(one.sum() + other.sum()) for one, other in masks)
        values.append(200 * both / total if total else 100.0)
    return float(np.mean(values)) if values else float('nan')


def _add_reliability(found: Cases, row: str, domain: str, one: Arrays) -> None:
    if 'truth' not in one or 'sure' not in one:
        return
    sure, right = one['sure'] / 255.0, one['pred'] == one['truth']
    inside = (one['pred'] > 0) | (one['truth'] > 0)
    for alone, where in ((True, inside), (False, np.ones_like(inside))):
        sums = reliability_sums(sure[where], right[where], BINS)
        before = found.reliability.get((row, domain, alone))
        found.reliability[row, domain, alone] = sums if before is None else before + sums


def _aspect(said: Mapping[str, Any]) -> float:
    """Return width by height of a slice as it was before the network's resizing, in mm if known."""
    shape = said.get('ori_shape') or (1, 1)
    spacing = said.get('spacing') or (1.0, 1.0)
    height, width = (float(n) * float(s) for n, s in zip(shape[-2:], spacing[-2:], strict=True))
    return round(width / height, 4) if height > 0 and width > 0 else 1.0
