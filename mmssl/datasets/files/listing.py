"""Which files are there, and which mask belongs to which image; nothing is opened."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from mmssl.datasets.files.layout import KNOWN_SUFFIXES, DomainLayout
from mmssl.datasets.files.naming import normal
from mmssl.datasets.reading.decode import split_suffix
from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats import FORMATS, holds_volumes

NO_IMAGES = tuple(
    '.txt .csv .tsv .json .xml .yaml .yml .md .rst .html .pdf .doc .docx .xls .xlsx .log .list '
    '.ini .db .lock .py .m .sh .zip .tar .tgz .7z .rar .md5 .sha256 .bval .bvec .tmp .bak'.split()
) + ('',)
"""Suffixes of what people keep beside images."""


def find_images(folders: Sequence[str], layout: DomainLayout, domain: str) -> dict[str, str]:
    """Return name -> path of the images in some folders, sorted by name.

    Raises:
        FileNotFoundError: no folder is there, or none has an image.
        ValueError: two images have the same name, or an image is a broken link.
    """
    found: dict[str, str] = {}
    masks_too = layout.shared_folder and layout.mask_name != '{name}'
    for name, path in _names(folders, layout.image_suffixes, domain, 'folder'):
        if masks_too and layout.mask_regex.fullmatch(name):
            continue
        if not fnmatchcase(name, layout.image_name):
            continue
        if layout.named_by == 'folder':
            name = _folder_name(path)
        if name in found:
            raise ValueError(_same_name(domain, found[name], path, 'image_suffixes'))
        check_link(path)
        found[name] = path
    if not found:
        raise FileNotFoundError(
            f'Domain "{domain}": no image in {in_words(folders)} '
            f'(looked for {", ".join(layout.image_suffixes)}{_instead(folders)}).'
        )
    return found if len(folders) == 1 else dict(sorted(found.items()))


def find_masks(
    folders: Sequence[str], layout: DomainLayout, domain: str, images: Mapping[str, str]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return image name -> mask paths in some folders, and the masks without image.

    An image has several masks only where `mask_name` says so by a `*`.

    Args:
        folders: where the masks are.
        layout: how they are named.
        domain: name of the domain.
        images: the images by name.

    Raises:
        FileNotFoundError: no folder is there.
        ValueError: two masks have the same name, or one fits two images.
    """
    found: dict[str, tuple[str, ...]] = {}
    orphans = []
    several = '*' in layout.mask_name
    seen: dict[tuple[str, ...], str] = {}
    for name, path in _names(folders, layout.mask_suffixes, domain, 'folder of masks'):
        if layout.named_by == 'folder':
            if not fnmatchcase(name, layout.mask_in_folder):
                continue
            fits, owners = True, [owner for owner in (_folder_name(path),) if owner in images]
            name = _folder_name(path)
        else:
            match = layout.mask_regex.fullmatch(name)
            if match is None:
                continue
            owners = _owners(name, layout, images)
            fits = fnmatchcase(match['name'], layout.image_name)
        if len(owners) > 1:
            raise ValueError(
                f'Domain "{domain}": mask {path} fits the images {owners[0]} and {owners[1]} by '
                f'mask_name = "{layout.mask_name}". Say more in mask_name or rename the mask.'
            )
        if not owners:
            if fits:
                orphans.append(path)
            continue
        # Several masks of one image may lie in several folders under one name.
        key = (name, os.path.dirname(path)) if several else (name,)
        if key in seen:
            raise ValueError(_same_name(domain, seen[key], path, 'mask_suffixes'))
        seen[key] = path
        found[owners[0]] = (*found.get(owners[0], ()), path)
    return found, orphans


def _folder_name(path: str) -> str:
    return normal(os.path.basename(os.path.dirname(path)))


def _owners(name: str, layout: DomainLayout, images: Mapping[str, str]) -> list[str]:
    """Return the images whose mask has this name."""
    before, _, after = layout.mask_name.partition('{name}')
    starts = [i for i in range(len(name)) if re.fullmatch(_as_regex(before), name[:i])]
    stops = [j for j in range(1, len(name) + 1) if re.fullmatch(_as_regex(after), name[j:])]
    pieces = {name[i:j] for i in starts for j in stops if i < j}
    return sorted(piece for piece in pieces if piece in images)


