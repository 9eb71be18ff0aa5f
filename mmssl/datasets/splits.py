"""Which images are for training, validation and testing, and which of them are labelled."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .layout import KNOWN_SUFFIXES


@dataclass(frozen=True)
class DomainNames:
    """The sorted names of one domain's images, and what a rule may ask about them.

    Attributes:
        domain: name of the domain.
        names: sorted names of its images.
        cases: case of each name.
        data_root: folder below which list files are looked for.
    """

    domain: str
    names: tuple[str, ...]
    cases: tuple[str, ...]
    data_root: str

    def of_cases(self, chosen: Sequence[str]) -> list[str]:
        """Return the names that belong to the chosen cases.

        Raises:
            ValueError: a case is not there.
        """
        chosen = [str(case) for case in chosen]
        missing = [case for case in chosen if case not in self.cases]
        if missing:
            known = ', '.join(sorted(set(self.cases))[:12])
            raise ValueError(
                f'Domain "{self.domain}" has no case "{missing[0]}" (it has {known}, ...).'
            )
        return [n for n, case in zip(self.names, self.cases, strict=True) if case in chosen]

    def keep(self, names: Sequence[str]) -> 'DomainNames':
        """Return the same domain with fewer names."""
        wanted = set(names)
        pairs = [p for p in zip(self.names, self.cases, strict=True) if p[0] in wanted]
        kept, cases = zip(*pairs, strict=True) if pairs else ((), ())
        return DomainNames(self.domain, kept, cases, self.data_root)


def read_list(entries: str | Sequence[str], pool: DomainNames) -> list[str]:
    """Return the names of a list that belong to a domain.

    Args:
        entries: a text file below the data root (`{domain}` is filled in) with one name a line,
            or the names themselves. `domain/name` belongs to that domain alone; a suffix is
            dropped.
        pool: the domain's images.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a name is not among the domain's images.
    """
    source = 'the list in the config'
    if isinstance(entries, str):
        source = os.path.join(pool.data_root, entries.format(domain=pool.domain))
        if not os.path.isfile(source):
            raise FileNotFoundError(f'Domain "{pool.domain}": there is no list file {source}.')
        with open(source, encoding='utf-8') as file:
            entries = [line.strip() for line in file]
    names = []
    for entry in entries:
        if not entry or entry.startswith('#'):
            continue
        domain, _, name = entry.rpartition('/')
        if domain not in ('', pool.domain):
            continue
        stem, suffix = os.path.splitext(name)
        names.append(stem if suffix.lower() in KNOWN_SUFFIXES else name)
    missing = sorted(set(names) - set(pool.names))
    if missing:
        raise ValueError(
            f'Domain "{pool.domain}" has no image "{missing[0]}", which {source} names '
            f'({len(missing)} missing in all). Correct the list; in a list for several domains '
            'write domain/name.'
        )
    return list(pool.keep(names).names)


def _by_list(pool: DomainNames, value: str | Sequence[str], part: str) -> list[str]:
    return read_list(value, pool)


def _by_slice(pool: DomainNames, value: Sequence[int | None], part: str) -> list[str]:
    return list(pool.names[slice(*value)])


def _by_fraction(pool: DomainNames, value: float, part: str) -> list[str]:
    """Take int(value * n) names: the last ones, for a training part the first ones."""
    count = int(value * len(pool.names))
    start = 0 if part == 'train' else len(pool.names) - count
    return list(pool.names[start : start + count])


def _by_case(pool: DomainNames, value: float | Sequence[str], part: str) -> list[str]:
    """Take the cases named, or a fraction of the sorted cases as `_by_fraction` does."""
    if not isinstance(value, int | float):
        return pool.of_cases(value)
    cases = tuple(sorted(set(pool.cases)))
    chosen = _by_fraction(DomainNames(pool.domain, cases, cases, ''), value, part)
    return pool.of_cases(chosen)


SPLITS: dict[str, Callable] = {
    'list': _by_list,
    'slice': _by_slice,
    'fraction': _by_fraction,
    'case': _by_case,
}


def split_names(pool: DomainNames, spec: dict, part: str) -> list[str]:
    """Return the names of one part of a domain.

    `spec` has a `type` and says for `train`, `test` or `val` which names they hold; a part that
    is not given holds what the others leave:

    - `dict(type='folder')`: each part has its folder (its name is the part's, or `train='tr'`);
    - `dict(type='list', train='{domain}/train.txt', test=[...])`: list files or names;
    - `dict(type='slice', test=(3, None, 4))`: start, stop, step in the sorted names;
    - `dict(type='fraction', test=0.2)`: the last int(0.2 n) of the sorted names;
    - `dict(type='case', test=0.2)` or `test=['00', '07']`: a fraction of the sorted cases (the
      last ones) or the cases named.

    Args:
        pool: the domain's images (with 'folder', those of the part's folder).
        spec: the rule.
        part: 'train', 'val' or 'test'.

    Raises:
        ValueError: the rule is not known, says nothing, gives an image to two parts, or leaves
            a part without images.
    """
    kind = spec.get('type')
    if kind == 'folder':
        return list(pool.names)
    if kind not in SPLITS:
        known = ', '.join(['folder', *SPLITS])
        raise ValueError(f'Split type "{kind}" is not known (known: {known}).')
    given = {key: SPLITS[kind](pool, spec[key], key) for key in spec if key != 'type'}
    if not given or set(given) - {'train', 'val', 'test'}:
        raise ValueError(f'Split {spec} must say what train, val or test hold, nothing else.')
    taken: dict[str, str] = {}
    for key, names in given.items():
        for name in names:
            if name in taken:
                raise ValueError(
                    f'Domain "{pool.domain}": the split gives image "{name}" to {taken[name]} '
                    f'and to {key}. Keep the parts apart.'
                )
            taken[name] = key
    chosen = given[part] if part in given else [n for n in pool.names if n not in taken]
    if not chosen:
        raise ValueError(
            f'Domain "{pool.domain}": the split {spec} leaves no image for {part} '
            f'({len(pool.names)} in all).'
        )
    return chosen


def hold_out(pool: DomainNames, spec: dict) -> list[str]:
    """Return the training images of a domain that are kept for validation: whole cases.

    Args:
        pool: the domain's training images.
        spec: `cases`, a list of cases; or `fraction`, a share of the sorted cases (the last
            ones, at least one).

    Raises:
        ValueError: the rule says neither, or it would leave nothing to train on.
    """
    if ('cases' in spec) == ('fraction' in spec):
        raise ValueError(f'holdout = {spec}: give either cases=[...] or fraction=0.2.')
    cases = sorted(set(pool.cases))
    if 'cases' in spec:
        chosen = [str(case) for case in spec['cases']]
    else:
        chosen = cases[-max(1, int(spec['fraction'] * len(cases))) :]
    if len(set(chosen)) >= len(cases):
        raise ValueError(
            f'Domain "{pool.domain}" has {len(cases)} training case(s); holding out '
            f'{len(set(chosen))} for validation leaves none to train on.'
        )
    return pool.of_cases(chosen)


def choose_labelled(pool: DomainNames, spec: dict, total: int) -> list[str]:
    """Return the names of the labelled images, sorted.

    Args:
        pool: the training images of the labelled domain.
        spec: one of `num` (the first N of the sorted names), `ratio` (N = int(total * ratio)),
            `list` (a list file or names) and `cases` (a number of first cases, or their names);
            none takes the whole domain. With `seed`, N images (or cases) are drawn instead of
            taking the first.
        total: number of training images of all domains.

    Raises:
        ValueError: more labels are asked for than there are, or none.
    """
    given = [key for key in ('num', 'ratio', 'list', 'cases') if spec.get(key) is not None]
    if len(given) > 1:
        raise ValueError(
            f'labelled = {spec}: give only one of {", ".join(given)}, and None for the others.'
        )
    if not given:
        return list(pool.names)
    kind, value = given[0], spec[given[0]]
    if kind == 'list':
        chosen = read_list(value, pool)
    elif kind == 'cases' and not isinstance(value, int):
        chosen = pool.of_cases(value)
    elif kind == 'cases':
        chosen = pool.of_cases(_first(sorted(set(pool.cases)), value, spec, pool, 'cases'))
    else:
        count = int(total * value) if kind == 'ratio' else value
        chosen = _first(pool.names, count, spec, pool, 'training images')
    if not chosen:
        raise ValueError(f'labelled = {spec} chooses no image of domain "{pool.domain}".')
    return chosen


def _first(items: Sequence[str], count: int, spec: dict, pool: DomainNames, what: str) -> list[str]:
    """Return the first `count` items, or as many drawn with the seed, in sorted order."""
    if count > len(items):
        raise ValueError(
            f'labelled = {spec} asks for {count} {what}, but domain "{pool.domain}" has '
            f'{len(items)}. Ask for at most {len(items)}.'
        )
    if spec.get('seed') is None:
        return list(items[:count])
    drawn = np.random.default_rng(spec['seed']).permutation(len(items))[:count]
    return [items[index] for index in sorted(drawn)]
