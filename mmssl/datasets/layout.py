"""Where the images and masks of one domain lie, and which file belongs to which."""

import os
import re
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .decode import READERS, LabelMap

KNOWN_SUFFIXES = tuple(READERS)


class Sample(NamedTuple):
    """One image of a data set.

    Attributes:
        domain: name of the scanner, site or class of images.
        name: file name without suffix.
        case: patient or volume, as the case pattern finds it in the name.
        slice: position in the case, or None.
        img_path: image file.
        mask_paths: mask files, None where the mask must not be opened.
    """

    domain: str
    name: str
    case: str
    slice: str | None
    img_path: str
    mask_paths: tuple[str, ...] | None

    @property
    def labelled(self) -> bool:
        """Whether the sample comes with a mask."""
        return self.mask_paths is not None


@dataclass(frozen=True)
class DomainLayout:
    """How the files of a domain are laid out and what they mean; the options of a data config.

    Attributes:
        image_dir: folder of the images below the data root; `{domain}` and `{split}` are filled
            in (`{split}` only with a split of type 'folder').
        mask_dir: folder of the masks, may be the same one.
        mask_name: name of a mask without suffix; `{name}` is the image's, `*` stands for
            anything, so that one image can have several masks (`'{name}_mask*'`).
        image_suffixes: suffixes of image files.
        mask_suffixes: suffixes of mask files.
        split: which names are for training and which for testing, see `splits.split_names`.
        case_pattern: regular expression for the name of an image with a group `case` and, if
            wanted, `slice`; None makes every image its own case.
        label_map: mask value, range or colour -> class id, see `LabelMap`.
        channels: 1 or 3.
        spacing: pixel size (row, column) in mm, or None.
    """

    image_dir: str = '{domain}/{split}/image'
    mask_dir: str = '{domain}/{split}/mask'
    mask_name: str = '{name}'
    image_suffixes: tuple[str, ...] = KNOWN_SUFFIXES
    mask_suffixes: tuple[str, ...] = KNOWN_SUFFIXES
    split: dict = field(default_factory=lambda: dict(type='folder'))
    case_pattern: str | None = None
    label_map: LabelMap | dict | None = None
    channels: int = 1
    spacing: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without looking at files."""
        if '{name}' not in self.mask_name:
            raise ValueError(f'mask_name = "{self.mask_name}" must contain {{name}}.')
        if self.label_map is None:
            raise ValueError(
                'label_map is missing: say which class each mask value is, '
                'for instance label_map={0: 0, 255: 1}.'
            )
        by_folder = self.split.get('type') == 'folder'
        for option in ('image_dir', 'mask_dir'):
            value = getattr(self, option)
            if ('{split}' in value) != by_folder:
                raise ValueError(
                    f'{option} = "{value}" does not go with split type '
                    f'"{self.split.get("type")}": '
                    + ('put {split} into it.' if by_folder else 'leave {split} out of it.')
                )
        same_files = self.mask_name == '{name}' and set(self.mask_suffixes) & set(
            self.image_suffixes
        )
        if self.shared_folder and same_files:
            raise ValueError(
                f'Images and masks share "{self.image_dir}": tell them apart with mask_name '
                '(such as "{name}_mask*") or with image_suffixes and mask_suffixes.'
            )
        object.__setattr__(self, 'label_map', LabelMap.build(self.label_map))

    @classmethod
    def build(cls, *options: dict) -> 'DomainLayout':
        """Merge options from left to right; the later one counts.

        Raises:
            ValueError: there is no such option.
        """
        merged: dict = {}
        for option in options:
            merged.update(option)
        cls._check_names(merged)
        return cls(**merged)

    def override(self, options: dict) -> 'DomainLayout':
        """Return a copy with some options changed.

        Raises:
            ValueError: there is no such option.
        """
        self._check_names(options)
        return replace(self, **options)

    @classmethod
    def _check_names(cls, options: dict) -> None:
        for name in options:
            if name not in cls.__dataclass_fields__:
                known = ', '.join(cls.__dataclass_fields__)
                raise ValueError(f'Data set option "{name}" is not known (known: {known}).')

    @property
    def shared_folder(self) -> bool:
        """Whether images and masks lie in one folder."""
        return os.path.normpath(self.image_dir) == os.path.normpath(self.mask_dir)

    @property
    def mask_regex(self) -> re.Pattern:
        """Return what finds `name` in the name of a mask."""
        pattern = re.escape(self.mask_name).replace(r'\*', '.*')
        return re.compile(pattern.replace(r'\{name\}', '(?P<name>.+?)', 1))

    def case_of(self, name: str, domain: str) -> tuple[str, str | None]:
        """Return case and slice of an image's name.

        Raises:
            ValueError: the case pattern does not fit.
        """
        if self.case_pattern is None:
            return name, None
        match = re.fullmatch(self.case_pattern, name)
        if match is None:
            raise ValueError(
                f'Domain "{domain}": the name "{name}" does not fit '
                f'case_pattern = r"{self.case_pattern}". Change one of the two.'
            )
        groups = match.groupdict()
        return groups['case'], groups.get('slice')


def _names(folder: str, suffixes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return (name, path) of the files in a folder, sorted by file name; opens no file."""
    files = sorted(file for file in os.listdir(folder) if not file.startswith('.'))
    pairs = (os.path.splitext(file) + (file,) for file in files)
    return [
        (name, os.path.join(folder, file))
        for name, suffix, file in pairs
        if suffix.lower() in suffixes
    ]


def find_images(folder: str, layout: DomainLayout, domain: str) -> dict[str, str]:
    """Return name -> path of the images in a folder, sorted by file name.

    Raises:
        FileNotFoundError: the folder is missing or has no image.
        ValueError: two images have the same name.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'Domain "{domain}": there is no folder {folder}.')
    found: dict[str, str] = {}
    for name, path in _names(folder, tuple(layout.image_suffixes)):
        if layout.shared_folder and layout.mask_name != '{name}':
            if layout.mask_regex.fullmatch(name):
                continue
        if name in found:
            raise ValueError(
                f'Domain "{domain}": {found[name]} and {path} have the same name. Remove one.'
            )
        found[name] = path
    if not found:
        raise FileNotFoundError(
            f'Domain "{domain}": no image in {folder} '
            f'(looked for {", ".join(layout.image_suffixes)}).'
        )
    return found


def find_masks(folder: str, layout: DomainLayout, domain: str) -> dict[str, tuple[str, ...]]:
    """Return image name -> mask paths of a folder; files are listed, not opened.

    Raises:
        FileNotFoundError: the folder is missing.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'Domain "{domain}": there is no folder of masks {folder}.')
    found: dict[str, tuple[str, ...]] = {}
    for name, path in _names(folder, tuple(layout.mask_suffixes)):
        match = layout.mask_regex.fullmatch(name)
        if match is not None:
            key = match['name']
            found[key] = (*found.get(key, ()), path)
    return found
