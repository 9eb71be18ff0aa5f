"""Which images are for training, validation and testing."""

from collections.abc import Callable, Sequence

import numpy as np
from mmengine.logging import print_log

from .domain_names import DomainNames, read_list

PARTS = ('train', 'val', 'test')
OPTIONS = ('type', 'seed', 'merge_val_test', 'check_patients')


def _by_list(pool: DomainNames, spec: dict) -> dict[str, list[str]]:
    found = {part: read_list(spec[part], pool) for part in PARTS if part in spec}
    return {part: list(pool.keep(names).names) for part, names in found.items()}


def _by_slice(pool: DomainNames, spec: dict) -> dict[str, list[str]]:
    return {part: list(pool.names[slice(*spec[part])]) for part in PARTS if part in spec}


def _shares(items: Sequence[str], spec: dict, total: int) -> dict[str, list[str]]:
    """Give int(share * total) items to a part: train the first, test the last, val before test."""
    counts = {part: int(spec[part] * total) for part in PARTS if part in spec}
    stop = len(items) - counts.get('test', 0)
    places = {
        'train': (0, counts.get('train', 0)),
        'val': (stop - counts.get('val', 0), stop),
        'test': (stop, len(items)),
    }
    return {part: list(items[slice(*places[part])]) for part in counts}


def _by_fraction(pool: DomainNames, spec: dict) -> dict[str, list[str]]:
    return _shares(pool.names, spec, len(pool.names))


def _by_case(pool: DomainNames, spec: dict) -> dict[str, list[str]]:
    """Take the cases named, or shares of the sorted cases; with a seed, of the shuffled ones."""
    cases = sorted(set(pool.cases))
    if spec.get('seed') is not None:
        order = np.random.default_rng(spec['seed']).permutation(len(cases))
        cases = [cases[index] for index in order]
    shares = {part: spec[part] for part in PARTS if isinstance(spec.get(part), int | float)}
    named = {part: spec[part] for part in PARTS if part in spec and part not in shares}
    taken = {str(case) for part in named for case in named[part]}
    rest = [case for case in cases if case not in taken]
    chosen = {**_shares(rest, shares, len(cases)), **named}
    return {part: pool.of_cases(chosen[part]) for part in PARTS if part in chosen}


SPLITS: dict[str, Callable[[DomainNames, dict], dict[str, list[str]]]] = {
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
    - `dict(type='list', train='{domain}/train.txt', test=[...])`: list files or names, of
      images, volumes or cases;
    - `dict(type='slice', test=(3, None, 4))`: start, stop, step in the sorted names;
    - `dict(type='fraction', test=0.2)`: the last int(0.2 n) of the sorted names;
    - `dict(type='case', val=0.1, test=0.2)` or `test=['00', '07']`: shares of the sorted cases
      (test the last ones, val those before) or the cases named; `seed=0` shuffles the cases.

    `merge_val_test=True` makes validation and test one set, as UniMatch's code on ACDC does.

    Args:
        pool: the domain's images (with 'folder', those of the part's folder).
        spec: the rule.
        part: 'train', 'val' or 'test'.

    Raises:
        ValueError: the rule is not known, says nothing, gives an image or a patient to two
            parts, or leaves a part without images.
    """
    kind = spec.get('type')
    if kind == 'folder':
        if spec.get('merge_val_test'):
            raise ValueError("merge_val_test needs a split of another type than 'folder'.")
        return list(pool.names)
    if kind not in SPLITS:
        known = ', '.join(['folder', *SPLITS])
        raise ValueError(f'Split type "{kind}" is not known (known: {known}).')
    if not set(spec) & set(PARTS) or set(spec) - {*PARTS, *OPTIONS}:
        raise ValueError(
            f'Split {spec} must say what train, val or test hold, nothing else but '
            f'{", ".join(OPTIONS[1:])}.'
        )
    given = SPLITS[kind](pool, spec)
    _keep_apart(pool, given)
    taken = {name for names in given.values() for name in names}
    rest = [name for name in pool.names if name not in taken]
    parts = {key: given.get(key, rest) for key in PARTS if key != 'val' or 'val' in given}
    if spec.get('check_patients', True):
        keep_patients_apart(pool.domain, {k: pool.keep(n).cases for k, n in parts.items()})
    chosen = parts.get(part, rest)
    if spec.get('merge_val_test') and part != 'train':
        chosen = _merged(pool, parts)
    if not chosen:
        raise ValueError(
            f'Domain "{pool.domain}": the split {spec} leaves no image for {part} '
            f'({len(pool.names)} in all).'
        )
    return chosen


def _keep_apart(pool: DomainNames, given: dict[str, list[str]]) -> None:
    taken: dict[str, str] = {}
    for key, names in given.items():
        for name in names:
            if name in taken:
                raise ValueError(
                    f'Domain "{pool.domain}": the split gives image "{name}" to {taken[name]} '
                    f'and to {key}. Keep the parts apart.'
                )
            taken[name] = key


def keep_patients_apart(domain: str, cases: dict[str, Sequence[str]]) -> None:
    """Check that no patient has images in two parts of a split.

    Args:
        domain: name of the domain, for the message.
        cases: part -> the cases of its images.

    Raises:
        ValueError: a patient is in two parts; the message names both.
    """
    seen: dict[str, str] = {}
    for part, found in cases.items():
        for case in dict.fromkeys(found):
            if case in seen:
                raise ValueError(
                    f'Domain "{domain}": patient "{case}" is in two parts of the split, '
                    f'{seen[case]} and {part}, so that test images would be known from training. '
                    'Correct the lists or split by case; or, if case_pattern finds no patients, '
                    'set check_patients=False in split.'
                )
            seen[case] = part


def _merged(pool: DomainNames, parts: dict[str, list[str]]) -> list[str]:
    if 'val' not in parts:
        raise ValueError(f'Domain "{pool.domain}": merge_val_test needs a split that names val.')
    print_log(
        f'{pool.domain}: validation and test are ONE set here, val + test (merge_val_test, as in '
        "UniMatch's code): the checkpoint is chosen on the images that it is scored on, so the "
        'numbers are optimistic and compare only with others of this protocol.',
        logger='current',
        level=30,
    )
    return list(pool.keep({*parts['val'], *parts['test']}).names)


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
