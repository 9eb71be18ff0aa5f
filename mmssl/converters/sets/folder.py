"""Any other data set: images and masks found by two patterns, domains by folder or by a table."""

import argparse
import csv
import re
from collections.abc import Mapping
from pathlib import Path

from mmssl.converters.base import Item
from mmssl.converters.faults import Fault, Unfit
from mmssl.converters.pairs import Pairs, case_pattern
from mmssl.converters.raw import Raw

ONE = 'all'
"""Domain of data sets that have one alone."""


class Folder(Pairs):
    """Images and masks of any known format, to slices or volumes with lists.

    Patterns are names below RAW: {name} is what image and mask have in common, {domain} the scanner
    or site, * anything but a slash, ** also with slashes. One that ends with a slash finds folders,
    which hold a DICOM series each.
    """

    name = 'folder'
    summary = 'any other images and masks, found by two patterns, to slices or volumes'
    title = 'mine'
    settings = (*Pairs.settings, 'images', 'masks', 'domains', 'values', 'case', 'unlabelled')

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Add where images, masks and domains are found."""
        add = parser.add_argument
        add(
            '--images',
            required=True,
            metavar='PATTERN',
            help="which files are images, such as '{domain}/images/{name}.nii.gz'",
        )
        add(
            '--masks',
            required=True,
            metavar='PATTERN',
            help="which are their masks, such as '{domain}/labels/{name}_seg.nii.gz'",
        )
        add(
            '--domains',
            metavar='FILE',
            help='CSV file with columns name and domain, if no folder tells the domain',
        )
        add(
            '--values',
            type=int,
            nargs='+',
            metavar='N',
            help='the values that masks may have; others are a fault (any)',
        )
        add(
            '--case',
            metavar='REGEX',
            help='regular expression for a name, with a group "case": the patient (each its own)',
        )
        add(
            '--unlabelled',
            action='store_true',
            help='images may lack a mask, and are for training then',
        )
        super().add_options(parser)

    def plan(self, raw: Raw, faults: list[Fault]) -> list[Item]:
        """Return the images that the pattern finds, with the masks of the same name and domain."""
        options = self.options
        images = _found(raw, options.images, '--images', faults)
        masks = _found(raw, options.masks, '--masks', faults)
        table = self._table(faults)
        sources: dict[tuple[str, str], dict[str, str]] = {}
        for (domain, name), path in images.items():
            mask = masks.pop((domain, name), None) or masks.pop(('', name), None)
            sources[self._domain(domain, name, table, faults), name] = (
                dict(image=path, mask=mask) if mask else dict(image=path)
            )
        for path in masks.values():
            if path not in images.values():
                faults.append(Fault(path, 'a mask without its image.'))
        if not images:
            faults.append(Fault(str(raw.root), f'no file fits --images {options.images!r}.'))
        return self._of_domains(sources, faults)

    def _of_domains(
        self, sources: Mapping[tuple[str, str], dict[str, str]], faults: list[Fault]
    ) -> list[Item]:
        items = []
        for domain in sorted({domain for domain, _ in sources}):
            own = {name: files for (other, name), files in sources.items() if other == domain}
            case_of = {name: self._case(name, faults) for name in own}
            bare = {case_of[name] for name, files in own.items() if 'mask' not in files}
            if not self.options.unlabelled:
                bare = set()
            part_of = self.split(domain, case_of.values(), bare, faults)
            for name in sorted(own):
                missing = []
                if 'mask' not in own[name] and not self.options.unlabelled:
                    missing = [f'no mask fits --masks {self.options.masks!r}.']
                part, case = part_of[case_of[name]], case_of[name]
                items.append(Item(domain, part, name, own[name], {}, case, missing))
        return items

    def _case(self, name: str, faults: list[Fault]) -> str:
        match = re.fullmatch(self.case(), name)
        if match is None or not match.groupdict().get('case'):
            what = f'--case {self.options.case!r} finds no patient in the name.'
            faults.append(Fault(name, what))
            return name
        sliced = re.fullmatch(case_pattern(self.case()), f'{name}_slice_1')
        if sliced is None or sliced['case'] != match['case']:
            what = f'--case {self.options.case!r} takes the number of a slice for the patient.'
            faults.append(Fault(name, f'{what} Write it with ? after a + or *.'))
        return match['case']

    def case(self) -> str:
        """Return what finds the patient in the name of an image."""
        return self.options.case or super().case()

    def _domain(
        self, domain: str, name: str, table: Mapping[str, str] | None, faults: list[Fault]
    ) -> str:
        if table is None:
            return domain or ONE
        if name not in table:
            faults.append(Fault(name, f'{self.options.domains} does not say its domain.'))
        return table.get(name, ONE)

    def _table(self, faults: list[Fault]) -> dict[str, str] | None:
        """Return name -> domain as the CSV file says."""
        if not self.options.domains:
            return None
        text = Path(self.options.domains).read_text(encoding='utf-8-sig')
        rows = list(csv.DictReader(text.splitlines()))
        if not rows or not {'name', 'domain'} <= set(rows[0]):
            raise Unfit(f'{self.options.domains} has no columns "name" and "domain". Add them.')
        return {row['name']: _plain(row['domain'] or ONE) for row in rows}

    def labels(self) -> tuple[int, ...] | None:
        """Return the values that masks may have."""
        return tuple(self.options.values) if self.options.values else None


def _found(raw: Raw, pattern: str, option: str, faults: list[Fault]) -> dict[tuple[str, str], str]:
    """Return (domain or '', name) -> file of what fits a pattern."""
    found: dict[tuple[str, str], str] = {}
    for path, match in raw.find(as_regex(pattern, option)).items():
        groups = match.groupdict()
        key = (_plain(groups.get('domain') or ''), groups['name'])
        if key in found:
            what = f'has the name "{key[1]}" as {found[key]} has. Tell them apart in {option}.'
            faults.append(Fault(path, what))
        else:
            found[key] = path
    return found


def _plain(domain: str) -> str:
    """Return a domain's name as the name of a folder."""
    return re.sub(r'[^\w.-]+', '_', domain)


def as_regex(pattern: str, option: str) -> str:
    r"""Return a pattern of names as a regular expression.

    Raises:
        Unfit: there is no {name} in it.

    Example:
        >>> as_regex('{domain}/image/{name}*.png', '--images')
        '(?P<domain>[^/]+)/image/(?P<name>[^/]+?)[^/]*\\.png'
    """
    if '{name}' not in pattern:
        raise Unfit(f'{option} {pattern!r} must contain {{name}}.')
    meaning = {'**': '.*', '*': '[^/]*', '?': '[^/]'}
    seen: set[str] = set()

    def one(match: re.Match[str]) -> str:
        word = match[0]
        if word in meaning:
            return meaning[word]
        if word not in ('{name}', '{domain}'):
            return re.escape(word)
        group = word[1:-1]
        if group in seen:
            return f'(?P={group})'
        seen.add(group)
        return f'(?P<{group}>[^/]+{"?" if group == "name" else ""})'

    return re.sub(r'\{name\}|\{domain\}|\*\*|.', one, pattern)
