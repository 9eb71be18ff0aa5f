"""From files to samples: the slices of a volume one by one, or whole volumes."""

from collections.abc import Collection, Mapping

from mmssl.datasets.files.counts import warn_once
from mmssl.datasets.files.layout import DomainLayout, Place, Sample, SliceFile
from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats import holds_volumes
from mmssl.datasets.reading.volumes import volume_shape


def fitting(name: str, place: Place | None, domain: str, layout: DomainLayout) -> Place:
    """Return what the case pattern finds in a name.

    Raises:
        ValueError: the name does not fit it.
    """
    if place is None:
        raise ValueError(
            f'Domain "{domain}": the name "{name}" does not fit '
            f'case_pattern = r"{layout.case_pattern}". Change one of the two.'
        )
    return place


def expand(
    domain: str, layout: DomainLayout, files: Mapping[str, str], chosen: Collection[str]
) -> dict[str, Sample]:
    """Return name -> sample without mask of the chosen files; of volumes the header is read.

    Args:
        domain: name of the domain.
        layout: how its files are laid out, and what a sample is.
        files: name -> path of all files.
        chosen: names of those that belong to the part of the split in use.

    Raises:
        ValueError: files do not go together, or do not hold what a sample is.
    """
    paths = {name: files[name] for name in chosen}
    if layout.sample == 'volume':
        return _volumes(domain, layout, files, paths)
    return _slices(domain, layout, paths)


def _slices(domain: str, layout: DomainLayout, files: dict[str, str]) -> dict[str, Sample]:
    """Return name -> sample without mask: one for a file with a slice, several for a volume."""
    images: dict[str, Sample] = {}
    for name, path in files.items():
        case, volume, number = fitting(name, layout.place_of(name), domain, layout)
        shape: tuple[int, ...] = ()
        if number is None and holds_volumes(path):
            shape = volume_shape(path, layout.image_key, layout.axes)
        if len(shape) < 3:
            found = [Sample(domain, name, case, number, path, None, volume)]
        else:
            found = [
                Sample(domain, f'{name}_slice_{k + 1}', case, str(k + 1), path, None, volume, k)
                for k in range(shape[0])
            ]
        for sample in found:
            _check_volume(images.setdefault(sample.name, sample), sample)
    _check_volumes(images)
    return images


def _volumes(
    domain: str, layout: DomainLayout, files: Mapping[str, str], paths: Mapping[str, str]
) -> dict[str, Sample]:
    """Return name -> sample without mask, one for each volume."""
    images: dict[str, Sample] = {}
    stacks: dict[str, dict[str, SliceFile]] = {}
    cases: dict[str, str] = {}
    for name, path in paths.items():
        case, volume, number = fitting(name, layout.place_of(name), domain, layout)
        if number is None:
            _check_three(path, layout)
            images[name] = Sample(domain, name, case, None, path, None, volume)
            continue
        stack = stacks.setdefault(volume, {})
        cases[volume] = case
        if number in stack:
            raise ValueError(
                f'{stack[number].img_path} and {path} both are slice {number} of volume '
                f'"{volume}". Tell them apart by a group "volume" in case_pattern.'
            )
        stack[number] = SliceFile(name, path)
    for volume, stack in stacks.items():
        order = sorted(stack, key=_as_number)
        found = tuple(stack[number] for number in order)
        first = found[0].img_path
        _warn_of_gaps(domain, volume, order)
        sample = Sample(domain, volume, cases[volume], None, first, None, volume, slices=found)
        _check_volume(images.setdefault(volume, sample), sample, whole=True)
    _check_complete(domain, layout, files, stacks)
    _check_volumes(images, whole=True)
    return dict(sorted(images.items()))


def _as_number(number: str) -> tuple[int, str]:
    return (int(number), '') if number.isdecimal() else (0, number)


def _check_three(path: str, layout: DomainLayout) -> None:
    """Refuse a file with one slice that does not say its number."""
    if holds_volumes(path):
        shape = volume_shape(path, layout.image_key, layout.axes)
        if len(shape) == 3:
            return
        what = f'a slice {shape}'
    else:
        what = 'a picture'
    raise DataError(
        f'{path} is {what}, but sample = "volume" asks for whole volumes. Let case_pattern find '
        'the number of the slice in its name by a group "slice" and its volume by a group '
        '"volume", or set sample="slice".'
    )


def _warn_of_gaps(domain: str, volume: str, order: list[str]) -> None:
    numbers = [int(number) for number in order if number.isdecimal()]
    if len(numbers) == len(order) and numbers[-1] - numbers[0] + 1 != len(numbers):
        warn_once(
            f'Domain "{domain}": volume "{volume}" has {len(numbers)} slices with numbers from '
            f'{numbers[0]} to {numbers[-1]}: those in between are missing, and it is stacked '
            'without them.'
        )


def _check_complete(
    domain: str, layout: DomainLayout, files: Mapping[str, str], stacks: Mapping[str, Mapping]
) -> None:
    """Refuse volumes of which the split gives some slices to one part and some to another."""
    counts = dict.fromkeys(stacks, 0)
    for name in files if stacks else ():
        place = layout.place_of(name)
        if place is not None and place.slice is not None and place.volume in counts:
            counts[place.volume] += 1
    for volume, count in counts.items():
        if count != len(stacks[volume]):
            raise ValueError(
                f'Domain "{domain}": volume "{volume}" has {count} slices, of which the split '
                f'chooses {len(stacks[volume])}. Choose whole volumes, such as by '
                'split=dict(type=\'case\', test=0.2), or set sample="slice".'
            )


def _check_volumes(images: Mapping[str, Sample], whole: bool = False) -> None:
    """Refuse a file with a whole volume beside other files of the same volume."""
    files_of: dict[str, Sample] = {}
    for sample in images.values():
        _check_volume(files_of.setdefault(sample.volume, sample), sample, whole)


def _check_volume(first: Sample, second: Sample, whole: bool = False) -> None:
    """Refuse a file with a whole volume beside other files of the same volume."""
    whole = whole or (first.index, second.index) != (None, None)
    if first.img_path != second.img_path and whole:
        raise ValueError(
            f'{first.img_path} and {second.img_path} both belong to volume "{second.volume}", and '
            'one of them holds all of its slices. Choose one with image_dir, image_name or the '
            'lists, or tell them apart by a group "volume" in case_pattern.'
        )
