"""Scores of several methods on the same images, out of the files that a test writes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmssl.evaluation.statistics.comparing import CaseScores
from mmssl.evaluation.statistics.resampling import nan_mean

LOWER_IS_BETTER = ('HD95', 'ASD')

Identity = tuple[str, str, str]


def identity(image: Mapping[str, Any]) -> Identity:
    """Return what an image is called in every run: domain, name, number in its file.

    The path does not belong to it: runs of two machines have the same images elsewhere.
    """
    index = image.get('index')
    name = image.get('name') or image.get('key') or ''
    return str(image['domain']), str(name), '' if index is None else str(index)


def patient(image: Mapping[str, Any]) -> str:
    """Return the patient that an image is of, its name where none is known."""
    case = image.get('case')
    return identity(image)[1] if case is None else str(case)


def case_scores(
    methods: Mapping[str, Sequence[tuple[Sequence[Mapping[str, Any]], str]]],
    metric: str = 'DSC',
    part: str | None = None,
    domain: str | None = None,
) -> CaseScores | None:
    """Bring the scores of methods on the same images together.

    Args:
        methods: name to its trainings, each the `images` of a file of `tools/test.py --out` and
            the student whose scores count.
        metric: which score.
        part: this part alone; None takes the mean over those that all have.
        domain: this domain alone.

    Returns:
        The mean over the trainings of each image that all of them have, in the order of the first;
        None where they share no image or no part.
    """
    tables: dict[str, list[dict[Identity, Mapping]]] = {}
    about: dict[Identity, Mapping] = {}
    for name, runs in methods.items():
        tables[name] = []
        for images, student in runs:
            found = {
                identity(image): image
                for image in images
                if student in image['scores'] and domain in (None, image['domain'])
            }
            about = {**found, **about}
            tables[name].append({k: image['scores'][student] for k, image in found.items()})
    every = [table for runs in tables.values() for table in runs]
    if not every or not all(every):
        return None
    shared = [key for key in every[0] if all(key in table for table in every[1:])]
    parts = [p for p in every[0][next(iter(every[0]))] if part in (None, p)]
    parts = [p for p in parts if all(p in table[k] for table in every for k in shared)]
    if not shared or not parts:
        return None

    def numbers(table: Mapping[Identity, Mapping]) -> np.ndarray:
        rows = [[table[key][p].get(metric) for p in parts] for key in shared]
        return np.array(rows, dtype=float)  # None becomes NaN

    domains = [about[key]['domain'] for key in shared]
    clusters = [patient(about[key]) for key in shared]
    greater = metric not in LOWER_IS_BETTER
    columns, runs_of = [], {}
    for name, found_in in tables.items():
        of_runs = np.stack([numbers(table) for table in found_in], axis=1)  # (N, runs, P)
        alone = CaseScores([str(i) for i in range(len(found_in))], of_runs, domains, clusters, {})
        runs_of[name] = [alone.means().tolist()]
        columns.append(nan_mean(of_runs, 1))
    values = np.stack(columns, axis=1)
    return CaseScores(list(tables), values, domains, clusters, runs_of, greater)
