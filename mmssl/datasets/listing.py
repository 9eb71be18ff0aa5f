"""Which files are there, and which mask belongs to which image; nothing is opened."""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase

from .decode import split_suffix
from .layout import DomainLayout

Folders = Sequence[Sequence[str]]


def find_images(folders: Folders, layout: DomainLayout, domain: str) -> dict[str, str]:
    """Return name -> path of the images in some folders, sorted by name.

    Args:
        folders: what `DomainLayout.folders` gives; an image of an earlier group hides one of the
            same name in a later group.
        layout: how the files are laid out.
        domain: name of the domain, for messages.

    Raises:
        FileNotFoundError: no folder is there, or none has an image.
        ValueError: two images of a group have the same name.
    """
    found: dict[str, str] = {}
    for group in _existing(folders, domain, 'folder'):
        here: dict[str, str] = {}
        for name, path in _names(group, layout.image_suffixes):
            if layout.shared_folder and layout.mask_name != '{name}':
                if layout.mask_regex.fullmatch(name):
                    continue
            if not fnmatchcase(name, layout.image_name):
                continue
            if name in here:
                raise ValueError(
                    f'Domain "{domain}": {here[name]} and {path} have the same name. Remove one.'
                )
            here[name] = path
        found = {**here, **found}
    if not found:
        raise FileNotFoundError(
            f'Domain "{domain}": no image in {in_words(folders)} '
            f'(looked for {", ".join(layout.image_suffixes)}).'
        )
    return found if len(folders) == 1 else dict(sorted(found.items()))


def find_masks(folders: Folders, layout: DomainLayout, domain: str) -> dict[str, tuple[str, ...]]:
    """Return image name -> mask paths in some folders.

    Raises:
        FileNotFoundError: no folder is there.
    """
    found: dict[str, tuple[str, ...]] = {}
    for group in _existing(folders, domain, 'folder of masks'):
        here: dict[str, tuple[str, ...]] = {}
        for name, path in _names(group, layout.mask_suffixes):
            match = layout.mask_regex.fullmatch(name)
            if match is not None and fnmatchcase(match['name'], layout.image_name):
                here[match['name']] = (*here.get(match['name'], ()), path)
        found = {**here, **found}
    return found


def in_words(folders: Folders) -> str:
    """Name the folders in a message."""
    names = [name for group in folders for name in group]
    more = f' or {len(names) - 4} more' if len(names) > 4 else ''
    return ' or '.join(names[:4]) + more or 'a folder that fits'


def _existing(folders: Folders, domain: str, what: str) -> list[list[str]]:
    found = [[name for name in group if os.path.isdir(name)] for group in folders]
    if not any(found):
        raise FileNotFoundError(f'Domain "{domain}": there is no {what} {in_words(folders)}.')
    return found


def _names(folders: Sequence[str], suffixes: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, path) of the files in some folders, sorted by file name in each."""
    found = []
    for folder in folders:
        for file in sorted(os.listdir(folder)):
            name, suffix = split_suffix(file)
            if suffix.lower() in suffixes and not file.startswith('.'):
                found.append((name, os.path.join(folder, file)))
    return found
