"""Which images are for training, validation and testing."""

from collections.abc import Callable, Sequence

from mmengine.logging import print_log

from mmssl.datasets.files.counts import warn_once
from mmssl.datasets.files.domain_names import DomainNames, read_list
from mmssl.datasets.files.naming import as_names
from mmssl.datasets.files.ordering import looks_sorted, shuffled

PARTS = ('train', 'val', 'test')
OPTIONS = ('type', 'seed', 'merge_val_test', 'check_patients')


def _by_list(pool: DomainNames, spec: dict) -> dict[str, list[str]]:
    found = {part: read_list(spec[part], pool) for part in PARTS if part in spec}
    return {part: list(pool.keep(names).names) for part, names in found.items()}


def _by_slice(pool: DomainNames, spec: dict) -> dict[str, list[str]]:
    for part in PARTS:
        places = spec.get(part, (0,))
        if isinstance(places, str | int | float) or not 1 <= len(places) <= 3:
            raise ValueError(f'split: {part}={places!r} must be (start, stop) or with a step.')
    return {part: list(pool.names[slice(*spec[part])]) for part in PARTS if part in spec}


def _shares(items: Sequence[str], spec: dict, total: int) -> dict[str, list[str]]:
    """Give int(share * total) items to a part: train the first, test the last, val before test."""
    counts = {part: int(share * total) for part, share in _given_shares(spec).items()}
    if sum(counts.values()) > total:
        raise ValueError(f'split = {spec}: the shares are more than everything.')
    stop = len(items) - counts.get('test', 0)
    places = {
        'train': (0, counts.get('train', 0)),
        'val': (stop - counts.get('val', 0), stop),
        'test': (stop, len(items)),
    }
    return {part: list(items[slice(*places[part])]) for part in counts}


def _given_shares(spec: dict) -> dict[str, float]:
    given = {part: spec[part] for part in PARTS if part in spec}
    for part, share in given.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(
                f'split: {part}={share!r} is no share from 0 to 1. Name cases in a list and in '
                f"quotes, split=dict(type='case', {part}=['{share}'])."
            )
    return given


def _by_fraction(pool: DomainNames, spec: dict) -> dict[str, list[str]]:
    """Take shares of the sorted names; with a seed, of the shuffled cases, whole ones."""
    if spec.get('seed') is not None:
        return _by_case(pool, {**spec, **_given_shares(spec)})
    return _shares(pool.names, spec, len(pool.names))


def _by_case(pool: DomainNames, spec: dict) -> dict[str, list[str]]:
    """Take the cases named, or shares of the sorted cases; with a seed, of the shuffled ones."""
    cases = shuffled(sorted(set(pool.cases)), spec.get('seed'))
    shares = {part: spec[part] for part in PARTS if isinstance(spec.get(part), int | float)}
    named = {p: as_names(spec[p], f'split.{p}') for p in PARTS if p in spec and p not in shares}
    taken = {case for names in named.values() for case in names}
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
    - `dict(type='fraction', test=0.2)`: the last int(0.2 n) of the sorted names; with `seed=0`
      as many of the shuffled cases;
    - `dict(type='case', val=0.1, test=0.2)` or `test=['00', '07']`: shares of the sorted cases
      (test the last ones, val those before) or the cases named; `seed=0` shuffles the cases.

    A warning is given where a part looks sorted by class.

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
    _warn_if_sorted(pool, parts)
    chosen = parts.get(part, rest)
    if spec.get('merge_val_test') and part != 'train':
        chosen = _merged(pool, parts)
    if not chosen:
        raise ValueError(
            f'Domain "{pool.domain}": the split {spec} leaves no image for {part} '
            f'({len(pool.names)} in all, of {len(set(pool.cases))} cases).'
        )
    return chosen


def _warn_if_sorted(pool: DomainNames, parts: dict[str, list[str]]) -> None:
    """Warn of one part that looks sorted by class, of testing before training."""
    for part in reversed(PARTS):
        where = f'Domain "{pool.domain}": the images for {part}'
        advice = 'seed=0 in `split`, or another type of split'
        if warning := looks_sorted(parts.get(part, ()), pool, where, advice):
            return warn_once(warning)


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
            ones, at least one), with `seed` of the shuffled ones.

    Raises:
        ValueError: the rule says neither, or it would leave nothing to train on.
    """
    unknown = set(spec) - {'cases', 'fraction', 'seed', 'domains'}
    if ('cases' in spec) == ('fraction' in spec) or unknown:
        raise ValueError(f'holdout = {spec}: give either cases=[...] or fraction=0.2.')
    cases = sorted(set(pool.cases))
    if 'cases' in spec:
        chosen = as_names(spec['cases'], 'holdout.cases')
    else:
        share = spec['fraction']
        if isinstance(share, bool | str) or not 0 < share < 1:
            raise ValueError(f'holdout: fraction={share!r} is no share between 0 and 1.')
        count = max(1, int(share * len(cases)))
        chosen = shuffled(cases, spec.get('seed'))[-count:]
    if len(set(chosen)) >= len(cases):
        raise ValueError(
            f'Domain "{pool.domain}" has {len(cases)} training case(s); holding out '
            f'{len(set(chosen))} for validation leaves none to train on.'
        )
    return pool.of_cases(chosen)
