"""What a data set says so that its download can be converted."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmssl.converters.faults import Fault, Unfit
from mmssl.converters.images import Volume, geometry_faults, read_nifti, whole_labels
from mmssl.converters.outputs import Writer
from mmssl.converters.raw import Raw
from mmssl.utils.packaged import CONFIGS

TEST_SHARE = 0.2


@dataclass(frozen=True)
class Item:
    """One image of a download with its mask: a picture, a volume, a volume with frames.

    Attributes:
        domain: where the table counts it.
        part: 'train', 'val' or 'test'; '' where lists or the config say it.
        name: what messages call it, no other item of domain and part.
        sources: role -> name of the file in the download.
        facts: what else the data set needs to know, plain values.
        patient: whose image it is, for the number of cases; by default each is its own.
        missing: what it lacks, as sentences; it is a fault then, and never made.
    """

    domain: str
    part: str
    name: str
    sources: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    patient: str = ''
    missing: Sequence[str] = ()

    @property
    def key(self) -> str:
        """Return what no other item is called."""
        return '/'.join(filter(None, (self.domain, self.part, self.name)))

    @property
    def case(self) -> str:
        """Return the patient."""
        return self.patient or self.name


@dataclass(frozen=True)
class Made:
    """What becomes of an item.

    Attributes:
        files: path below OUT -> what writes it.
        images: number of images that a data set will count.
        shape: height and width.
        spacing: size of a voxel in mm, rows and columns last; None for photographs.
        labels: values in the masks.
        left_out: slices that are not written, by choice.
    """

    files: Mapping[str, Writer]
    images: int
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None
    labels: tuple[int, ...]
    left_out: int = 0


class Converter:
    """One data set's way from its download to what a config reads.

    Args:
        options: the command line; every option is an attribute.

    Attributes:
        name: what the command calls it.
        summary: one line of help.
        title: the data set's name.
        volumes: whether images and masks have affines that are compared.
        settings: names of the options that change the files.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    title: str
    volumes: ClassVar[bool] = True
    settings: ClassVar[Sequence[str]] = ()

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Add the data set's own options to its command line."""

    def plan(self, raw: Raw, faults: list[Fault]) -> list[Item]:
        """Return what there is to convert, by names alone; what is not of one item is a fault."""
        raise NotImplementedError(f'{type(self).__name__} must define `plan`')

    def make(self, item: Item, raw: Raw) -> Made:
        """Read an item and return what becomes of it.

        Raises:
            Unfit: something is wrong with it.
        """
        raise NotImplementedError(f'{type(self).__name__} must define `make`')

    def lists(self, items: Sequence[Item], made: Mapping[str, Made]) -> dict[str, list[str]]:
        """Return path below OUT -> lines of the lists that say which image is for what."""
        return {}

    def published(self) -> dict[tuple[str, str], int]:
        """Return (domain, part) -> published number of images; a domain '' is all of them."""
        return {}

    def notes(self) -> list[str]:
        """Return what a user must know of the result, for the end of the report."""
        return []

    def config(self, out: Path) -> str:
        """Return the config that trains on the result."""
        raise NotImplementedError(f'{type(self).__name__} must define `config`')

    def read_pair(self, item: Item, raw: Raw, labels: Sequence[int]) -> tuple[Volume, np.ndarray]:
        """Read the NIfTI files `image` and `mask` of an item and compare them.

        Returns:
            The image and the label values, uint8, in stored order.

        Raises:
            Unfit: a file is broken, or the two do not belong together.
        """
        image, mask = (_read(raw, item.sources[role], read_nifti) for role in ('image', 'mask'))
        return image, self.checked(item, image, mask, labels)

    def checked(
        self, item: Item, image: Volume, mask: Volume, labels: Sequence[int] | None
    ) -> np.ndarray:
        """Compare a mask with its image and return its label values, uint8.

        Raises:
            Unfit: grid or values do not fit; all of it is said at once.
        """
        name = item.sources['mask']
        found = geometry_faults(image, mask, name, not getattr(self.options, 'ignore_geometry', 0))
        values, wrong = whole_labels(mask.voxels, labels, name)
        if found or wrong:
            raise Unfit(*found, *wrong)
        return values


def _read(raw: Raw, name: str, reader: Callable[[Path, str], Volume]) -> Volume:
    with raw.file(name) as path:
        return reader(path, name)


def last_share(cases: Sequence[str], share: float = TEST_SHARE) -> set[str]:
    """Return the last cases in their order, a share of them and at least one of several."""
    count = round(share * len(cases)) or min(1, len(cases) - 1)
    return set(cases[len(cases) - count :]) if count > 0 else set()


def published_of(data_set: str) -> dict[tuple[str, str], int]:
    """Return (domain, part) -> number of images as a data set of the package states it."""
    from mmssl.datasets import sets

    counts = getattr(sets, data_set).METAINFO.get('published_counts', {})
    found: dict[tuple[str, str], int] = {}
    for part, numbers in counts.items():
        given = {'': numbers} if isinstance(numbers, int) else numbers
        found.update({(domain, part): number for domain, number in given.items()})
    return found


def config_text(
    base: str,
    out: Path,
    *lines: str,
    validation: bool = True,
    tested: Sequence[str] | None = None,
) -> str:
    """Return a config, for a file in the working directory, that reads its data from a folder.

    Args:
        base: config of the package.
        out: the folder.
        *lines: further entries of the data set, as they stand in a `dict(...)`.
        validation: whether there is a part for validation; without, the test part is scored while
            training, and the last checkpoint counts.
        tested: the domains that are scored, where not all are.
    """
    path = Path('configs', base)  # as the docs write it, where a config beside it finds it
    path = path if path.is_file() else CONFIGS / base
    entries = [f'data_root={str(out)!r}', *lines]
    body = ''.join(f'    {entry},\n' for entry in entries)
    text = f'_base_ = [{path.as_posix()!r}]\ndata = dict(\n{body})\n'
    named = f'domains={list(tested or ())!r}'
    scored = f'dict(data, {named})' if tested and named not in lines else 'data'
    text += 'train_dataloader = dict(dataset=data)\n'
    text += f'test_dataloader = dict(dataset={scored})\n'
    if validation:
        return f'{text}val_dataloader = dict(dataset={scored})\n'
    return (
        f"{text}val_dataloader = dict(dataset=dict({scored}, mode='test'))\n"
        "val_evaluator = dict(selection='last')\n"
    )
