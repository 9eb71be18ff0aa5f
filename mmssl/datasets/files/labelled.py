"""Which of the training images have labels."""

from collections.abc import Collection, Sequence

from mmssl.datasets.files.counts import warn_once
from mmssl.datasets.files.domain_names import DomainNames, read_list, read_list_of
from mmssl.datasets.files.naming import as_names
from mmssl.datasets.files.ordering import looks_sorted, shuffled, shuffled_by_case

KEYS = ('domain', 'num', 'ratio', 'list', 'cases', 'seed')


def choose_labelled(
    pool: DomainNames, spec: dict, total: int, skip: Collection[str] = ()
) -> list[str]:
    """Return the names of the labelled images, sorted; warn if they look sorted by class.

    Args:
        pool: the training images that can have labels.
        spec: one of `num` (the first N of the sorted names), `ratio` (N = int(total * ratio)),
            `cases` (a number of first cases, a share of them as int(share * n), or their names)
            and `list` (a list file or names); none takes all. `list` beside one of the others
            gives the order in which the first are taken. With `seed`, the cases are shuffled
            before. `num=0` leaves everything unlabelled.
        total: number of training images of all domains.
        skip: what the list may name although it is not in the pool (held-out images).

    Raises:
        ValueError: more labels are asked for than there are, or, except by `num=0`, none.
    """
    given = [key for key in ('num', 'ratio', 'cases') if spec.get(key) is not None]
    if len(given) > 1:
        raise ValueError(
            f'labelled = {spec}: give only one of {", ".join(given)}, and None for the others.'
        )
    order = pool.names if spec.get('list') is None else read_list(spec['list'], pool, skip)
    seed = spec.get('seed')
    if not given:
        chosen: Sequence[str] = order
    elif given == ['cases']:
        chosen = pool.of_cases(_chosen_cases(pool, spec, order))
    else:
        value = spec[given[0]]
        if given == ['ratio'] and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f'labelled = {spec}: {value!r} is no share of the training images.')
        count = int(total * value) if given == ['ratio'] else value
        chosen = _first(shuffled_by_case(order, pool, seed), count, spec, pool, 'training images')
    if not chosen and 0 not in (spec.get('num'), spec.get('cases')):
        raise ValueError(f'labelled = {spec} chooses no image of domain "{pool.domain}".')
    where = f'Domain "{pool.domain}": the labelled images'
    warn_once(looks_sorted(chosen, pool, where, 'seed=0 in `labelled`'))
    return list(pool.keep(chosen).names)


def choose_in_all(
    pools: Sequence[DomainNames],
    spec: dict,
    total: int,
    skips: Sequence[Collection[str]] = (),
) -> dict[str, list[str]]:
    """Return domain -> names of the labelled images, chosen among those of all domains.

    The rules are those of `choose_labelled`; names and cases are `domain/name`, so that cases of
    two domains count as two.
    """
    pairs = [(pool, name) for pool in pools for name in pool.names]
    together = DomainNames(
        'all',
        tuple(f'{pool.domain}/{name}' for pool, name in pairs),
        tuple(f'{pool.domain}/{pool.case_of[name]}' for pool, name in pairs),
        pools[0].data_root,
    )
    rule = {key: value for key, value in spec.items() if key != 'domain'}
    if rule.get('list') is not None:
        found = read_list_of(rule['list'], pools, skips)
        rule['list'] = [f'{domain}/{name}' for domain, name in found]
    chosen = set(choose_labelled(together, rule, total))
    return {
        pool.domain: [name for name in pool.names if f'{pool.domain}/{name}' in chosen]
        for pool in pools
    }


def _chosen_cases(pool: DomainNames, spec: dict, order: Sequence[str]) -> list[str]:
    """Return the cases named, or the first ones: of the list, else in sorted order."""
    value = spec['cases']
    if isinstance(value, bool) or not isinstance(value, int | float):
        return as_names(value, 'labelled.cases')
    if spec.get('list') is None:
        cases = sorted(set(pool.cases))
    else:
        cases = list(dict.fromkeys(pool.case_of[name] for name in order))
    count = int(value * len(cases)) if isinstance(value, float) else value
    return _first(shuffled(cases, spec.get('seed')), count, spec, pool, 'cases')


def _first(items: Sequence[str], count: int, spec: dict, pool: DomainNames, what: str) -> list[str]:
    """Return the first `count` items."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise ValueError(f'labelled = {spec}: {count!r} is no whole number of {what}.')
    if not 0 <= count <= len(items):
        raise ValueError(
            f'labelled = {spec} asks for {count} {what}, but domain "{pool.domain}" has '
            f'{len(items)}. Ask for at most {len(items)}.'
        )
    return list(items[:count])
