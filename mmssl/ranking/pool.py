"""The images that may be labelled next, and those that are labelled, read without their masks."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mmssl.apis.inference import TestPipeline
from mmssl.datasets.reading import split_suffix
from mmssl.engine.training_images import training_images
from mmssl.inspection import of_folder as files_of_folder
from mmssl.inspection.entries import Entry
from mmssl.structures import Draw


class Image(NamedTuple):
    """An image of the pool.

    Attributes:
        domain: its scanner or site.
        case: its patient.
        name: what it is called on the page.
        listed: what a list calls it.
        labelled: whether it has a label already.
        read: give it as the test pipeline packs it.
    """

    domain: str
    case: str
    name: str
    listed: str
    labelled: bool
    read: Callable[[], dict]


@dataclass
class Pool:
    """The images of a pool, those of a case one after the other.

    Attributes:
        images: labelled ones and others.
        domains: names of the domains, in the order of the config.
        notes: what a reader of the ranking has to know.
    """

    images: list[Image]
    domains: list[str]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.images.sort(key=lambda one: (self.domains.index(one.domain), one.case))

    def waiting(self) -> list[Image]:
        """Return the images without label."""
        return [image for image in self.images if not image.labelled]

    def labelled_cases(self) -> list[tuple[str, str]]:
        """Return domain and case of what is labelled, wholly or in part."""
        images = (image for image in self.images if image.labelled)
        return list(dict.fromkeys((image.domain, image.case) for image in images))


def of_config(cfg: Mapping[str, Any]) -> Pool:
    """Return the training images of a config, as its test data are prepared; no mask is opened.

    Args:
        cfg: a whole config.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: the config has no training set of mmssl, or no unlabelled images.
    """
    dataset = training_images(cfg, 'can be ranked, or name a folder as POOL')
    several = len(dataset.domains) > 1
    images = [
        Image(
            sample.domain,
            sample.case,
            sample.name,
            f'{sample.domain}/{sample.name}' if several else sample.name,
            sample.labelled,
            partial(dataset.__getitem__, Draw(index, 0, 0, False)),
        )
        for index, sample in enumerate(dataset.samples)
    ]
    if all(image.labelled for image in images):
        raise ValueError(
            'All training images of the config are labelled: lower labelled.num, or name a folder '
            'as POOL'
        )
    return Pool(images, list(dataset.domains))


def of_folder(
    cfg: Mapping[str, Any],
    folder: str | Path,
    labelled: str | Path | None = None,
    case_pattern: str | None = None,
    domain: str | None = None,
) -> Pool:
    """Return the images below a folder, and those below one of images that are labelled.

    What is called a mask or label is left out. The domain of an image is the first folder on its
    way, its case its path, or what `case_pattern` finds in its name.

    Args:
        cfg: config of the model, which says how images are read and prepared.
        folder: the pool.
        labelled: images that have labels; those of them that lie in the pool are left out there.
        case_pattern: regular expression with a group `case`.
        domain: whose options are used, where the domains of the config are not read alike.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: a name does not fit the pattern, or the pattern cannot be used.
    """
    pattern = _pattern(case_pattern)
    pipeline = TestPipeline(cfg, domain)
    images: dict[tuple, Image] = {}
    notes: list[str] = []
    for root, known in ((labelled, True), (folder, False)):
        if root is None:
            continue
        if not Path(root).is_dir():
            raise FileNotFoundError(f'"{root}" is no folder; name the one that holds the images')
        found = files_of_folder(root)
        notes += [note for note in found.notes if note not in notes]
        for entry in found.entries:
            place = (str(Path(entry.path).resolve()), entry.reading.axes.series)
            about = (entry.domain, _case(entry.name, pattern))
            for number, image in enumerate(_slices(pipeline, entry, about, known)):
                images.setdefault((*place, number), image)
    domains = list(dict.fromkeys(image.domain for image in images.values()))
    pool = Pool(list(images.values()), domains, notes)
    if not pool.waiting():
        raise ValueError(f'All images of "{folder}" are labelled, says "{labelled}"')
    return pool


def _slices(
    pipeline: TestPipeline, entry: Entry, about: tuple[str, str], labelled: bool
) -> Sequence[Image]:
    """Return an image, or the slices of a volume; a file that cannot be read fails when read."""
    try:
        parts = pipeline.parts(entry.path, entry.reading.axes.series)
    except (ValueError, OSError) as error:
        return [Image(*about, entry.name, entry.name, labelled, partial(_fail, error))]
    number = len(parts)
    names = [f'{entry.name}, slice {k + 1} of {number}' for k in range(number)]
    return [
        Image(*about, name if number > 1 else entry.name, entry.name, labelled,
              partial(_prepared, pipeline, part))
        for name, part in zip(names, parts, strict=True)
    ]  # fmt: skip


def _prepared(pipeline: TestPipeline, part: Mapping[str, Any]) -> dict:
    return pipeline(dict(part))


def _fail(error: Exception) -> dict:
    raise error


def _pattern(text: str | None) -> re.Pattern | None:
    try:
        pattern = None if text is None else re.compile(text)
    except re.error as error:
        raise ValueError(f'--case-pattern "{text}" is no regular expression: {error}') from None
    if pattern is not None and 'case' not in pattern.groupindex:
        raise ValueError(
            f'--case-pattern "{text}" has no group "case", as in "(?P<case>\\d+)_\\d+"'
        )
    return pattern


def _case(name: str, pattern: re.Pattern | None) -> str:
    """Return the patient of a file."""
    if pattern is None:
        return name
    last = Path(name).name
    match = pattern.fullmatch(split_suffix(last)[0] or last)
    if match is None:
        raise ValueError(f'The name "{name}" does not fit --case-pattern "{pattern.pattern}"')
    return match['case']
