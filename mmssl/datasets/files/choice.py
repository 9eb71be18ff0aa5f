"""Which domains a data set takes its labels and its held-out images from."""

from collections.abc import Sequence
from typing import Any

from mmssl.datasets.files.labelled import KEYS
from mmssl.datasets.files.layout import DomainLayout
from mmssl.datasets.files.naming import as_name, as_names, did_you_mean

ALL = 'all'
SEEDED = ('fraction', 'case')
"""Types of split that take the first or last images of an order."""


def with_seed(rule: dict, seed: int | None) -> dict:
    """Return the rule of a choice with the seed of its data set, unless it says one itself.

    A list has an order of its own, and no rule takes the first of what it names.
    """
    if 'seed' in rule or rule.get('list') is not None or rule.get('type', 'case') not in SEEDED:
        return dict(rule)
    return {**rule, 'seed': seed}


def seeded_layout(layout: DomainLayout, seed: int | None) -> DomainLayout:
    """Return a layout whose split has the seed of the data set, see `with_seed`."""
    return layout.override(dict(split=with_seed(layout.split, seed)))


def labelled_domain(labelled: dict, domains: Sequence[str]) -> str | None:
    """Return the domain that `labelled` names, the only one if it names none."""
    domain = labelled.get('domain')
    if domain is None:
        return domains[0] if len(domains) == 1 else None
    return as_name(domain, 'labelled.domain')


def check_domains(
    domains: Sequence[str],
    mode: str,
    labelled: dict | None,
    unlabelled: Sequence[str] | None,
    holdout: dict | None,
) -> None:
    """Compare every domain that the config names with the list of domains.

    Raises:
        ValueError: a name is not known or given twice, or training has no `labelled`.
    """
    if not domains or len(set(domains)) < len(domains):
        raise ValueError(f'domains = {list(domains)}: give each name once, at least one.')
    if mode == 'train' and not labelled:
        raise ValueError(
            'mode = "train" needs labelled=dict(domain=..., num=...): which images have labels.'
        )
    named: dict[str, Sequence[Any]] = {'unlabelled_domains': unlabelled or ()}
    if labelled:
        unknown = set(labelled) - set(KEYS)
        if unknown:
            raise ValueError(
                f'labelled has an unknown key "{min(unknown)}" (known: {", ".join(KEYS)}).'
            )
        if labelled.get('domain') != ALL:
            named['labelled.domain'] = (labelled.get('domain'),)
    if holdout and holdout.get('domains', 'labelled') not in ('labelled', ALL):
        named['holdout.domains'] = as_names(holdout['domains'], 'holdout.domains')
    for option, names in named.items():
        for name in names:
            check_known(option, name, domains)


def check_known(option: str, name: str | None, domains: Sequence[str]) -> None:
    """Raise a ValueError if an option names a domain that is not known."""
    if name not in domains:
        raise ValueError(
            f'{option} names domain "{name}", which is not known (known: {", ".join(domains)}).'
            + did_you_mean(str(name), domains)
        )


def holdout_domains(domains: Sequence[str], labelled: dict | None, holdout: dict) -> list[str]:
    """Return the domains of which images are held out for validation.

    Raises:
        ValueError: they are those with labels, but `labelled` is not given.
    """
    chosen = holdout.get('domains', 'labelled')
    if chosen == ALL:
        return list(domains)
    if chosen != 'labelled':
        chosen = as_names(chosen, 'holdout.domains')
        return [name for name in domains if name in chosen]
    if not labelled:
        raise ValueError(
            'holdout takes its images from the labelled domain: give labelled=dict(domain=...) '
            'as in training, or holdout=dict(domains=[...]).'
        )
    return list(domains) if labelled['domain'] == ALL else [labelled['domain']]
