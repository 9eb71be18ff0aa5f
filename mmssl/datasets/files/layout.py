"""Where the images and masks of one domain lie, and what their names mean."""

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mmssl.datasets.reading.decode import LabelMap, known_suffixes
from mmssl.datasets.reading.formats import FORMATS
from mmssl.datasets.reading.geometry import PLANES, Axes
from mmssl.utils.config.components import check_types

KNOWN_SUFFIXES = known_suffixes()


class Sample(NamedTuple):
    """One image of a data set: a file, or a slice of a file that holds a volume.

    Attributes:
        domain: name of the scanner, site or class of images.
        name: file name without suffix, followed by `_slice_<n>` (from 1) for a slice of a volume.
        case: patient, as the case pattern finds it in the name.
        slice: position in the volume, or None.
        img_path: image file.
        mask_paths: mask files, None where the mask must not be opened.
        volume: what is stacked again for a score by volume; a case can have several.
        index: number of the slice in its file, from 0; None where the file holds one image, and of
            a whole volume.
        slices: the files of a whole volume that lies in several, in order; `img_path` then is that
            of the first, `mask_paths` those of all.
    """

    domain: str
    name: str
    case: str
    slice: str | None
    img_path: str
    mask_paths: tuple[str, ...] | None
    volume: str = ''
    index: int | None = None  # type: ignore[assignment]  # takes the name of tuple.index
    slices: tuple['SliceFile', ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether the sample comes with a mask."""
        return self.mask_paths is not None

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names of its files, without suffix."""
        if self.slices:
            return tuple(file.name for file in self.slices)
        return (self.name if self.index is None else self.name[: -len(f'_slice_{self.index + 1}')],)

    def with_masks(self, masks: Mapping[str, tuple[str, ...]]) -> 'Sample':
        """Return the sample with its masks, which are given by the names of its files."""
        slices = tuple(file._replace(mask_paths=masks[file.name]) for file in self.slices)
        paths = tuple(path for name in self.files for path in masks[name])
        return self._replace(mask_paths=paths, slices=slices)


class SliceFile(NamedTuple):
    """A file that holds one slice of a volume.

    Attributes:
        name: its name without suffix.
        img_path: where it is.
        mask_paths: its mask files, None where they must not be opened.
    """

    name: str
    img_path: str
    mask_paths: tuple[str, ...] | None = None


class Place(NamedTuple):
    """What the case pattern finds in a name: patient, volume and slice."""

    case: str
    volume: str
    slice: str | None


@dataclass(frozen=True)
class DomainLayout:
    """How the files of a domain are laid out and what they mean; the options of a data config.

    Images are pictures, or files (of DICOM: folders) with a slice (2-D) or a volume (3-D) each.
    With `sample='slice'` every slice of a volume is an image; with `'volume'` a whole volume is,
    be it one file or several with a slice each, which are stacked by their numbers.

    Attributes:
        image_dir: folder of the images below the data root, or several, of which those that are
            there are used; `{domain}` and `{split}` are filled in (`{split}` only with a split of
            type 'folder'), `*` stands for anything.
        mask_dir: folder of the masks, may be the same one.
        sample: 'slice' or 'volume': what is drawn, labelled and counted as one image.
        named_by: 'file', or 'folder' where images lie in a folder each, whose name is theirs,
            under one name that `image_name` gives (`mask_name` that of the masks).
        image_name: which files are images, by their name without suffix; `*` stands for anything.
        mask_name: name of a mask without suffix; `{name}` is the image's, `*` stands for
            anything, so that one image can have several masks (`'{name}_mask*'`).
        image_suffixes: suffixes of image files.
        mask_suffixes: suffixes of mask files. HDF5 files can hold both: where folder, name and
            suffix of image and mask are the same, the mask is another dataset of the file.
        image_key: name of an image's dataset in an HDF5 file.
        mask_key: name of a mask's dataset in an HDF5 file.
        split: which names are for training and which for testing, see `splits.split_names`.
        case_pattern: regular expression for the name of an image with a group `case` (patient)
            and, if wanted, `volume` (of the case, by default all of it) and `slice`; None makes
            every image its own case. A file whose name has a slice is not taken for a volume.
        label_map: mask value, range or colour -> class id, see `LabelMap`.
        value_range: intensities that become 0 and 255, `(low, high)` or 'volume' for the smallest
            and largest of each file; needed where images are not pictures of 8 bit.
        channels: 1 or 3.
        geometry: 'canonical' turns volumes to right, anterior, superior by their affine and
            asks image and mask to lie on one grid; 'stored' takes the voxels in the order of the
            files and compares shapes alone.
        plane: 'axial', 'coronal' or 'sagittal'; None cuts a volume as it was acquired, across
            clearly thicker voxels, else into axial slices.
        frame: which volume is read of files that hold several frames (4-D), from 0; with whole
            volumes several can be given, which become the channels.
        series: which series is read of DICOM folders that hold several: its UID, number or
            description.
        spacing: pixel size (row, column) or (slice, row, column) in mm, or None; what a file says
            of itself goes before.
    """

    image_dir: str | tuple[str, ...] = '{domain}/{split}/image'
    mask_dir: str | tuple[str, ...] = '{domain}/{split}/mask'
    sample: str = 'slice'
    named_by: str = 'file'
    image_name: str = '*'
    mask_name: str = '{name}'
    image_suffixes: str | tuple[str, ...] = KNOWN_SUFFIXES
    mask_suffixes: str | tuple[str, ...] = KNOWN_SUFFIXES
    image_key: str = 'image'
    mask_key: str = 'label'
    split: dict = field(default_factory=lambda: dict(type='folder'))
    case_pattern: str | None = None
    label_map: LabelMap | dict | None = None
    value_range: tuple[float, float] | str | None = None
    channels: int = 1
    geometry: str = 'canonical'
    plane: str | None = None
    frame: int | tuple[int, ...] | None = None
    series: str | int | None = None
    spacing: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without looking at files."""
        check_types(type(self), vars(self))
        if '{name}' not in self.mask_name and self.named_by == 'file':
            raise ValueError(f'mask_name = "{self.mask_name}" must contain {{name}}.')
        if self.label_map is None:
            raise ValueError(
                'label_map is missing: say which class each mask value is, '
                'for instance label_map={0: 0, 255: 1}.'
            )
        by_folder = self.split.get('type') == 'folder'
        for option in ('image_dir', 'mask_dir'):
            for value in as_tuple(getattr(self, option)):
                if ('{split}' in value) != by_folder:
                    raise ValueError(
                        f'{option} = "{value}" does not go with split type '
                        f'"{self.split.get("type")}": '
                        + ('put {split} into it.' if by_folder else 'leave {split} out of it.')
                    )
        for option in ('image_suffixes', 'mask_suffixes'):
            dotted = (f'.{s.lower().lstrip(".")}' for s in as_tuple(getattr(self, option)))
            object.__setattr__(self, option, tuple(dotted))
        common = set(self.mask_suffixes) & set(self.image_suffixes) - set(FORMATS['hdf5'].suffixes)
        if self.shared_folder and self.mask_name == '{name}' and common:
            raise ValueError(
                f'Images and masks share "{self.image_dir}": tell them apart with mask_name '
                '(such as "{name}_mask*") or with image_suffixes and mask_suffixes.'
            )
        self._check_values()
        object.__setattr__(self, 'label_map', LabelMap.build(self.label_map))

    @property
    def labels(self) -> LabelMap:
        """Return what the mask values mean, made from `label_map`."""
        assert isinstance(self.label_map, LabelMap)
        return self.label_map

    @property
    def axes(self) -> Axes:
        """Return how volumes are cut; whole ones have one frame, whatever their voxels' size."""
        whole = self.sample == 'volume' and self.geometry == 'canonical'
        plane = 'axial' if whole and self.plane is None else self.plane
        return Axes(self.geometry, plane, (self.frames or (None,))[0], self.series)

    @property
    def frames(self) -> tuple[int, ...]:
        """Return which volumes of a file become the channels; none where it holds one alone."""
        if self.frame is None:
            return ()
        return (self.frame,) if isinstance(self.frame, int) else tuple(self.frame)

    def _check_values(self) -> None:
        for option, known in (
            ('sample', ('slice', 'volume')),
            ('named_by', ('file', 'folder')),
            ('geometry', ('canonical', 'stored')),
            ('plane', (None, *PLANES)),
        ):
            if getattr(self, option) not in known:
                raise ValueError(
                    f'{option} = {getattr(self, option)!r} is not known '
                    f'(known: {", ".join(map(str, known))}).'
                )
        if self.geometry == 'stored' and self.plane is not None:
            raise ValueError(
                f'geometry = "stored" cuts along the third axis of the file: leave out '
                f'plane = "{self.plane}".'
            )
        if len(self.frames) > 1 and self.sample != 'volume':
            raise ValueError(
                f'frame = {self.frame}: a slice is of one frame. Name one, or set sample="volume".'
            )
        if self.value_range not in (None, 'volume'):
            pair = () if isinstance(self.value_range, str) else tuple(self.value_range)
            if len(pair) != 2 or not pair[0] < pair[1]:
                raise ValueError(
                    f'value_range = {self.value_range!r}: give (low, high) with low < high, '
                    '"volume", or None for pictures of 8 bit.'
                )
        if self.spacing is not None and (
            len(self.spacing) not in (2, 3) or not all(size > 0 for size in self.spacing)
        ):
            raise ValueError(
                f'spacing = {self.spacing}: give (row, column) or (slice, row, column) in mm.'
            )
        if self.spacing is not None and len(self.spacing) < 3 and self.sample == 'volume':
            raise ValueError(
                f'spacing = {self.spacing}: give (slice, row, column) in mm, as sample="volume".'
            )

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
        images, masks = (
            [os.path.normpath(folder) for folder in as_tuple(option)]
            for option in (self.image_dir, self.mask_dir)
        )
        return images == masks

    @property
    def mask_regex(self) -> re.Pattern:
        """Return what finds `name` in the name of a mask."""
        pattern = re.escape(self.mask_name).replace(r'\*', '.*')
        return re.compile(pattern.replace(r'\{name\}', '(?P<name>.+?)', 1))

    @property
    def mask_in_folder(self) -> str:
        """Return what a mask is called in the folder of its image, where folders name images."""
        return self.image_name if self.mask_name == '{name}' else self.mask_name

    def folders(self, option: str, data_root: str, domain: str, split: str) -> list[str]:
        """Return the folders that `image_dir` or `mask_dir` stands for.

        They need not be there, except where `*` stands for their names.

        Args:
            option: 'image_dir' or 'mask_dir'.
            data_root: folder that holds the domains.
            domain: what `{domain}` stands for.
            split: what `{split}` stands for.
        """
        found: list[str] = []
        for pattern in as_tuple(getattr(self, option)):
            folder = os.path.join(
                glob.escape(data_root) if '*' in pattern else data_root,
                pattern.format(domain=domain, split=split),
            )
            several = filter(os.path.isdir, sorted(glob.glob(folder)))
            found += several if '*' in pattern else [folder]
        return found

    def place_of(self, name: str) -> Place | None:
        """Return case, volume and slice of an image's name, None where the pattern does not fit."""
        if self.case_pattern is None:
            return Place(name, name, None)
        match = re.fullmatch(self.case_pattern, name)
        if match is None:
            return None
        groups = match.groupdict()
        return Place(groups['case'], groups.get('volume') or groups['case'], groups.get('slice'))


def as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return one value or several as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value)
