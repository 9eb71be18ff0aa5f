"""What the images of a data set have in common, and what is wrong with them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from mmssl.inspection.entries import Collected, slices_of
from mmssl.inspection.measuring import Facts, faults_in, measure

Rows = list[list[str]]

# Distance of two domains, in the usual distance of an image from its own domain.
ALIKE, APART = 0.5, 1.0


@dataclass
class Findings:
    """What was found.

    Attributes:
        facts: of each image that could be read.
        faults: a sentence for each file that could not.
        duplicates: a sentence for each pair of equal images in two parts of the split.
        repeated: number of images that another one of the same part equals.
        distances: two domains -> distance of their grey levels, and it in usual distances.
        usual: domain -> usual distance of an image from the others of its domain.
        notes: what a reader has to know.
    """

    facts: list[Facts] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    repeated: int = 0
    distances: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    usual: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> bool:
        """Whether something is unreadable or in two parts of the split."""
        return bool(self.faults or self.duplicates)

    def by_domain(self) -> dict[str, list[Facts]]:
        """Return the facts of each domain."""
        found: dict[str, list[Facts]] = {}
        for facts in self.facts:
            found.setdefault(facts.entry.domain, []).append(facts)
        return found


def find(
    collected: Collected, progress: Callable[[Sequence[Any]], Iterable[Any]] = iter
) -> Findings:
    """Look at all images; one that cannot be read is a fault and stops nothing.

    Args:
        collected: what to look at.
        progress: wraps the list of images to show how far it is.
    """
    found = Findings(faults=list(collected.faults), notes=list(collected.notes))
    for entry in progress(collected.entries):
        current = entry
        try:
            for current in slices_of(entry):
                found.facts.append(measure(current, collected.parts))
        except (ValueError, OSError) as error:
            said = faults_in(error, current)
            if said not in found.faults:
                found.faults.append(said)
    _find_duplicates(found)
    _find_distances(found)
    return found


def _find_duplicates(found: Findings) -> None:
    """Compare images by their pixels."""
    equal: dict[bytes, list[Facts]] = {}
    for facts in found.facts:
        if facts.digest is not None:
            equal.setdefault(facts.digest, []).append(facts)
    for group in equal.values():
        first: dict[str, Facts] = {}
        for facts in group:
            if facts.entry.part in first:
                found.repeated += 1
            first.setdefault(facts.entry.part, facts)
        parts = sorted(part for part in first if part)
        for one, other in combinations(parts, 2):
            a, b = first[one].entry, first[other].entry
            found.duplicates.append(
                f'{a.name} of {a.domain} ({one}) equals {b.name} of {b.domain} ({other}): '
                f'{a.path} and {b.path}.'
            )


def shares(facts: Sequence[Facts]) -> np.ndarray:
    """Return the mean share of each grey level, every image counting alike."""
    return np.mean([one.histogram / one.histogram.sum() for one in facts], axis=0)


def _find_distances(found: Findings) -> None:
    """Compare the grey levels of the domains by their Wasserstein-1 distance."""
    from scipy.stats import wasserstein_distance

    levels = np.arange(256)

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return float(wasserstein_distance(levels, levels, one, other))

    domains = found.by_domain()
    means = {name: shares(facts) for name, facts in domains.items()}
    for name, facts in domains.items():
        own = [one.histogram / one.histogram.sum() for one in facts]
        rest = max(1, len(own) - 1)
        others = [(means[name] * len(own) - share) / rest for share in own]
        apart = [
            distance(share, np.maximum(other, 0)) if other.sum() > 0.5 else 0.0
            for share, other in zip(own, others, strict=True)
        ]
        found.usual[name] = float(np.median(apart))
    for one, other in combinations(domains, 2):
        between = distance(means[one], means[other])
        usual = (found.usual[one] + found.usual[other]) / 2
        # Of images that are all alike, less than half a grey level is rounding.
        found.distances[one, other] = (between, between / max(usual, 0.5))


def in_words(ratio: float) -> str:
    """Say what a distance means, given in usual distances of an image from its own domain."""
    if ratio < ALIKE:
        return 'alike'
    return 'a little apart' if ratio < APART else 'far apart: a domain shift'


def domain_table(found: Findings) -> Rows:
    """Return a row for each domain: what is there, and how it lies."""
    parts = [part for part in ('train', 'val', 'test', '')
             if any(facts.entry.part == part for facts in found.facts)]  # fmt: skip
    rows = [['domain', *(part or 'images' for part in parts), 'cases', 'files', 'size (px)',
             'pixel (mm)', 'slice (mm)', 'axes', 'format', 'grey level']]  # fmt: skip
    for domain, facts in found.by_domain().items():
        counts = Counter(one.entry.part for one in facts)
        grey = shares(facts)
        mean = float(grey @ np.arange(256))
        spread = float(np.sqrt(grey @ (np.arange(256) - mean) ** 2))
        sizes = [one.spacing for one in facts if one.spacing]
        thick = [one.thickness for one in facts if one.thickness]
        rows.append(
            [
                domain,
                *(str(counts[part]) for part in parts),
                # Cases may count anew in each part.
                str(len({(one.entry.part, one.entry.case) for one in facts})),
                str(len({one.entry.path for one in facts})),
                _pairs([one.shape for one in facts], '{:.0f}'),
                _pairs(sizes, '{:.3g}'),
                _range(thick),
                _listed(one.orientation for one in facts),
                _listed(one.kind for one in facts),
                f'{mean:.0f} +- {spread:.0f}',
            ]
        )
    return rows


def _pairs(pairs: Sequence[tuple[float, float]], form: str) -> str:
    """Return the usual pair, and the smallest and largest if they differ."""
    if not pairs:
        return '-'
    said = Counter(' x '.join(form.format(value) for value in pair) for pair in pairs)
    usual = said.most_common(1)[0][0]
    if len(said) == 1:
        return usual
    low, high = np.min(pairs, axis=0), np.max(pairs, axis=0)
    ends = (' x '.join(form.format(value) for value in end) for end in (low, high))
    return f'{usual} ({" to ".join(ends)})'


def _range(values: Sequence[float]) -> str:
    if not values:
        return '-'
    low, high = f'{min(values):.3g}', f'{max(values):.3g}'
    return low if low == high else f'{low} to {high}'


def _listed(words: Iterable[str]) -> str:
    return ', '.join(word or '-' for word, _ in Counter(words).most_common(4))


def part_table(found: Findings, parts: Mapping[str, Sequence[int]]) -> Rows:
    """Return a row for each domain and part of the masks that may be opened."""
    rows = [['domain', 'part', 'masks', 'with it', 'share of image', 'size', 'empty masks']]
    for domain, facts in found.by_domain().items():
        masked = [(one, one.sizes) for one in facts if one.sizes is not None]
        empty = sum(not any(sizes.values()) for _, sizes in masked)
        for part in parts if masked else ():
            there = [(one, sizes[part]) for one, sizes in masked if sizes[part]]
            areas = [
                (size * float(np.prod(one.spacing)) if one.spacing else size) for one, size in there
            ]
            unit = 'mm2' if there and all(one.spacing for one, _ in there) else 'px'
            share = [size / (one.shape[0] * one.shape[1]) for one, size in there]
            rows.append(
                [
                    domain,
                    part,
                    str(len(masked)),
                    f'{len(there)} ({len(there) / len(masked):.0%})',
                    f'{np.mean(share):.1%}' if there else '-',
                    f'{np.median(areas):.0f} {unit}' if there else '-',
                    str(empty),
                ]
            )
    return rows


def distance_table(found: Findings) -> Rows:
    """Return a row for each pair of domains."""
    rows = [['domain', 'and', 'distance', 'in usual ones', 'they are']]
    for (one, other), (apart, ratio) in found.distances.items():
        rows.append([one, other, f'{apart:.1f}', f'{ratio:.1f}', in_words(ratio)])
    return rows
