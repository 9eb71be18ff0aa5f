"""Which domains a data set takes its labels and its held-out images from."""

from collections.abc import Sequence

from .labelled import KEYS

ALL = 'all'


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
    named = {'unlabelled_domains': unlabelled or ()}
    if labelled:
        unknown = set(labelled) - set(KEYS)
        if unknown:
            raise ValueError(
                f'labelled has an unknown key "{min(unknown)}" (known: {", ".join(KEYS)}).'
            )
        if labelled.get('domain') != ALL:
            named['labelled.domain'] = (labelled.get('domain'),)
    if holdout and not isinstance(holdout.get('domains', 'labelled'), str):
        named['holdout.domains'] = holdout['domains']
    for option, names in named.items():
        for name in names:
            check_known(option, name, domains)


def check_known(option: str, name: str | None, domains: Sequence[str]) -> None:
    """Raise a ValueError if an option names a domain that is not known."""
    if name not in domains:
        raise ValueError(
            f'{option} names domain "{name}", which is not known (known: {", ".join(domains)}).'
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
        return [name for name in domains if name in chosen]
    if not labelled:
        raise ValueError(
            'holdout takes its images from the labelled domain: give labelled=dict(domain=...) '
            'as in training, or holdout=dict(domains=[...]).'
        )
    return list(domains) if labelled['domain'] == ALL else [labelled['domain']]