def _as_regex(pattern: str) -> str:
    return re.escape(pattern).replace(r'\*', '.*')


def find_unread(folders: Sequence[str], layout: DomainLayout, names: Collection[str]) -> list[str]:
    """Return the files in some folders that look like images and are of no format that is read.

    Hidden files, notes, and what belongs to a file that is read (`names`) are none.
    """
    found = []
    for folder in (folder for folder in dict.fromkeys(folders) if os.path.isdir(folder)):
        for file in sorted(os.scandir(folder), key=lambda entry: entry.name):
            name, suffix = split_suffix(file.name)
            known = suffix.lower() in (*KNOWN_SUFFIXES, *NO_IMAGES)
            if known or file.name.startswith('.') or normal(name) in names or not file.is_file():
                continue
            if fnmatchcase(name, layout.image_name):
                found.append(file.path)
    return found


def check_link(path: str) -> None:
    """Raise a DataError if a path is a link to a file that is not there."""
    if os.path.islink(path) and not os.path.exists(path):
        raise DataError(
            f'{path} is a link to {os.readlink(path)}, which is not there. Remove it or put the '
            'file there.'
        )


def in_words(folders: Sequence[str]) -> str:
    """Name the folders in a message."""
    more = f' or {len(folders) - 4} more' if len(folders) > 4 else ''
    return ' or '.join(folders[:4]) + more or 'any folder that fits'


def _same_name(domain: str, first: str, second: str, option: str) -> str:
    suffixes = [split_suffix(path)[1].lower() for path in (first, second)]
    beside = [split_suffix(file)[1].lower() for file in os.listdir(os.path.dirname(second))]
    usual = max(suffixes, key=beside.count)
    choose = f', or choose one kind: {option}=("{usual}",)' * (suffixes[0] != suffixes[1])
    return f'Domain "{domain}": {first} and {second} have the same name. Remove one{choose}.'


def _instead(folders: Sequence[str]) -> str:
    """Say what the folders hold in place of images."""
    there = [folder for folder in folders if os.path.isdir(folder)]
    held = [e for folder in there for e in os.scandir(folder) if not e.name.startswith('.')]
    if not held:
        return ''
    first = min(held, key=lambda entry: entry.name)
    kind = 'folders' if first.is_dir() else 'files'
    return f'; there are {kind} such as {first.name}'


def _names(
    folders: Sequence[str], suffixes: Sequence[str], domain: str, what: str
) -> Iterator[tuple[str, str]]:
    """Yield (name, path) of the files in those folders that are there, sorted by file name.

    A folder with DICOM files is one image or mask of its name where DICOM suffixes are asked for.
    Regular files alone (or links to them) count: reading a pipe or a device would wait for ever.
    A link to what is not there counts, too, so that nothing is missing without a word.
    """
    listed = {folder: _list(folder, domain, what) for folder in dict.fromkeys(folders)}
    if all(files is None for files in listed.values()):
        raise FileNotFoundError(f'Domain "{domain}": there is no {what} {in_words(folders)}.')
    series_too = bool({*suffixes} & {*FORMATS['dicom'].suffixes})
    for file in (file for files in listed.values() for file in files or ()):
        if file.name.startswith('.'):
            continue
        if file.is_dir():
            if series_too and holds_volumes(file.path):
                yield normal(file.name), file.path
            continue
        name, suffix = split_suffix(file.name)
        if suffix.lower() in suffixes and (file.is_file() or not os.path.exists(file.path)):
            yield normal(name), file.path


def _list(folder: str, domain: str, what: str) -> list[os.DirEntry] | None:
    """Return what is in a folder, sorted by name, None if it is not there."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise DataError(f'Domain "{domain}": the {what} {folder} is a file.') from None
    except OSError as error:
        raise DataError(
            f'Domain "{domain}": the {what} {folder} cannot be read ({error.strerror}). Set its '
            'permissions or name another folder.'
        ) from None
