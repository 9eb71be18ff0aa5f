"""In which order images are taken, and whether that order is one of classes."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from mmssl.datasets.files.domain_names import DomainNames

CHANCE = 1e-3
"""A gap in a part of the data that chance alone leaves more seldom is worth a warning."""

MOST_CLASSES = 10
"""Words of which there are more at one place of the names number patients rather than classes."""

OF_SLICES = re.compile(r'[_-]?(slice|sl|z)[_-]?\d+$')
"""What the name of a slice has beside that of its volume."""

OF_PARTS = {'train', 'training', 'tr', 'val', 'valid', 'validation', 'test', 'testing', 'ts', 'te'}


def shuffled(items: Sequence[str], seed: int | None) -> list[str]:
    """Return the items in the order that a seed gives, as they are without one.

    Raises:
        ValueError: the seed is no whole number from 0 on.
    """
    if seed is None:
        return list(items)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f'seed = {seed!r} must be a whole number from 0 on, or None.')
    order = np.random.default_rng(seed).permutation(len(items))
    return [items[index] for index in order]


def shuffled_by_case(names: Sequence[str], pool: DomainNames, seed: int | None) -> list[str]:
    """Return names case by case, the cases in the order that a seed gives."""
    if seed is None:
        return list(names)
    of_case: dict[str, list[str]] = {}
    for name in names:
        of_case.setdefault(pool.case_of[name], []).append(name)
    return [name for case in shuffled(sorted(of_case), seed) for name in of_case[case]]


def looks_sorted(
    chosen: Collection[str], pool: DomainNames, where: str, instead: str
) -> str | None:
    """Return a warning if some images of a domain lack a word that many names of it have.

    Words are the letters and the numbers of a name, at the same place counted from the front or
    from the back, that all images of a case share and some cases have in common, such as the
    diagnosis in `MCUCXR_0104_1`. What chance leaves out now and then is not reported.

    Args:
        chosen: names of the images, of whole cases or not.
        pool: all images that they were chosen among.
        where: what they are, to begin the message with.
        instead: what to do about it.
    """
    wanted = {pool.case_of[name] for name in chosen}
    count = len(set(pool.cases))
    if not 0 < len(wanted) < count:
        return None
    for place, words in _words_of_cases(pool):
        totals = Counter(words.values())
        inside = Counter(words[case] for case in wanted)
        gaps = {
            f'none of the {len(wanted)} cases has': ({*totals} - {*inside}, len(wanted)),
            'they alone have': ({w for w in inside if inside[w] == totals[w]}, count - len(wanted)),
        }
        for what, (lacking, drawn) in gaps.items():
            lacking -= OF_PARTS
            total = sum(totals[word] for word in lacking)
            # There are as many ways to choose words, of which the most striking one is taken.
            chance = 2 ** len(totals) * _chance(total, drawn, count)
            if not lacking or len(totals) > MOST_CLASSES or chance > CHANCE:
                continue
            word = max(sorted(lacking), key=totals.__getitem__)
            return (
                f'{where} look sorted by class: {what} "{word}" {place} of the name, but '
                f'{totals[word]} of all {count} cases have it. Take {instead}; if it is a '
                'patient, say so in case_pattern.'
            )
    return None


def _chance(total: int, drawn: int, count: int) -> float:
    """Return how often `drawn` of `count` cases miss all of `total` cases with a word."""
    if total + drawn > count:
        return 0.0
    steps = np.arange(min(drawn, total))
    return float(np.prod(1 - max(drawn, total) / (count - steps)))


def _words_of_cases(pool: DomainNames) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a place in the names and the word there for each case, where images agree on it."""
    # A slice has the words of its volume, whose place counts, in data that have both.
    split = {
        name: re.findall(r'\d+|[^\W\d_]+', OF_SLICES.sub('', name.lower())) for name in pool.names
    }
    shortest = min(map(len, split.values()), default=0)
    for index in (*range(-1, -shortest - 1, -1), *range(shortest)):
        words: dict[str, set[str]] = {}
        for name, case in zip(pool.names, pool.cases, strict=True):
            words.setdefault(case, set()).add(split[name][index])
        if all(len(found) == 1 for found in words.values()):
            place = f'as part {index + 1}' if index >= 0 else f'as part {-index} from the end'
            place = 'at the end' if index == -1 else place
            yield place, {case: found.pop() for case, found in words.items()}
