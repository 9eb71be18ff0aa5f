"""What a report says in words: results in short, cards of runs and data, what is not shown."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from mmssl.evaluation.domain_table import SELECTIONS
from mmssl.evaluation.statistics import reliability_of
from mmssl.experiments.runs import duration
from mmssl.reports.cases import Cases
from mmssl.reports.gather import Entry, Method, Run, relative
from mmssl.reports.scores import FAILED, Scores, failure_rate

Pairs = list[tuple[str, str]]


def number(value: float | None, digits: int = 2) -> str:
    """Write a score.

    Example:
        >>> number(81.234), number(None)
        ('81.23', '-')
    """
    return '-' if value is None else f'{value:.{digits}f}'


def ece_of(cases: Cases, row: str, domain: str | None = None) -> float | None:
    """Return the expected calibration error of a row on the pixels of the object."""
    sums = [
        one
        for (name, where, alone), one in cases.reliability.items()
        if name == row and alone and domain in (None, where)
    ]
    return reliability_of(np.sum(sums, axis=0)).ece if sums else None


def tiles(scores: Scores, cases: Cases) -> list[tuple[str, str, str]]:
    """Return title, number and words of what matters most, for the best row."""
    if scores.best is None:
        return []
    row = next(row for row in scores.entries if row.name == scores.best)
    value = scores.get('DSC', row.name)
    spread = [] if value.low is None else [f'95 %: {value.low:.1f} to {value.high:.1f}']
    spread += [] if value.sd is None else [f'± {value.sd:.2f} over {len(value.runs)} trainings']
    found = [('DSC (%)' + f', {row.name}' * (len(scores.entries) > 1), number(value.mean),
              '; '.join(spread))]  # fmt: skip
    lowest = _lowest_domain(scores, row.name)
    if lowest:
        found.append(('hardest domain', number(lowest[1]), lowest[0]))
    failed, count = failure_rate(row)
    if count:
        share = f'{100 * failed / count:.0f} %'
        found.append(('failed', share, f'{failed} of {count} scores are below {FAILED:.0f} %'))
    distance = scores.get('HD95', row.name).mean
    if distance is not None:
        found.append(('HD95', number(distance), _distance_unit(row)))
    ece = ece_of(cases, row.name)
    if ece is not None:
        found.append(('calibration error', f'{ece:.3f}', 'pixels of the object; 0 is best'))
    return found


def _distance_unit(row: Entry) -> str:
    protocol = row.runs[0].result.get('protocol') or {}
    return {'mm': 'mm', 'pixel': 'pixels'}.get(protocol.get('unit', ''), '')


def _lowest_domain(scores: Scores, row: str) -> tuple[str, float] | None:
    values = {d: scores.get('DSC', row, d).mean for d in scores.domains}
    known = {d: v for d, v in values.items() if v is not None}
    return min(known.items(), key=lambda item: item[1]) if len(known) > 1 else None


def in_short(methods: Sequence[Method], scores: Scores, cases: Cases) -> list[str]:
    """Say in sentences what came out."""
    said = []
    if scores.best and scores.differences:
        others = scores.differences[scores.best]
        said += [one.words(scores.best) for one in others]
        if scores.ranks and len(others) > 1:
            first = scores.ranks.first[scores.best]
            said.append(
                f'{scores.best} is the first in {100 * first:.0f} % of resamples; the whole order '
                f"keeps a Kendall's tau of {scores.ranks.tau:.2f}."
            )
    for row in (row for row in scores.entries if row.name == scores.best):
        lowest = _lowest_domain(scores, row.name)
        values = [scores.get('DSC', row.name, d).mean for d in scores.domains]
        known = [v for v in values if v is not None]
        if lowest and max(known) - lowest[1] >= 10:
            said.append(
                f'{row.name}: {lowest[0]} ({lowest[1]:.2f}) is {max(known) - lowest[1]:.1f} points '
                'below its best domain.'
            )
    said += _without_masks(scores, cases)
    for method in methods:
        for run in method.runs:
            said += [f'{method.name}, {run.name}: {fault}' for fault in run.faults]
    if not scores.entries:
        said.append('No test is there, so there are no scores; the curves are those of training.')
    return said


def _without_masks(scores: Scores, cases: Cases) -> Iterator[str]:
    for domain in cases.unmasked:
        for row, of_domains in cases.agreement.items():
            others = [v for d, several in of_domains.items() if d not in cases.unmasked
                      for v in several]  # fmt: skip
            if domain in of_domains:
                beside = f', {fmean(others):.1f} % where there are masks' if others else ''
                yield (
                    f'{domain} has no masks. Student and teacher of {row} agree there by '
                    f'{fmean(of_domains[domain]):.1f} % Dice{beside}.'
                )
        for row, found in cases.sizes.items():
            several = found.get(domain, [])
            empty = sum(not any(sizes.values()) for sizes in several)
            if empty:
                yield f'{row} predicts nothing in {empty} of {len(several)} cases of {domain}.'


def run_card(method: Method) -> Pairs:
    """Say what was run."""
    run = method.runs[0]
    started = list(run.about.values()) or [run.result.get('about') or {}]
    first, last = started[0], started[-1]
    done, wanted = run.iterations
    pairs: Pairs = []

    def add(title: str, value: Any) -> None:
        if value not in (None, '', [], {}):
            pairs.append((title, str(value)))

    add('method', run.setting('model.type'))
    for name in run.setting_names('model.students'):
        parts = [
            run.setting(f'model.students.{name}.{p}.type') for p in ('backbone', 'decode_head')
        ]
        add(f'student {name}', ', '.join(p for p in parts if p) or None)
    add('runs', ', '.join(one.name for one in method.runs) if len(method.runs) > 1 else None)
    add('seed', run.setting('randomness.seed'))
    add('iterations', f'{done} of {wanted}' if wanted and done != wanted else wanted or None)
    for name in run.setting_names('optim_wrapper.optimizers'):
        kind = run.setting(f'optim_wrapper.optimizers.{name}.type')
        add(f'optimiser of {name}', f'{kind}, {run.setting(f"optim_wrapper.optimizers.{name}.lr")}')
    add('batch', _batch(run))
    add('tested', (run.result.get('about') or {}).get('checkpoint'))
    add('protocol', (run.result.get('protocol') or {}).get('text'))
    add('command', first.get('command'))
    add('sittings', len(run.about) if len(run.about) > 1 else None)
    add('started', first.get('time'))
    add('commit', last.get('commit'))
    add('versions', ', '.join(f'{k} {v}' for k, v in (last.get('versions') or {}).items()))
    machine = last.get('machine') or {}
    add('machine', _machine(machine))
    if run.cost.get('time'):
        seconds = run.cost['time'] / 1000 * max(done, 1)
        add('time', f'{run.cost["time"]:.0f} ms an iteration, {duration(seconds)} in all')
    if run.cost.get('memory'):
        add('memory', f'{run.cost["memory"]:.0f} MiB')
    add('folder', relative(run.folder))
    return pairs


def _batch(run: Run) -> str | None:
    key = 'train_dataloader.batch_sampler.num_'
    labelled, unlabelled = run.setting(f'{key}labelled'), run.setting(f'{key}unlabelled')
    return None if labelled is None else f'{labelled} labelled and {unlabelled} unlabelled images'


def _machine(machine: Mapping[str, Any]) -> str | None:
    if not machine:
        return None
    devices = machine.get('devices', 1)
    several = f'{devices} processes on ' * (devices > 1)
    return (
        f'{several}{machine.get("device")}, {machine.get("cores")} cores, {machine.get("system")}'
    )


def data_card(methods: Sequence[Method], scores: Scores, cases: Cases) -> list[list[str]]:
    """Return a table of the domains: what was trained on, labelled and tested; and the shift."""
    data: dict[str, dict] = next((last['data'] for m in methods for r in m.runs
                 for last in list(r.about.values())[-1:] if last.get('data')), {})  # fmt: skip
    domains = list(dict.fromkeys([*data, *scores.domains, *cases.levels]))
    if not domains:
        return []
    shifts = _shifts(cases, next((d for d, one in data.items() if one.get('labelled')), None))
    images: dict[str, int] = {}
    patients: dict[str, set] = {}
    for row in scores.entries[:1]:
        for image in row.runs[0].result.get('images') or ():
            images[image['domain']] = images.get(image['domain'], 0) + 1
            patients.setdefault(image['domain'], set()).add(str(image.get('case')))
    header = ['domain', 'training images', 'patients', 'labelled', 'tested', 'test patients']
    header += ['mean grey level', 'shift'] * bool(shifts)
    rows = [header]
    for domain in domains:
        one = data.get(domain, {})
        labelled = one.get('labelled', 0)
        share = f' ({100 * labelled / one["images"]:.0f} %)' if one.get('images') else ''
        tested = 'no masks' if domain in cases.unmasked else images.get(domain, '-')
        line = [domain, one.get('images', '-'), one.get('cases', '-')]
        line += [f'{labelled}{share}' if one else '-', tested, len(patients.get(domain, ())) or '-']
        rows.append([*map(str, line), *shifts.get(domain, ['-', '-'] * bool(shifts))])
    return rows


def _shifts(cases: Cases, reference: str | None) -> dict[str, list[str]]:
    """Return the mean grey level, and the Wasserstein distance from the labelled domain."""
    from scipy.stats import wasserstein_distance

    if not cases.levels:
        return {}
    reference = reference if reference in cases.levels else next(iter(cases.levels))
    levels, base, found = np.arange(256), cases.levels[reference], {}
    for domain, counts in cases.levels.items():
        mean = float((levels * counts).sum() / counts.sum())
        apart = wasserstein_distance(levels, levels, counts, base)
        found[domain] = [f'{mean:.0f}', '0 (reference)' if domain == reference else f'{apart:.1f}']
    return found


def caveats(methods: Sequence[Method], scores: Scores, cases: Cases) -> list[str]:
    """Say in plain words what the page does not show."""
    said = [*_of_selection(methods)]
    single = [row.name for row in scores.entries if len(row.runs) < 2]
    if single:
        said.append(
            f'Single trainings: {", ".join(single)}. Nobody knows how another seed would score; '
            'the intervals are over patients alone.'
        )
    patients = len({*zip(scores.common.domains, scores.common.clusters, strict=True)}) \
        if scores.common else None  # fmt: skip
    if patients is not None and patients < 6:
        said.append(f'With {patients} patients no difference can be told from chance.')
    if len(scores.entries) > 1:
        said.append(
            'Differences hold for these data and settings. Whether each method was tuned with the '
            'same care is not on this page.'
        )
        if scores.common is None:
            said.append('The rows were not tested on the same images, so they are not compared.')
    for text in dict.fromkeys(
        (run.result.get('protocol') or {}).get('text')
        for method in methods for run in method.runs if run.result
    ):  # fmt: skip
        if text:
            said.append(
                f'Protocol: {text}. Other conventions give other numbers for the same masks.'
            )
    said += _of_empty(scores)
    if cases.unmasked:
        said.append(
            f'No masks: {", ".join(cases.unmasked)}. Agreement and uncertainty are no accuracy: '
            'networks can agree on what is wrong.'
        )
    if cases.shown:
        said.append(
            'Pictures are made smaller for this page; scores are those of the protocol. '
            'Uncertainty is the entropy of the probabilities, which may be badly calibrated.'
        )
        several = [n for n, run in cases.runs.items() if run.name.startswith('seed')]
        if several:
            names = dict.fromkeys(cases.runs[name].name for name in several)
            said.append(
                f'Pictures and what is measured on them come from {", ".join(names)} alone.'
            )
    if cases.left_out:
        said.append(
            f'{cases.left_out} cases, those with the highest scores, have no pictures here: the '
            'page would become too large.'
        )
    if scores.entries and not cases.shown:
        said.append(
            'There are no pictures and no calibration: no cases were saved. '
            '`mmssl test CONFIG CHECKPOINT --save-cases DIR` keeps them.'
        )
    return said


def _of_selection(methods: Sequence[Method]) -> Iterator[str]:
    for method in methods:
        run = method.runs[0]
        selection = (run.result.get('protocol') or {}).get('selection')
        checkpoint = str((run.result.get('about') or {}).get('checkpoint', ''))
        if selection == 'test' or Path(checkpoint).name.startswith('best_'):
            yield (
                f'{method.name}: the checkpoint was chosen by scores'
                f'{" on the test set" if selection == "test" else ""}, which flatters it.'
            )
        for student, entry in run.summary.get('students', {}).items():
            last = entry.get('last', {}).get('metrics', {}).get('DSC')
            chosen = entry.get('chosen', {}).get('metrics', {}).get('DSC')
            if run.summary.get('selection') == 'test' and None not in (last, chosen):
                yield (
                    f'{method.name}, {student}: while training the chosen checkpoint '
                    f'({SELECTIONS["test"]}) has {chosen:.2f}, the last {last:.2f}.'
                )


def _of_empty(scores: Scores) -> Iterator[str]:
    """Count the images whose truth has nothing of a part."""
    for row in scores.entries[:1]:
        images = row.runs[0].result.get('images') or ()
        empty = sum(n == 0 for image in images
                    for n in (image.get('sizes') or {}).get('truth', {}).values())  # fmt: skip
        if empty:
            yield (
                f'{empty} masks of the truth are empty; how they count is a convention (above) and '
                'moves the means.'
            )
