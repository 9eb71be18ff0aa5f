"""What a data set is, for the metrics and pictures: classes, parts, colours."""

import copy
from collections.abc import Mapping, Sequence

PALETTE = [[0, 0, 0], [230, 60, 60], [60, 160, 240], [90, 200, 90], [240, 190, 40], [180, 90, 220]]


def build_metainfo(given: Mapping, num_classes: int, domains: Sequence[str], name: str) -> dict:
    """Fill in what the config leaves open, and compare the classes with the label map.

    Args:
        given: any of `classes`, `parts` (name -> class ids whose union is the part), `palette`,
            `dataset_name` and `published_counts`.
        num_classes: number of classes of the label map, background included; `classes` may
            name more.
        domains: names of the domains.
        name: name of the data set if none is given.

    Raises:
        ValueError: the label map has a class without a name, or a part no class.
    """
    info = copy.deepcopy(dict(given))
    names = ['background', *(f'class{index}' for index in range(1, num_classes))]
    classes = info.setdefault('classes', tuple(names))
    if isinstance(classes, str) or len(set(classes)) < len(classes):
        raise ValueError(f'classes = {classes!r} must be a list of different names, the first one '
                         'of the background.')  # fmt: skip
    classes = tuple(classes)
    if num_classes > len(classes):
        raise ValueError(
            f'The label map gives class id {num_classes - 1}, but there are only {len(classes)} '
            f'classes: {", ".join(classes)}. Name the classes in metainfo.'
        )
    parts = {part: [index] for index, part in enumerate(classes) if index}
    if not isinstance(info.setdefault('parts', parts), Mapping) or (parts and not info['parts']):
        raise ValueError(
            f'parts = {info["parts"]!r} in metainfo must name each part and its class ids, as in '
            f'parts={parts}; without it each class is a part.'
        )
    for part, ids in info['parts'].items():
        if isinstance(ids, str | int):
            raise ValueError(f'Part "{part}" = {ids!r} must be a list of class ids, [{ids}].')
        if not ids or not all(0 < index < len(classes) for index in ids):
            raise ValueError(
                f'Part "{part}" = {list(ids)} must list class ids 1 to {len(classes) - 1}.'
            )
    info.setdefault('palette', [PALETTE[index % len(PALETTE)] for index in range(len(classes))])
    info.setdefault('dataset_name', name)
    info.setdefault('published_counts', {})
    return {**info, 'classes': classes, 'num_classes': num_classes, 'domains': list(domains)}
