"""The ranking of a pool: who comes first and why, as a table, a list and a page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmssl.ranking.choosing import Choice, choose, distances, scores, standardise
from mmssl.ranking.options import MEASURES
from mmssl.ranking.pool import Pool
from mmssl.ranking.scoring import Case, Scorer
from mmssl.utils import tables

WITHOUT = {
    'disagreement': 'The model has one network, so that there is no disagreement.',
    'distance': 'No labelled case is known, so that there is no distance to the nearest one.',
}


@dataclass
class Ranked:
    """A case with its place.

    Attributes:
        place: from 1.
        case: the case.
        score: 0 to 1, see `scores`.
        chosen: whether it is to be labelled next.
    """

    place: int
    case: Case
    score: float
    chosen: bool


@dataclass
class Ranking:
    """The cases of a pool in their order.

    Attributes:
        ranked: the cases, those to be labelled next first.
        failed: those that could not be read.
        pool: the images.
        weights: of the measures.
        notes: what a reader has to know.
    """

    ranked: list[Ranked]
    failed: list[Case]
    pool: Pool
    weights: Mapping[str, float]
    notes: list[str]

    def table(self) -> list[list]:
        """Return the table: a header, and a line for each case."""
        rows: list[list] = [['place', 'next', 'domain', 'case', 'images', 'score', *self.weights]]
        for one in self.ranked:
            values = [f'{one.case.measures[name]:.6g}' for name in self.weights]
            chosen, case = 'yes' if one.chosen else 'no', one.case
            start = [one.place, chosen, case.domain, case.name, len(case.images)]
            rows.append([*start, f'{one.score:.4f}', *values])
        return rows

    def csv(self) -> str:
        """Return the table as comma-separated values."""
        return tables.csv(self.table())

    def names(self) -> list[str]:
        """Return the lines of a list: the labelled images, then those of the chosen cases.

        They are what `labelled.list` of a config takes.
        """
        labelled = [image for image in self.pool.images if image.labelled]
        chosen = [image for one in self.ranked if one.chosen for image in one.case.images]
        return list(dict.fromkeys(image.listed for image in [*labelled, *chosen]))


def rank(
    model: Any,
    pool: Pool,
    choice: Choice,
    weights: Mapping[str, float] | None = None,
    slices: str = 'top',
    batch_size: int = 8,
    pictures: int = 0,
    seen: Callable[[int], object] = lambda number: None,
) -> Ranking:
    """Rank the unlabelled cases of a pool by how much a label of theirs is worth.

    Args:
        model: of `init_model`.
        pool: the images.
        choice: how many are taken, and what counts besides the score.
        weights: of the measures, by name of `MEASURES`; None weighs all that there are alike.
        slices: how the images of a case are taken together, name of `SLICES`.
        batch_size: images in one forward pass.
        pictures: how many images of a case are drawn.
        seen: is told the number of images of each batch.

    Raises:
        ValueError: a measure cannot be had, or no case could be read.
    """
    wanted = dict(weights or dict.fromkeys(MEASURES, 1.0))
    scorer = Scorer(
        model, slices, 'distance' in wanted or choice.diversity > 1, batch_size, pictures
    )
    known = scorer.cases(pool, True, seen) if scorer.with_features else []
    cases = scorer.cases(pool, False, seen)
    known, failed = _whole(known), [one for one in cases if one.error]
    cases = _whole(cases)
    if not cases:
        raise ValueError(f'No case of the pool could be read: {failed[0].error}')
    features, nearest = _features(cases, known)
    if nearest is not None:
        for case, value in zip(cases, nearest, strict=True):
            case.measures['distance'] = float(value)
    notes = [*pool.notes]
    for name in [name for name in wanted if name not in cases[0].measures]:
        if weights:
            raise ValueError(f'{WITHOUT[name]} Leave it out of the measures')
        notes.append(WITHOUT[name])
        del wanted[name]
    values = {name: np.array([case.measures[name] for case in cases]) for name in wanted}
    score = scores(values, wanted)
    order = choose(
        score,
        [case.domain for case in cases],
        choice,
        [domain for domain, _ in pool.labelled_cases()],
        None if features is None else features[: len(cases)],
        None if features is None else features[len(cases) :],
    )
    ranked = [
        Ranked(place, cases[index], float(score[index]), place <= choice.number)
        for place, index in enumerate(order, 1)
    ]
    return Ranking(ranked, failed, pool, wanted, notes)


def _whole(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if not case.error]


def _features(
    cases: Sequence[Case], known: Sequence[Case]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the features of all cases, labelled ones last, and the distances to these."""
    if not cases[0].features.size:
        return None, None
    together = standardise(np.stack([case.features for case in (*cases, *known)]))
    if not known:
        return together, None
    return together, distances(together[: len(cases)], together[len(cases) :])
