"""Which files are there, and which mask belongs to which image; nothing is opened."""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase

from .decode import split_suffix
from .layout import DomainLayout


def find_images(folders: Sequence[str], layout: DomainLayout, domain: str) -> dict[str, str]:
    """Return name -> path of the images in some folders, sorted by name.

    Raises:
        FileNotFoundError: no folder is there, or none has an image.
        ValueError: two images have the same name.
    """
    found: dict[str, str] = {}
    masks_too = layout.shared_folder and layout.mask_name != '{name}'
    for name, path in _names(folders, layout.image_suffixes, domain, 'folder'):
        if masks_too and layout.mask_regex.fullmatch(name):
            continue
        if not fnmatchcase(name, layout.image_name):
            continue
        if name in found:
            raise ValueError(
                f'Domain "{domain}": {found[name]} and {path} have the same name. Remove one.'
            )
        found[name] = path
    if not found:
        raise FileNotFoundError(
            f'Domain "{domain}": no image in {in_words(folders)} '
            f'(looked for {", ".join(layout.image_suffixes)}).'
        )
    return found if len(folders) == 1 else dict(sorted(found.items()))


def find_masks(
    folders: Sequence[str], layout: DomainLayout, domain: str
) -> dict[str, tuple[str, ...]]:
    """Return image name -> mask paths in some folders.

    Raises:
        FileNotFoundError: no folder is there.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, path in _names(folders, layout.mask_suffixes, domain, 'folder of masks'):
        match = layout.mask_regex.fullmatch(name)
        if match is not None and fnmatchcase(match['name'], layout.image_name):
            found[match['name']] = (*found.get(match['name'], ()), path)
    return found


def in_words(folders: Sequence[str]) -> str:
    """Name the folders in a message."""
    more = f' or {len(folders) - 4} more' if len(folders) > 4 else ''
    return ' or '.join(folders[:4]) + more or 'any folder that fits'


def _names(
    folders: Sequence[str], suffixes: Sequence[str], domain: str, what: str
) -> list[tuple[str, str]]:
    """Return (name, path) of the files in those folders that are there, sorted by file name.

    Regular files alone (or links to them) count: reading a pipe or a device would wait for ever.
    """
    existing = [folder for folder in folders if os.path.isdir(folder)]
    if not existing:
        raise FileNotFoundError(f'Domain "{domain}": there is no {what} {in_words(folders)}.')
    found = []
    for folder in existing:
        with os.scandir(folder) as entries:
            files = sorted(entries, key=lambda entry: entry.name)
        for file in files:
            name, suffix = split_suffix(file.name)
            fits = suffix.lower() in suffixes and not file.name.startswith('.')
            if fits and file.is_file():
                found.append((name, os.path.join(folder, file.name)))
    return found
