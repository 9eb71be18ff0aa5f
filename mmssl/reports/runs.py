"""Runs, the methods that they are of, and the rows of a report's tables."""

import ast
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmssl.engine.hooks.save_cases_hook import FILE as CASES
from mmssl.experiments.runs import duration
from mmssl.utils.io import read_json
from mmssl.visualization.curves import Curve

MOST_STUDENTS = 6
"""Rows up to which all students of all methods are shown; beyond it the first of each."""


@dataclass
class Run:
    """A training with its test, or either alone.

    Attributes:
        name: of this run among those of its method, e.g. `seed 0`.
        folder: its work folder, or that of the file of results.
        result: what the test wrote (`tools/test.py --out`), empty without a test.
        file: the file of the result.
        settings: every setting by its dotted name, as text.
        about: what started each sitting, by the iteration it began with.
        curves: name to step to value.
        summary: of the scores while training.
        pseudo: measurements of the pseudo-labels, where they were diagnosed.
        cost: time of an iteration and memory.
        faults: what went wrong, in sentences.
    """

    name: str
    folder: Path
    result: dict[str, Any] = field(default_factory=dict)
    file: Path | None = None
    settings: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    pseudo: list[dict[str, Any]] = field(default_factory=list)
    cost: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def cases(self) -> Path | None:
        """The folder of saved cases, None where there is none."""
        named = self.result.get('cases')
        found = [self.file.parent / named] if named and self.file else []
        found = [path for path in [*found, self.folder, self.folder / 'cases'] if path]
        return next((path for path in found if (path / CASES).is_file()), None)

    @property
    def cases_about(self) -> dict[str, Any]:
        """What the saved cases have in common, empty where there are none."""
        return read_json(self.cases / CASES, {}) if self.cases else {}

    def setting(self, key: str, otherwise: Any = None) -> Any:
        """Return the value of a setting."""
        try:
            return ast.literal_eval(self.settings[key])
        except (KeyError, ValueError, SyntaxError):
            return self.settings.get(key, otherwise)

    def setting_names(self, key: str) -> list[str]:
        """Return the names below a setting, such as those of the students."""
        start = f'{key}.'
        below = (k.removeprefix(start) for k in self.settings if k.startswith(start))
        return list(dict.fromkeys(k.partition('.')[0] for k in below if '.' in k))

    @property
    def iterations(self) -> tuple[int, int]:
        """How many iterations the log has, and how many there should be."""
        done = max(
            (max(curve) for name, curve in self.curves.items() if '/' not in name), default=0
        )
        return done, int(self.setting('train_cfg.max_iters', 0) or 0)


@dataclass
class Method:
    """Runs of one setting.

    Attributes:
        name: of the setting.
        runs: its runs.
        student: whose scores count, where something says so.
        tuning: what a comparison tried for each of its methods before it; empty without.
    """

    name: str
    runs: list[Run]
    student: str | None = None
    tuning: dict[str, Any] = field(default_factory=dict)

    @property
    def students(self) -> list[str]:
        """Names of the students that were tested."""
        return list(dict.fromkeys(s for run in self.runs for s in run.result.get('students', {})))


@dataclass(frozen=True)
class Entry:
    """A row of the tables: a student of a method.

    Attributes:
        name: of the row.
        method: the method.
        student: the student.
    """

    name: str
    method: Method
    student: str

    @property
    def runs(self) -> list[Run]:
        """The runs that have scores of the student."""
        return [run for run in self.method.runs if self.student in run.result.get('students', {})]


