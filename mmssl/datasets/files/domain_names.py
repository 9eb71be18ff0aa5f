"""The images of a domain by name, and the lists that name them."""

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mmssl.datasets.files.layout import KNOWN_SUFFIXES
from mmssl.datasets.files.list_files import Entry, is_comment, read_entries, readings
from mmssl.datasets.files.naming import as_names, did_you_mean, normal
from mmssl.datasets.reading.decode import split_suffix


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
        paths: file of each name, with which the folders in a list are compared.
        others: other domains that a list may name.
    """

    domain: str
    names: tuple[str, ...]
    cases: tuple[str, ...]
    data_root: str
    groups: tuple[tuple[str, ...], ...] = ()
    folder: str = ''
    paths: tuple[str, ...] = ()
    others: frozenset[str] = frozenset()

    @cached_property
    def _members(self) -> dict[str, list[str]]:
        """Return group or case -> names."""
        members: dict[str, list[str]] = {}
        groups = self.groups or ((),) * len(self.names)
        for name, case, others in zip(self.names, self.cases, groups, strict=True):
            for group in dict.fromkeys((*others, case)):
                members.setdefault(group, []).append(name)
        return members

    @cached_property
    def case_of(self) -> dict[str, str]:
        """Return name -> case."""
        return dict(zip(self.names, self.cases, strict=True))

    @cached_property
    def _path_of(self) -> dict[str, str]:
        return dict(zip(self.names, self.paths, strict=True)) if self.paths else {}

    def called(self, name: str) -> list[str]:
        """Return the names that are meant by a name: that of an image, a volume or a case.

        Raises:
            ValueError: an image has the name of a case with other images, too.
        """
        group = self._members.get(name, [])
        if name not in self.case_of:
            return group
        if len(group) > 1:
            raise ValueError(f'it is an image and a case or volume of {len(group)} images')
        return [name]

    def find(self, text: str) -> list[str] | None:
        """Return the names that an entry of a list means.

        It may have folders, as a path below the data root, the domain or the working directory or
        of another machine has them; they must be those of the image.

        Returns:
            The names, none if there is no such image; None if it is one of another domain.
        """
        text = normal(text)
        if text in self.case_of or text in self._members:
            return self.called(text)
        folders, last = _parts(text)
        here = [name for name in self._called_with_suffix(last) if self._lies_in(folders, name)]
        where = f'/{"/".join(folders)}/'
        if not here and any(f'/{other}/' in where for other in self.others):
            return None
        return here

    def _called_with_suffix(self, last: str) -> list[str]:
        stem, suffix = split_suffix(last)
        found = self.called(last)
        return found or (self.called(stem) if suffix.lower() in KNOWN_SUFFIXES else [])

    def _lies_in(self, folders: list[str], name: str) -> bool:
        """Return whether the folders of an entry are those of an image."""
        path = os.path.dirname(self._path_of.get(name, ''))
        root = normal(os.path.abspath(self.data_root)).split(os.sep)
        whole = normal(os.path.abspath(path)).split(os.sep) if path else root
        below = whole[len(root) :] if whole[: len(root)] == root else []
        rest = iter((self.domain, *below))
        if all(folder in rest for folder in folders):  # in this order
            return True
        return (
            folders == whole[-len(folders) :] or bool(below) and (folders[-len(below) :] == below)
        )

    def find_line(self, text: str) -> list[str] | None:
        """Return the names that a line of a list means, see `find`; it may have columns.

        Raises:
            ValueError: a further column names another image.
        """
        for listed, columns in readings(text):
            found = self.find(listed)
            if found is None:
                return None
            for column in columns if found else ():
                other = self._called_with_suffix(_parts(normal(column))[1])
                if other and not set(found) <= set(other):
                    raise ValueError(f'it names "{listed}" and "{column}"')
            if found:
                return found
        return []

    def hint(self, text: str) -> str:
        """Return a sentence that says which image an entry may mean, or nothing."""
        for listed, _ in readings(text):
            last = _parts(normal(listed))[1]
            if found := self._called_with_suffix(last):
                return f' There is {self._path_of.get(found[0], found[0])}.'
            stem, suffix = split_suffix(last)
            last = stem if suffix.lower() in KNOWN_SUFFIXES else last
            if said := did_you_mean(last, [*self.names, *self._members]):
                return said
        return ''

    def of_cases(self, chosen: Sequence[str]) -> list[str]:
        """Return the names that belong to the chosen cases.

        Raises:
            ValueError: a case is not there.
        """
        chosen = as_names(chosen, 'The list of cases')
        known = set(self.cases)
        missing = [case for case in chosen if case not in known]
        if missing:
            shown = ', '.join(sorted(known)[:12])
            raise ValueError(
                f'Domain "{self.domain}" has no case "{missing[0]}" (it has {shown}, ...).'
                + did_you_mean(missing[0], known)
            )
        wanted = set(chosen)
        return [n for n, case in zip(self.names, self.cases, strict=True) if case in wanted]

    def keep(self, names: Collection[str]) -> 'DomainNames':
        """Return the same domain with fewer names."""
        wanted = set(names)
        kept = [index for index, name in enumerate(self.names) if name in wanted]

        def of(values: tuple) -> tuple:
            return tuple(values[index] for index in kept) if values else ()

        return replace(
            self,
            names=of(self.names),
            cases=of(self.cases),
            groups=of(self.groups),
            paths=of(self.paths),
        )


def read_list(
    entries: str | Sequence[str], pool: DomainNames, skip: Collection[str] = ()
) -> list[str]:
    """Return the names of a list that belong to a domain, in the order of the list.

    Args:
        entries: a text file below the data root (`{domain}` is filled in) with one image a line,
            or the names themselves: of images, volumes or cases, with or without folders and
            suffix. A line with the folder of another domain belongs to that one alone; of several
            columns the first one counts.
        pool: the domain's images.
        skip: names, volumes or cases that the list may hold although the pool has them not.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line names no image of the domain, or more than one.
    """
    return [name for _, name in read_list_of(entries, [pool], [skip])]


def read_list_of(
    entries: str | Sequence[str],
    pools: Sequence[DomainNames],
    skips: Sequence[Collection[str]] = (),
) -> list[tuple[str, str]]:
    """Return (domain, name) of the images of a list that names those of several domains.

    The arguments and errors are those of `read_list`; a line that fits images of two domains is
    an error, too.
    """
    if len(pools) > 1 and isinstance(entries, str) and '{domain}' in entries:
        skips = skips or ((),) * len(pools)
        each = (read_list_of(entries, [p], [s]) for p, s in zip(pools, skips, strict=True))
        return [pair for pairs in each for pair in pairs]
    found: dict[tuple[str, str], None] = {}
    missing: list[Entry] = []
    for entry in read_entries(entries, pools[0].data_root, pools[0].domain):
        hits = [(pool, _find(pool, entry)) for pool in pools]
        meant = [pool for pool, names in hits if names]
        if len(meant) > 1:
            raise ValueError(
                f'"{entry.text}", {entry.where}, is an image of the domains '
                f'{" and ".join(pool.domain for pool in meant)}. Write domain/name.'
            )
        elsewhere = entry.shared and all(names is None for _, names in hits)
        if meant or elsewhere or is_comment(entry.text) or _skipped(entry.text, skips):
            found.update(
                {(pool.domain, name): None for pool, names in hits for name in names or ()}
            )
        else:
            missing.append(entry)
    if missing:
        _refuse(missing, pools)
    return list(found)


def _find(pool: DomainNames, entry: Entry) -> list[str] | None:
    try:
        return pool.find_line(entry.text)
    except ValueError as error:
        raise ValueError(
            f'Domain "{pool.domain}": "{entry.text}", {entry.where}, is ambiguous: {error}. Name '
            'one image a line.'
        ) from None


def _skipped(text: str, skips: Sequence[Collection[str]]) -> bool:
    names = {name for listed, _ in readings(text) for name in _stems(_parts(normal(listed))[1])}
    return any(name in skip for skip in skips for name in names)


def _refuse(missing: Sequence[Entry], pools: Sequence[DomainNames]) -> None:
    first, pool = missing[0], pools[0]
    owners = f'Domain "{pool.domain}" has' if len(pools) == 1 else 'The domains have'
    place = f' in {pool.folder}' if pool.folder and len(pools) == 1 else ''
    more = f' ({len(missing)} missing in all)' if len(missing) > 1 else ''
    hint = next((said for one in pools if (said := one.hint(first.text))), '')
    raise ValueError(
        f'{owners} no image "{first.text}"{place}, which {first.where} names{more}.{hint} Correct '
        'the list (a line that begins with # is a comment); in one for several domains write '
        'domain/name.'
    )


def _stems(last: str) -> tuple[str, ...]:
    stem, suffix = split_suffix(last)
    return (last, stem) if suffix.lower() in KNOWN_SUFFIXES else (last,)


def _parts(text: str) -> tuple[list[str], str]:
    """Split a path of any system into its folders and its last part."""
    parts = [p for p in re.split(r'[/\\]', text) if p not in ('', '.', '..')]
    if parts and re.fullmatch('[A-Za-z]:', parts[0]):
        parts = parts[1:]
    return (parts[:-1], parts[-1]) if parts else ([], '')
