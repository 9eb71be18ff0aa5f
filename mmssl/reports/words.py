"""What a report says in words: results in short, cards of runs and data, what is not shown."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from mmssl.evaluation.domain_table import SELECTIONS
from mmssl.evaluation.statistics import Ranks, reliability_of
from mmssl.reports.cases import Cases
from mmssl.reports.runs import Entry, Method
from mmssl.reports.scores import FAILED, Scores, failure_rate


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
            said.append(_order(scores.ranks))
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
            if scores.entries and run.curves and not run.result and not run.faults:
                said.append(f'{method.name}, {run.name}: there is no test, so it is in no table.')
    if not scores.entries:
        said.append('No test is there, so there are no scores; the curves are those of training.')
    return said


def _order(ranks: Ranks) -> str:
    """Say how stable the order of the rows is.

    Example:
        >>> _order(Ranks({'a': 0.9, 'b': 0.1, 'c': 0.0}, {}, 0.85))
        "With other patients a would be the first in 90 % of resamples, b in 10 %; the order of \
all rows hardly changes (Kendall's tau 0.85; 1 is always the same, 0 is chance)."
    """
    firsts = sorted(ranks.first.items(), key=lambda item: -item[1])
    (best, share), *others = firsts
    also = ''.join(f', {name} in {100 * one:.0f} %' for name, one in others if one >= 0.005)
    kept = (
        'hardly changes'
        if ranks.tau >= 0.8
        else 'changes in part'
        if ranks.tau >= 0.5
        else ('is mostly chance')
    )
    return (
        f'With other patients {best} would be the first in {100 * share:.0f} % of resamples{also}; '
        f"the order of all rows {kept} (Kendall's tau {ranks.tau:.2f}; 1 is always the same, 0 is "
        'chance).'
    )


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
        said += _of_tuning(methods)
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


def _of_tuning(methods: Sequence[Method]) -> Iterator[str]:
    tuning = next((method.tuning for method in methods if method.tuning), None)
    if tuning is None:
        yield (
            'Differences hold for these data and settings. Whether each method was tuned with the '
            'same care is not on this page.'
        )
    else:
        names = ', '.join(axis['name'] for axis in tuning['axes'])
        yield (
            f'Every method tried {tuning["trials"]} settings of {names} on labelled cases that '
            'were held out; differences hold for these data and for what was tried.'
        )


def _of_selection(methods: Sequence[Method]) -> Iterator[str]:
    for method in methods:
        run = method.runs[0]
        selection = (run.result.get('protocol') or {}).get('selection')
        checkpoint = str((run.result.get('about') or {}).get('checkpoint', ''))
        by_scores = Path(checkpoint).name.startswith('best_') and selection != 'agreement'
        if selection == 'test' or by_scores:
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
