"""How much a way to choose a checkpoint loses against the best on the test set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmssl.evaluation.label_free import RULES, choose, rule_values, usable_rule
from mmssl.evaluation.statistics import CaseScores, interval
from mmssl.experiments.averaged import MEANS
from mmssl.experiments.kept_run import KeptRun
from mmssl.utils.errors import SettingError

LAST, VAL, STUDENT = 'last', 'val', 'last, student by rank'
WAYS = {
    LAST: 'last checkpoint, primary student',
    STUDENT: 'last checkpoint, the student that the mean rank names',
    VAL: 'best on labelled images for validation',
    **{rule: f'label-free: {rule}' for rule in RULES},
    **{name: f'{text}; primary student' for name, text in MEANS.items()},
}
"""Name of a way to choose to what it is."""


class Regret(NamedTuple):
    """What the ways to choose lose in one run.

    Attributes:
        run: its folder.
        data: name of the folder above the method's: what it was trained on.
        method: name of the folder above the run's.
        best: DSC on the test set of the best student at the best checkpoint, in %.
        lost: way to points below that; what a run does not have is left out.
    """

    run: str
    data: str
    method: str
    best: float
    lost: dict[str, float]


def regret(run: KeptRun, rules: Sequence[str] = RULES) -> Regret:
    """Return what the ways to choose lose in a run whose checkpoints and means are measured.

    Means may be better than every checkpoint: then the loss is below 0.
    """
    history, students = run.history(), run.students()
    last = run.iterations[-1]

    def score(one: tuple[int, str], kind: str = 'test') -> float:
        return float(run.entries[f'iter_{one[0]}'][kind][one[1]])

    every: list[tuple[int, str]] = [(i, s) for i in run.iterations for s in students]
    best = max(map(score, every))
    newest = {c: v for c, v in rule_values(history, 'rank', students).items() if c.iter == last}
    chosen: dict[str, tuple[int, str]] = {LAST: (last, students[0])}
    chosen[STUDENT] = max(newest, key=newest.__getitem__)
    if all('val' in run.entries[f'iter_{i}'] for i in run.iterations):
        chosen[VAL] = max(every, key=lambda one: score(one, 'val'))
    for rule in (rule for rule in rules if usable_rule(history, rule, students) == rule):
        chosen[rule] = choose(history, rule, students) or (last, students[0])
    lost = {way: best - score(one) for way, one in chosen.items()}
    for name in MEANS:
        if name in run.entries:
            lost[name] = best - run.entries[name]['test'][students[0]]
    data, method = ('', '', *run.folder.resolve().parts)[-3:-1]
    return Regret(str(run.folder), data, method, best, lost)


class Study:
    """The losses of many runs, as a table and in words.

    Args:
        regrets: one for each run.
    """

    def __init__(self, regrets: Sequence[Regret]) -> None:
        self.regrets = list(regrets)
        self.ways = [way for way in WAYS if any(way in one.lost for one in regrets)]

    def compared(self) -> tuple[CaseScores, list[str]]:
        """Return the runs as cases of the data sets, for `mmssl.evaluation.statistics`."""
        ways = [way for way in self.ways if all(way in one.lost for one in self.regrets)]
        values = np.array([[[one.lost[way]] for way in ways] for one in self.regrets])
        domains = [one.data for one in self.regrets]
        runs = [one.run for one in self.regrets]
        return CaseScores(ways, values, domains, runs, {}, greater=False), ways

    def table(self) -> list[list[str]]:
        """Return a row for each way: runs, mean with interval, worst, and the mean of each group.

        The interval is the bootstrap's over runs, drawn anew within each data set.
        """
        groups = list(dict.fromkeys((one.data, one.method) for one in self.regrets))
        data = list(dict.fromkeys(one.data for one in self.regrets))
        heads = [*data, *('/'.join(group) for group in groups)]
        rows = [['way', 'runs', 'mean', '95 %', 'worst', *heads]]
        for way in self.ways:
            own = [one for one in self.regrets if way in one.lost]
            lost = np.array([[[one.lost[way]]] for one in own])
            cases = CaseScores([way], lost, [o.data for o in own], [o.run for o in own], {})
            low, high = interval(cases.draws()[:, 0])
            cells = [
                _mean([o.lost[way] for o in own if of(o)])
                for of in (
                    *(lambda o, d=d: o.data == d for d in data),
                    *(lambda o, g=g: (o.data, o.method) == g for g in groups),
                )
            ]
            rows.append(
                [
                    way,
                    str(len(own)),
                    f'{cases.means()[0]:.2f}',
                    f'{low:.2f} to {high:.2f}',
                    f'{lost.max():.2f}',
                    *cells,
                ]
            )
        return rows

    def words(self) -> list[str]:
        """Say how `rank` and `last` compare with every other way, and what is chance in it."""
        scores, ways = self.compared()
        said = []
        for first in (way for way in ('rank', LAST) if way in ways and len(self.regrets) > 1):
            said += [one.words(first) for one in scores.differences(first)]
        return [line.replace('patients', 'runs') for line in said]

    def content(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            'ways': {way: WAYS[way] for way in self.ways},
            'runs': [one._asdict() for one in self.regrets],
            'table': self.table(),
            'words': self.words(),
        }


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of runs below some folders that have several checkpoints.

    Trials of a tuning (folders called `tune`) are left out unless one of them is named itself.

    Raises:
        SettingError: one of the folders is not there, or there is no run.
    """
    from mmssl.engine.checkpoints.folder import NUMBERED

    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise SettingError(f'There is no folder "{folder}": name work folders of trainings')
        counts: dict[Path, int] = {}
        for path in sorted(folder.rglob('iter_*.pth')):
            inside = path.parent.relative_to(folder).parts
            if NUMBERED.fullmatch(path.name) and 'tune' not in inside:
                counts[path.parent] = counts.get(path.parent, 0) + 1
        found.update(dict.fromkeys(place for place, count in counts.items() if count > 1))
    if not found:
        raise SettingError(
            f'No training below {", ".join(map(str, folders))} kept several iter_*.pth: train with '
            'default_hooks.checkpoint.max_keep_ckpts=-1'
        )
    return list(found)


def _mean(values: Sequence[float]) -> str:
    return f'{np.mean(values):.2f}' if len(values) else '-'


def place_of(run: Path, out: Path | None) -> Path:
    """Return the file of a run's measurements: in its folder, or below `out` by its last folders.

    Example:
        >>> place_of(Path('a/b/cps/seed0'), Path('out')).as_posix()
        'out/b-cps-seed0.json'
    """
    if out is None:
        return run / 'selection.json'
    return out / ('-'.join(run.absolute().parts[-3:]) + '.json')


def places_of(runs: Sequence[Path], out: Path | None) -> dict[Path, Path]:
    """Return the file of each run's measurements, see `place_of`.

    Raises:
        SettingError: two runs would have the same.
    """
    places: dict[Path, Path] = {}
    for run in runs:
        place = place_of(run, out)
        if other := next((one for one, taken in places.items() if taken == place), None):
            raise SettingError(
                f'{other} and {run} would both be measured into {place}: leave --out away, or give '
                'each a call and a folder of its own'
            )
        places[run] = place
    return places
