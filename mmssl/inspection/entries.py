"""Which images to look at: those of a config's data sets, or those of a folder."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mmssl.datasets.files.layout import DomainLayout, SliceFile
from mmssl.datasets.files.listing import find_images
from mmssl.datasets.mixed_domain import MODES, MixedDomainDataset
from mmssl.datasets.reading import (
    CANONICAL,
    Axes,
    LabelMap,
    holds_volumes,
    known_suffixes,
    list_series,
    open_image,
    split_suffix,
)
from mmssl.registry import DATASETS


class Reading(NamedTuple):
    """How an image and its mask are read; options of a data config."""

    image_key: str = 'image'
    mask_key: str = 'label'
    channels: int = 1
    value_range: tuple[float, float] | str | None = 'volume'
    axes: Axes = CANONICAL
    spacing: tuple[float, ...] | None = None

    @classmethod
    def of(cls, layout: DomainLayout) -> 'Reading':
        """Return how the images of a domain are read; whole volumes, too, are seen in 8 bit."""
        found = cls(*(getattr(layout, name) for name in cls._fields))
        whole = layout.sample == 'volume' and found.value_range is None
        return found._replace(value_range='volume') if whole else found


class Entry(NamedTuple):
    """A picture, or a slice of a volume.

    Attributes:
        domain: name of its domain.
        part: 'train', 'val' or 'test', empty where it is not known.
        name: what it is called.
        case: its patient.
        path: its file.
        index: number of the slice in the file, None where the file holds one image.
        reading: how it is read.
        mask_paths: its masks, None where they must not be opened or are not known.
        label_map: what the values of the masks mean.
    """

    domain: str
    part: str
    name: str
    case: str
    path: str
    index: int | None  # type: ignore[assignment]  # takes the name of tuple.index
    reading: Reading = Reading()
    mask_paths: tuple[str, ...] | None = None
    label_map: LabelMap | None = None


@dataclass
class Collected:
    """What is to be looked at.

    Attributes:
        entries: the images.
        parts: anatomical part -> class ids.
        palette: colour of each class.
        faults: what is wrong with data that could not be listed.
        notes: what a reader of the findings has to know.
    """

    entries: list[Entry] = field(default_factory=list)
    parts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    palette: Sequence[Sequence[int]] = ()
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def thinned(self, limit: int | None) -> None:
        """Keep at most some images of each domain and part, evenly spread."""
        if limit is None:
            return
        groups: dict[tuple[str, str], list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault((entry.domain, entry.part), []).append(entry)
        self.entries = [entry for group in groups.values() for entry in spread(group, limit)]
        self.notes.append(
            f'At most {limit} images of each domain and part were looked at, so that duplicates '
            'may be missed.'
        )


def spread(items: Sequence[Any], number: int) -> list[Any]:
    """Return at most some items, evenly spread."""
    if len(items) <= number:
        return list(items)
    return [items[k * len(items) // number] for k in range(number)]


def of_config(cfg: Any) -> Collected:
    """Return the images of the data sets of a config; of unlabelled images no mask is known.

    A part whose files are at fault is a fault, and its images are listed without part and mask.

    Raises:
        ValueError: the config has no data set of mmssl.
    """
    found, seen = Collected(), set()
    for mode in MODES:
        loader = cfg.get(f'{mode}_dataloader')
        if not loader:
            continue
        dataset = DATASETS.build({**loader['dataset'], 'cache': False, 'lazy_init': True})
        if not isinstance(dataset, MixedDomainDataset):
            raise ValueError(
                f'{mode}_dataloader has a {type(dataset).__name__}; a MixedDomainDataset can be '
                'looked at.'
            )
        info = dataset.metainfo
        found.parts, found.palette = info['parts'], info['palette']
        try:
            dataset.full_init()
            entries = list(_of_samples(dataset))
        except (ValueError, OSError) as error:
            if str(error) not in found.faults:  # of validation on the test set
                found.faults.append(str(error))
            entries = list(_of_folders(dataset))
        for entry in entries:
            key = (entry.part, entry.path, entry.index)
            if key not in seen and (entry.part or ('', *key[1:]) not in seen):
                seen.add(key)
                found.entries.append(entry)
    if not seen and not found.faults:
        raise ValueError('The config has no train_dataloader, val_dataloader or test_dataloader.')
    return found


def _of_samples(dataset: MixedDomainDataset) -> Iterator[Entry]:
    for sample in dataset.samples:
        layout = dataset.layouts[sample.domain]
        whole = SliceFile(sample.name, sample.img_path, sample.mask_paths)
        for file in sample.slices or (whole,):
            yield Entry(
                sample.domain,
                dataset.mode,
                file.name,
                sample.case,
                file.img_path,
                sample.index,
                Reading.of(layout),
                file.mask_paths,
                layout.labels,
            )


def _of_folders(dataset: MixedDomainDataset) -> Iterator[Entry]:
    """Yield what lies in the folders of images of a data set that cannot be built."""
    for domain, layout in dataset.layouts.items():
        split = layout.split.get(dataset.mode, dataset.mode)
        folders = layout.folders('image_dir', dataset.data_root, domain, str(split))
        try:
            files = find_images(folders, layout, domain)
        except (ValueError, OSError):
            continue  # which the fault of the data set says
        for name, path in files.items():
            place = layout.place_of(name)
            case = place.case if place else name
            yield Entry(domain, '', name, case, path, None, Reading.of(layout))


KINDS = {'image', 'images', 'img', 'imgs'}
SPLITS = {'train': 'train', 'training': 'train', 'imagestr': 'train', 'val': 'val', 'valid': 'val',
          'validation': 'val', 'test': 'test', 'testing': 'test', 'imagests': 'test'}  # fmt: skip
MASKS = re.compile(r'mask|(?:^|[^a-z])(?:labels?(?:tr|ts)?|gt|seg(?:mentation)?s?)(?:$|[^a-z])')


def of_folder(root: str | Path) -> Collected:
    """Return the images below a folder; what is called a mask or label is left out.

    The domain of an image is the first folder on its way that is not named like a part of a split
    or a kind of image.

    Raises:
        FileNotFoundError: there is no image.
    """
    found, masks = Collected(), 0
    for path, reading in _files(str(root)):
        relative = os.path.relpath(path, root)
        *folders, last = relative.lower().split(os.sep)
        name = last if os.path.isdir(path) else split_suffix(last)[0]
        if any(MASKS.search(word) for word in (*folders, name)):
            masks += 1
            continue
        proper = os.path.dirname(relative).split(os.sep)
        named = [word for word in proper if word and word.lower() not in {*KINDS, *SPLITS}]
        domain = named[0] if named else os.path.basename(os.path.abspath(root))
        part = next((SPLITS[word] for word in folders if word in SPLITS), '')
        entry = Entry(domain, part, relative, relative, path, None, reading)
        found.entries.append(entry)
    if masks:
        found.notes.append(f'{masks} files are called masks and were left out.')
    if not found.entries:
        raise FileNotFoundError(
            f'{root} holds no image (looked for {", ".join(known_suffixes())} and DICOM series).'
        )
    return found


def _files(root: str) -> Iterator[tuple[str, Reading]]:
    """Yield the image files below a folder, and the DICOM series in folders of their own."""
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        if holds_volumes(place):
            for series in list_series(place, nested=False):
                yield place, Reading(axes=Axes(series=series.uid))
            continue
        for name in sorted(names):
            path = os.path.join(place, name)
            known = split_suffix(name)[1].lower() in known_suffixes() or holds_volumes(path)
            if known and not name.startswith('.') and os.path.isfile(path):
                yield path, Reading()


def slices_of(entry: Entry) -> list[Entry]:
    """Return the slices of an entry that is a volume of which none is chosen.

    Raises:
        DataError: the file cannot be used.
        FileNotFoundError: it is not there.
    """
    if entry.index is not None or not holds_volumes(entry.path):
        return [entry]
    shape = open_image(entry.path, entry.reading.image_key, entry.reading.axes).shape
    if len(shape) == 2:
        return [entry]
    names = (f'{entry.name}_slice_{k + 1}' for k in range(shape[0]))
    return [entry._replace(name=name, index=k) for k, name in enumerate(names)]
