"""What one domain holds: its images, the part of the split in use, and their masks."""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mmengine.logging import print_log

from .layout import DomainLayout, Sample, find_images, find_masks
from .splits import DomainNames, choose_labelled, hold_out, split_names

_REPORTED: set[str] = set()


@dataclass(frozen=True)
class DomainIndex:
    """The images of one domain that belong to one part of the split.

    Attributes:
        domain: name of the domain.
        layout: how its files are laid out.
        images: name -> path of every image in the folder.
        mask_folder: where its masks are.
        pool: the images of the part in use.
        total: number of images in the part before any was held out for validation.
    """

    domain: str
    layout: DomainLayout
    images: dict[str, str]
    mask_folder: str
    pool: DomainNames
    total: int

    def choose(self, labelled: dict, total: int) -> list[str]:
        """Return the names of the labelled images, see `choose_labelled`."""
        rule = {key: value for key, value in labelled.items() if key != 'domain'}
        return choose_labelled(self.pool, rule, total)

    def samples(self, names: Sequence[str], with_masks: Collection[str]) -> list[Sample]:
        """Return the samples of some images, those of `with_masks` with their masks.

        Masks are looked for only if `with_masks` names an image, and of other images none is
        kept, so that nothing can read them.

        Raises:
            FileNotFoundError: an image has no mask, or a mask no image.
        """
        with_masks = set(with_masks)
        masks = self._masks(with_masks) if with_masks else {}
        case_of = dict(zip(self.pool.names, self.pool.cases, strict=True))
        return [
            Sample(
                self.domain,
                name,
                case_of[name],
                self.layout.case_of(name, self.domain)[1],
                self.images[name],
                masks[name] if name in with_masks else None,
            )
            for name in names
        ]

    def _masks(self, wanted: set[str]) -> dict[str, tuple[str, ...]]:
        masks = find_masks(self.mask_folder, self.layout, self.domain)
        missing = [name for name in self.images if name in wanted and name not in masks]
        orphans = sorted(name for name in masks if name not in self.images)
        if missing:
            file = os.path.basename(self.images[missing[0]])
            looked = self.layout.mask_name.replace('{name}', missing[0])
            more = f', nor for {len(missing) - 1} more' if len(missing) > 1 else ''
            other = f'; {masks[orphans[0]][0]} is a mask without image' if orphans else ''
            raise FileNotFoundError(
                f'Domain "{self.domain}" has no mask for image {file}{more} '
                f'(looked for {os.path.join(self.mask_folder, looked)}.*{other}). Add the mask.'
            )
        if orphans:
            raise FileNotFoundError(
                f'Domain "{self.domain}" has a mask without image: {masks[orphans[0]][0]} '
                f'({len(orphans)} in all). Add the image or remove the mask.'
            )
        return masks


def index_domain(
    data_root: str, domain: str, layout: DomainLayout, mode: str, holdout: dict | None
) -> DomainIndex:
    """List the images of one domain for one mode; no file is opened.

    Args:
        data_root: folder that holds the domains.
        domain: name of the domain.
        layout: how its files are laid out.
        mode: 'train', 'val' or 'test'.
        holdout: which training images are kept for validation (see `hold_out`), if any.

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
    folder = layout.split.get(part, part) if layout.split['type'] == 'folder' else ''
    image_folder, mask_folder = (
        os.path.join(data_root, pattern.format(domain=domain, split=folder))
        for pattern in (layout.image_dir, layout.mask_dir)
    )
    images = find_images(image_folder, layout, domain)
    cases = tuple(layout.case_of(name, domain)[0] for name in images)
    pool = DomainNames(domain, tuple(images), cases, data_root)
    pool = pool.keep(split_names(pool, layout.split, part))
    total = len(pool.names)
    if holdout:
        held = set(hold_out(pool, holdout))
        pool = pool.keep([name for name in pool.names if (name in held) == (mode == 'val')])
    return DomainIndex(domain, layout, images, mask_folder, pool, total)


def compare_counts(metainfo: dict, mode: str, found: Sequence[DomainIndex]) -> str | None:
    """Return how the number of images differs from the published one, None if it does not.

    `metainfo['published_counts']` holds for 'train' and 'test' the images of each domain, or one
    total, which is compared if all of its domains are in use.
    """
    published = metainfo['published_counts'].get(mode)
    counts = {index.domain: index.total for index in found}
    if published is None:
        return None
    if isinstance(published, int):
        if set(counts) != set(metainfo['published_counts'].get('train', counts)):
            return None
        counts, published = {'all domains': sum(counts.values())}, {'all domains': published}
    differing = [
        f'{name} {count} (published: {published[name]})'
        for name, count in counts.items()
        if published.get(name, count) != count
    ]
    if not differing:
        return None
    return (
        f'{metainfo["dataset_name"]}: the number of {mode} images differs from the published one: '
        + ', '.join(differing)
        + '. Results may not be comparable.'
    )


def warn_once(message: str | None) -> None:
    """Log a warning, but the same one only once in a process."""
    if message and message not in _REPORTED:
        _REPORTED.add(message)
        print_log(message, logger='current', level=30)


def summary(metainfo: dict, mode: str, samples: Sequence[Sample]) -> str:
    """Return one line that says how many images of which domain there are."""

    def listing(labelled: bool) -> str:
        counts = Counter(sample.domain for sample in samples if sample.labelled == labelled)
        shown = ', '.join(f'{name} {counts[name]}' for name in counts)
        return f'{sum(counts.values())}' + f' ({shown})' * bool(shown)

    name = metainfo['dataset_name']
    if mode == 'train':
        return f'{name} train images: {listing(True)} labelled, {listing(False)} unlabelled'
    return f'{name} {mode} images: {listing(True)}'
