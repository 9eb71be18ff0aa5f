"""Methods on several data sets at once: their mean, their mean rank, and what of it is chance."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from mmssl.experiments.chance import Chance, chance_of
from mmssl.experiments.table import (
    LOWER_IS_BETTER,
    METRICS,
    Row,
    columns,
    detail,
    markdown,
    overview,
    to_csv,
)
from mmssl.reports.gather import gather
from mmssl.utils import tables
from mmssl.utils.errors import SettingError
from mmssl.utils.io import write_atomic

LABELLED = 'train_dataloader.dataset.labelled.domain'

Means = Mapping[str, float | None]


class Tested(NamedTuple):
    """A training's test on a data set.

    Attributes:
        images: those of the file of results, of the domains that count.
        student: whose scores count.
        means: metric to value, over images, domains and parts.
    """

    images: list[dict[str, Any]]
    student: str
    means: Means


class Across:
    """Methods compared over data sets, each with the same weight.

    A data set is the folder of a comparison, or any with METHOD/RUN, trainings with tests. Those
    methods are compared that all data sets have, on the images that all their trainings have; the
    others are shown.

    Args:
        folders: of the data sets.
        student: whose scores count; None takes the one that was chosen, else the first.
        domains: `all`, those that have labels, or those that have none.
        metric: by which methods are compared.

    Raises:
        FileNotFoundError: a folder does not exist, or has no runs.
        SettingError: two folders are one, nothing is left of a data set, or a training does not say
            which domain had labels.
    """

    names = ('method',)

    def __init__(
        self,
        folders: Sequence[Path],
        student: str | None = None,
        domains: str = 'all',
        metric: str = 'DSC',
    ) -> None:
        self.student, self.domains, self.metric = student, domains, metric
        if len({folder.resolve() for folder in folders}) < len(folders):
            raise SettingError('A folder is named twice; name each data set once')
        titles = [folder.resolve().name for folder in folders]
        self.sets: dict[str, dict[str, list[Tested]]] = {}
        for folder, title in zip(folders, titles, strict=True):
            name = title if titles.count(title) == 1 else folder.as_posix()
            self.sets[name] = self._read(folder)
        methods = dict.fromkeys(name for found in self.sets.values() for name in found)
        self.compared = [n for n in methods if all(n in found for found in self.sets.values())]
        self.chance = self._find_chance()
        ranks = self._ranks()
        self.rows = [self._row(name, ranks.get(name)) for name in methods]

    def _read(self, folder: Path) -> dict[str, list[Tested]]:
        """Return the tests of each method of a data set."""
        found: dict[str, list[Tested]] = {}
        for method in gather([folder]):
            for run in method.runs:
                students = run.result.get('students', {})
                first = run.result.get('chosen') or next(iter(students), None)
                student = self.student or first
                if student and student in students and run.result.get('images'):
                    images = self._of_domains(run)
                    found.setdefault(method.name, []).append(_tested(images, student))
        if not found:
            whom = f' of student "{self.student}"' if self.student else ''
            raise SettingError(
                f'{folder} has no finished test{whom} with scores of single images; name the '
                'folder of `mmssl compare`, once its runs are done'
            )
        return found

    def _of_domains(self, run: Any) -> list[dict[str, Any]]:
        """Return the images that count; domains are told from those of other data sets."""
        data, labelled = run.result.get('dataset'), run.setting(LABELLED)
        if self.domains != 'all' and labelled in (None, 'all'):
            raise SettingError(
                f'--domains {self.domains}: {run.folder} does not say which domain had labels '
                f'({LABELLED} is {labelled!r}); leave --domains out'
            )
        wanted = {'all': (True, False), 'labelled': (True,), 'unlabelled': (False,)}[self.domains]
        kept = [
            {**image, 'domain': f'{data}/{image["domain"]}'}
            for image in run.result['images']
            if (image['domain'] == labelled) in wanted
        ]
        if not kept:
            raise SettingError(
                f'--domains {self.domains}: all test images of {run.folder} are of other domains'
            )
        return kept

    def _row(self, name: str, rank: float | None) -> Row:
        """Return the row of a method: the n-th run is the n-th training on every data set."""
        tests = {title: found[name] for title, found in self.sets.items() if name in found}
        runs = {}
        for n in range(max(map(len, tests.values()))):
            means = {title: own[n].means for title, own in tests.items() if n < len(own)}
            whole = _mean(list(means.values())) if len(means) == len(self.sets) else {}
            by_set = {title: {'mean': own, 'parts': {}} for title, own in means.items()}
            runs[f'run {n + 1}'] = {'mean': whole, 'parts': {}, 'domains': by_set}
        notes = {'mean rank': '-' if rank is None else f'{rank:.2f}'}
        if self.chance is not None:
            notes[self.chance.title] = self.chance.cell(name)
        return Row((name,), runs, len(runs), notes)

    def _ranks(self) -> dict[str, float]:
        """Return the mean over the data sets of a method's rank in the metric, 1 for the best."""
        from scipy import stats

        sign = 1 if self.metric in LOWER_IS_BETTER else -1
        ranks = []
        for found in self.sets.values():
            means = [_mean([t.means for t in found[name]])[self.metric] for name in self.compared]
            ranks.append(stats.rankdata([math.inf if m is None else sign * m for m in means]))
        return {name: float(np.mean([r[i] for r in ranks])) for i, name in enumerate(self.compared)}

    def _find_chance(self) -> Chance | None:
        """Compare the methods that all data sets have; None where they share no image of one."""
        from mmssl.evaluation.statistics import case_scores, merge

        if not self.compared:
            return None
        every = []
        for found in self.sets.values():
            tested = {name: [test[:2] for test in found[name]] for name in self.compared}
            scores = case_scores(tested, self.metric)
            if scores is None:
                return None
            every.append(scores)
        return chance_of(merge(every), self.metric)

    def words(self) -> list[str]:
        """Say what is compared, and what of it is more than chance."""
        of = {
            'all': '',
            'labelled': ', domains with labels',
            'unlabelled': ', domains without labels',
        }
        said = [f'Mean over {len(self.sets)} data sets{of[self.domains]}: {", ".join(self.sets)}.']
        left = [row.name for row in self.rows if row.name not in self.compared]
        if left:
            said.append(f'Not on every data set, and not compared: {", ".join(left)}.')
        return said + (self.chance.words() if self.chance else [])

    def text(self) -> str:
        """Return tables and words for a screen."""
        left = len(self.names) + 1
        parts = [tables.text(overview(self.rows, self.names), left), '\n'.join(self.words())]
        if len(columns(self.rows)) > 1:
            table = detail(self.rows, self.names, self.metric)
            parts.append(f'{self.metric}\n{tables.text(table, left)}')
        return '\n\n'.join(parts)

    def write(self, folder: Path) -> list[Path]:
        """Write table.md, table.csv, results.json and a plot of the metric; return the files."""
        from mmssl.experiments.plot import plot_sweep

        said = '\n'.join(f'- {line}' for line in self.words())
        content = {
            'data_sets': list(self.sets),
            'domains': self.domains,
            'student': self.student,
            'compared': self.compared,
            'chance': self.chance and self.chance.content(),
            'rows': [{'labels': row.labels, 'runs': row.runs} for row in self.rows],
        }
        files: dict[str, str] = {
            'table.md': f'{markdown(self.rows, self.names)}\n{said}\n',
            'table.csv': to_csv(self.rows, self.names),
            'results.json': json.dumps(content, indent=1) + '\n',
        }
        for name, text in files.items():
            write_atomic(folder / name, text)
        plot = plot_sweep(
            self.rows, self.names, self.metric, folder / f'{self.metric}.png', bars=True
        )
        return [*(folder / name for name in files), plot]


def _tested(images: list[dict[str, Any]], student: str) -> Tested:
    from mmssl.evaluation.domain_table import average

    rows = [
        {
            'domain': image['domain'],
            'scores': {student: _numbers(image['scores'][student])},
        }
        for image in images
        if student in image['scores']
    ]
    means = average(rows, METRICS)[student]['mean']
    return Tested(images, student, {m: None if v != v else v for m, v in means.items()})


def _numbers(parts: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Return the scores of an image's parts, NaN where there is none."""
    return {part: {m: _number(values.get(m)) for m in METRICS} for part, values in parts.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _mean(means: Sequence[Means]) -> dict[str, float | None]:
    """Return the mean of each metric; None where one of the values does not exist."""
    found: dict[str, float | None] = {}
    for metric in METRICS:
        values = [own.get(metric) for own in means]
        kept = [value for value in values if value is not None]
        found[metric] = fmean(kept) if kept and len(kept) == len(values) else None
    return found