def entries(methods: Sequence[Method], tested: bool = True) -> list[Entry]:
    """Return the rows of the tables: all students, where these are not too many.

    Args:
        methods: the methods.
        tested: those that have scores; else those of whom there are saved cases.
    """

    def of(method: Method) -> list[str]:
        if tested:
            return method.students
        return list(
            dict.fromkeys(s for run in method.runs for s in run.cases_about.get('students', ()))
        )

    rows = []
    total = sum(len(of(method)) for method in methods)
    for method in methods:
        students = of(method)
        if method.student in students:
            students = [method.student]
        elif total > MOST_STUDENTS:
            students = students[:1]
        for student in students:
            alone = len(methods) == 1
            name = student if alone else method.name
            rows.append(
                Entry(
                    name if alone or len(students) == 1 else f'{name}, {student}', method, student
                )
            )
    return rows


def relative(path: Path | None) -> str:
    """Return a path as a reader knows it, from where the report is made."""
    if path is None:
        return ''
    shown = os.path.relpath(path)
    return str(path) if shown.startswith('..') else shown


def run_card(method: Method) -> list[tuple[str, str]]:
    """Say what was run."""
    run = method.runs[0]
    started = list(run.about.values()) or [run.result.get('about') or {}]
    first, last = started[0], started[-1]
    done, wanted = run.iterations
    pairs: list[tuple[str, str]] = []

    def add(title: str, value: Any) -> None:
        if value not in (None, '', [], {}):
            pairs.append((title, str(value)))

    add('method', run.setting('model.type'))
    for name in run.setting_names('model.students'):
        parts = [
            run.setting(f'model.students.{name}.{p}.type') for p in ('backbone', 'decode_head')
        ]
        size = (last.get('networks') or {}).get(name)
        parts.append(f'{size["parameters"] / 1e6:.2f} million parameters' if size else None)
        if size and size['trained'] < size['parameters']:
            parts.append(f'{size["trained"] / 1e6:.2f} million of them trained')
        add(f'student {name}', ', '.join(p for p in parts if p) or None)
    add('runs', ', '.join(one.name for one in method.runs) if len(method.runs) > 1 else None)
    add('seed', run.setting('randomness.seed'))
    add('iterations', f'{done} of {wanted}' if wanted and done != wanted else wanted or None)
    for name in run.setting_names('optim_wrapper.optimizers'):
        kind = run.setting(f'optim_wrapper.optimizers.{name}.type')
        rate = run.setting(f'optim_wrapper.optimizers.{name}.lr')
        add(f'optimiser of {name}', f'{kind}, {rate:g}' if isinstance(rate, float) else kind)
    add('batch', _batch(run))
    add('tested', (run.result.get('about') or {}).get('checkpoint'))
    add('protocol', (run.result.get('protocol') or {}).get('text'))
    chosen = method.tuning.get('methods', {}).get(method.name, {}).get('chosen') or {}
    add('tuned', ', '.join(f'{key} = {value}' for key, value in chosen.items()))
    add('command', first.get('command'))
    add('sittings', len(run.about) if len(run.about) > 1 else None)
    add('started', first.get('time'))
    add('commit', last.get('commit'))
    add('versions', ', '.join(f'{k} {v}' for k, v in (last.get('versions') or {}).items()))
    machine = last.get('machine') or {}
    add('machine', _machine(machine))
    if run.cost.get('time'):
        seconds = run.cost['time'] / 1000 * max(done, 1)
        add('time', f'{run.cost["time"]:.0f} ms an iteration, {duration(seconds)} in all')
    if run.cost.get('memory'):
        add('memory', f'{run.cost["memory"]:.0f} MiB')
    add('folder', relative(run.folder))
    return pairs


def _batch(run: Run) -> str | None:
    key = 'train_dataloader.batch_sampler.num_'
    labelled, unlabelled = run.setting(f'{key}labelled'), run.setting(f'{key}unlabelled')
    return None if labelled is None else f'{labelled} labelled and {unlabelled} unlabelled images'


def _machine(machine: Mapping[str, Any]) -> str | None:
    if not machine:
        return None
    devices = machine.get('devices', 1)
    several = f'{devices} processes on ' * (devices > 1)
    return (
        f'{several}{machine.get("device")}, {machine.get("cores")} cores, {machine.get("system")}'
    )
