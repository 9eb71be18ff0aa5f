"""What one domain holds: its images, the part of the split in use, and their masks."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from mmssl.datasets.files.counts import warn_once
from mmssl.datasets.files.domain_names import DomainNames
from mmssl.datasets.files.expansion import expand, fitting
from mmssl.datasets.files.labelled import choose_labelled
from mmssl.datasets.files.layout import DomainLayout, Place, Sample, as_tuple
from mmssl.datasets.files.listing import (
    check_link,
    find_images,
    find_masks,
    find_unread,
    in_words,
)
from mmssl.datasets.files.splits import PARTS, hold_out, keep_patients_apart, split_names
from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.volumes import Source, volume_shape, volume_turn


@dataclass(frozen=True)
class DomainIndex:
    """The images of one domain that belong to one part of the split.

    Attributes:
        domain: name of the domain.
        layout: how its files are laid out.
        files: file name without suffix -> path of every image in the folders.
        mask_folders: where its masks are.
        images: name -> sample without mask, of the images of the part.
        pool: the names of the part in use, those held out for validation apart.
        total: number of images in the part before any was held out.
    """

    domain: str
    layout: DomainLayout
    files: dict[str, str]
    mask_folders: list[str]
    images: dict[str, Sample]
    pool: DomainNames
    total: int

    @property
    def held_out(self) -> set[str]:
        """Return what lists may call the images of the part that are not in use."""
        kept = set(self.pool.names)
        held = [sample for name, sample in self.images.items() if name not in kept]
        return {called for s in held for called in (s.name, *s.files, s.volume, s.case)}

    def choose(self, labelled: dict, total: int) -> list[str]:
        """Return the names of the labelled images, see `choose_labelled`."""
        rule = {key: value for key, value in labelled.items() if key != 'domain'}
        return choose_labelled(self.pool, rule, total, self.held_out)

    def samples(self, names: Sequence[str], with_masks: Collection[str]) -> list[Sample]:
        """Return the samples of some images, those of `with_masks` with their masks.

        Masks are looked for only if `with_masks` names an image, and of other images none is
        kept, so that nothing can read them.

        Raises:
            FileNotFoundError: an image has no mask, or a mask no image.
            DataError: image and mask are volumes of different shapes.
        """
        with_masks = set(with_masks)
        masks = self._masks({file for name in with_masks for file in self.images[name].files})
        found = []
        for name in names:
            sample = self.images[name]
            if name in with_masks:
                sample = sample.with_masks(masks)
            found.append(sample)
        return found

    def _masks(self, wanted: set[str]) -> dict[str, tuple[str, ...]]:
        """Return the masks of some image files."""
        if not wanted:
            return {}
        masks, orphans = find_masks(self.mask_folders, self.layout, self.domain, self.files)
        missing = [name for name in self.files if name in wanted and name not in masks]
        if missing:
            file = os.path.basename(self.files[missing[0]])
            looked = self.layout.mask_name.replace('{name}', missing[0])
            more = f', nor for {len(missing) - 1} more' if len(missing) > 1 else ''
            other = f'; {orphans[0]} is a mask without image' if orphans else ''
            odd = find_unread(self.mask_folders, self.layout, ())
            other += f'; {odd[0]} is of a format that is not read: convert it' if odd else ''
            raise FileNotFoundError(
                f'Domain "{self.domain}" has no mask for image {file}{more} '
                f'(looked for {os.path.join(in_words(self.mask_folders), looked)}.*{other}). '
                'Add the mask.'
            )
        if orphans:
            odd = find_unread(
                [os.path.dirname(file) for file in self.files.values()], self.layout, self.files
            )
            other = f'; {odd[0]} is of a format that is not read: convert it' if odd else ''
            raise FileNotFoundError(
                f'Domain "{self.domain}" has a mask without image: {orphans[0]} '
                f'({len(orphans)} in all{other}). Add the image or remove the mask.'
            )
        for path in (path for name in wanted for path in masks[name]):
            check_link(path)
        whole = self.layout.sample == 'volume'
        volumes = {
            s.files[0]: s.img_path
            for s in self.images.values()
            if s.index is not None or (whole and not s.slices)
        }
        for name in wanted & set(volumes):
            self._compare_shapes(volumes[name], masks[name])
        return masks

    def _compare_shapes(self, image: str, masks: tuple[str, ...]) -> None:
        layout, axes = self.layout, self.layout.axes
        expected = volume_shape(image, layout.image_key, axes)
        for mask in masks:
            like = Source(image, layout.image_key)
            volume_turn(mask, layout.mask_key, axes, like)
            found = volume_shape(mask, layout.mask_key, axes, like)
            if found != expected:
                raise DataError(
                    f'Mask {mask} has shape {found}, its image {image} {expected} (slices, '
                    'height, width). Replace one of the two.'
                )


def index_domain(
    data_root: str,
    domain: str,
    layout: DomainLayout,
    mode: str,
    holdout: dict | None,
    others: Collection[str] = (),
) -> DomainIndex:
    """List the images of one domain for one mode; of volumes the header is read, no pixel.

    Args:
        data_root: folder that holds the domains.
        domain: name of the domain.
        layout: how its files are laid out.
        mode: 'train', 'val' or 'test'.
        holdout: which training images are kept for validation (see `hold_out`), if any.
        others: further domains of the data set, which a list may name.

    Raises:
        FileNotFoundError: a folder or list is missing, or a folder has no image.
        ValueError: the split does not go with the files.
    """
    part = mode
    if mode == 'val' and holdout:
        part = 'train'
    elif mode == 'val' and 'val' not in layout.split:
        raise ValueError(
            f'Domain "{domain}" has no validation part: give holdout=dict(fraction=0.2) here and '
            'in training, or say in the split what val holds.'
        )
    split = layout.split.get(part, part) if layout.split['type'] == 'folder' else ''
    folders = layout.folders('image_dir', data_root, domain, split)
    files = find_images(folders, layout, domain)
    warn_once(_unread(domain, find_unread(folders, layout, files)))
    pool = _pool(data_root, domain, layout, files, in_words(folders))
    beside = _domains_beside(data_root, domain, layout, split)
    pool = replace(pool, others=frozenset({*others, *beside} - {domain}))
    chosen = split_names(pool, layout.split, part)
    _check_folders(data_root, domain, layout)
    images = expand(domain, layout, files, chosen)
    pool = replace(
        pool,
        names=tuple(images),
        cases=tuple(sample.case for sample in images.values()),
        groups=tuple((*sample.files, sample.volume) for sample in images.values()),
        folder=f'the {part} part of {pool.folder}',
        paths=tuple(sample.img_path for sample in images.values()),
    )
    if holdout:
        held = set(hold_out(pool, holdout))
        pool = pool.keep([name for name in pool.names if (name in held) == (mode == 'val')])
    masks = layout.folders('mask_dir', data_root, domain, split)
    return DomainIndex(domain, layout, files, masks, images, pool, len(images))


def _unread(domain: str, files: list[str]) -> str | None:
    if not files:
        return None
    return (
        f'Domain "{domain}": {len(files)} files beside the images are of a format that is not '
        f'read and are left out, such as {files[0]}. Convert them (PNG, NIfTI) or move them away.'
    )


def _pool(
    data_root: str, domain: str, layout: DomainLayout, files: dict[str, str], folder: str
) -> DomainNames:
    """Return the files by name; where lists choose among them, a name need not fit the pattern."""
    places = {name: layout.place_of(name) for name in files}
    if layout.split['type'] != 'list':
        for name, place in places.items():
            fitting(name, place, domain, layout)
    found = [place or Place(name, name, None) for name, place in places.items()]
    return DomainNames(
        domain,
        tuple(files),
        tuple(place.case for place in found),
        data_root,
        tuple((place.volume,) for place in found),
        folder,
        tuple(files.values()),
    )


def _domains_beside(data_root: str, domain: str, layout: DomainLayout, split: str) -> list[str]:
    """Return the folders that could be domains of this layout, in use or not."""
    if not any('{domain}' in pattern for pattern in as_tuple(layout.image_dir)):
        return []
    return [
        name
        for name in os.listdir(data_root)
        if any(map(os.path.isdir, layout.folders('image_dir', data_root, name, split)))
    ]


def _check_folders(data_root: str, domain: str, layout: DomainLayout) -> None:
    """Compare the patients of the folders of a split, if asked for: cases may count anew in each.

    Raises:
        ValueError: a patient is in two folders.
    """
    split = layout.split
    if split['type'] != 'folder' or not split.get('check_patients'):
        return
    cases: dict[str, Sequence[str]] = {}
    for part in PARTS:
        folders = layout.folders('image_dir', data_root, domain, split.get(part, part))
        if any(os.path.isdir(folder) for folder in folders):
            files = find_images(folders, layout, domain)
            cases[part] = _pool(data_root, domain, layout, files, '').cases
    keep_patients_apart(domain, cases)
