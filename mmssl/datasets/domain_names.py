"""The images of a domain by name, and the lists that name them."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from .decode import split_suffix
from .layout import KNOWN_SUFFIXES


@dataclass(frozen=True)
class DomainNames:
    """The sorted names of one domain's images, and what a rule may ask about them.

    Attributes:
        domain: name of the domain.
        names: sorted names of its images.
        cases: case of each name.
        data_root: folder below which list files are looked for.
        groups: for each name what else a list may call it by, such as its volume.
        folder: where the images are, for messages.
    """

    domain: str
    names: tuple[str, ...]
    cases: tuple[str, ...]
    data_root: str
    groups: tuple[tuple[str, ...], ...] = ()
    folder: str = ''

    @cached_property
    def _members(self) -> dict[str, list[str]]:
        """Return name, group or case -> names; a name itself goes before a group."""
        members: dict[str, list[str]] = {}
        groups = self.groups or ((),) * len(self.names)
        for name, case, others in zip(self.names, self.cases, groups, strict=True):
            for group in dict.fromkeys((*others, case)):
                members.setdefault(group, []).append(name)
        return {**members, **{name: [name] for name in self.names}}

    @cached_property
    def case_of(self) -> dict[str, str]:
        """Return name -> case."""
        return dict(zip(self.names, self.cases, strict=True))

    def called(self, entry: str) -> list[str]:
        """Return the names that a list means by an entry: an image, a volume or a case."""
        return self._members.get(entry, [])

    def of_cases(self, chosen: Sequence[str]) -> list[str]:
        """Return the names that belong to the chosen cases.

        Raises:
            ValueError: a case is not there.
        """
        chosen = [str(case) for case in chosen]
        known = set(self.cases)
        missing = [case for case in chosen if case not in known]
        if missing:
            shown = ', '.join(sorted(known)[:12])
            raise ValueError(
                f'Domain "{self.domain}" has no case "{missing[0]}" (it has {shown}, ...).'
            )
        wanted = set(chosen)
        return [n for n, case in zip(self.names, self.cases, strict=True) if case in wanted]

    def keep(self, names: Collection[str]) -> 'DomainNames':
        """Return the same domain with fewer names."""
        wanted = set(names)
        kept = [index for index, name in enumerate(self.names) if name in wanted]
        return DomainNames(
            self.domain,
            tuple(self.names[index] for index in kept),
            tuple(self.cases[index] for index in kept),
            self.data_root,
            tuple(self.groups[index] for index in kept) if self.groups else (),
            self.folder,
        )


def read_list(
    entries: str | Sequence[str], pool: DomainNames, skip: Collection[str] = ()
) -> list[str]:
    """Return the names of a list that belong to a domain, in the order of the list.

    Args:
        entries: a text file below the data root (`{domain}` is filled in) with one name a line,
            or the names themselves: of images, volumes or cases. `domain/name` belongs to that
            domain alone; a suffix is dropped.
        pool: the domain's images.
        skip: names, volumes or cases that the list may hold although the pool has them not.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a name is not among the domain's images.
    """
    source = 'the list in the config'
    if isinstance(entries, str):
        source = os.path.join(pool.data_root, entries.format(domain=pool.domain))
        if not os.path.isfile(source):
            raise FileNotFoundError(f'Domain "{pool.domain}": there is no list file {source}.')
        with open(source, encoding='utf-8-sig') as file:
            entries = [line.strip() for line in file]
    names: dict[str, None] = {}
    missing = []
    for entry in entries:
        if not entry or entry.startswith('#'):
            continue
        stem, suffix = split_suffix(entry)
        entry = stem if suffix.lower() in KNOWN_SUFFIXES else entry
        domain, _, name = entry.rpartition('/')
        meant = pool.called(entry)
        if not meant:
            if domain not in ('', pool.domain):
                continue
            meant = pool.called(name)
            if not meant and name not in skip:
                missing.append(name)
        names.update(dict.fromkeys(meant))
    if missing:
        place = f' in {pool.folder}' if pool.folder else ''
        raise ValueError(
            f'Domain "{pool.domain}" has no image "{missing[0]}"{place}, which {source} names '
            f'({len(set(missing))} missing in all). Correct the list; in one for several domains '
            'write domain/name.'
        )
    return list(names)
