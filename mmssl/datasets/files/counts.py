"""How many images there are, in words and against the published numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence

from mmengine.logging import print_log

from mmssl.datasets.files.layout import Sample

_REPORTED: set[str] = set()


def compare_counts(metainfo: dict, mode: str, found: Mapping[str, int]) -> str | None:
    """Return how the number of images differs from the published one, None if it does not.

    Args:
        metainfo: of the data set; `published_counts` holds for 'train' and 'test' the images of
            each domain, or one total, which is compared if all of its domains are in use.
        mode: 'train', 'val' or 'test'.
        found: images of each domain in use.
    """
    published = metainfo['published_counts'].get(mode)
    counts = dict(found)
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
    rest = '' if all(sample.labelled for sample in samples) else f', without masks {listing(False)}'
    return f'{name} {mode} images: {listing(True)}{rest}'
