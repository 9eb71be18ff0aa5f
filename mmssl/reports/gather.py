"""What runs have written, brought together for a report."""

import ast
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmssl.engine.about_run import FILE as ABOUT
from mmssl.engine.checkpoints.run_settings import FILE as SETTINGS
from mmssl.engine.checkpoints.run_settings import read_settings
from mmssl.engine.hooks.cost_hook import read_cost
from mmssl.engine.hooks.save_cases_hook import FILE as CASES
from mmssl.utils.io import read_json
from mmssl.visualization.curves import Curve, read_scalars

RESULTS = 'results.json'
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
    """

    name: str
    runs: list[Run]
    student: str | None = None

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


def gather(paths: Sequence[str | Path]) -> list[Method]:
    """Read runs.

    Args:
        paths: folders of trainings, of saved cases, of sweeps or comparisons; files of results.

    Raises:
        FileNotFoundError: one does not exist, or has nothing of a run.
    """
    found: list[Method] = []
    loose: list[tuple[Path, Run]] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f'"{path}" does not exist; name the folder of a run')
        grid = read_json(path / RESULTS, {}) if path.is_dir() else {}
        if 'rows' in grid:
            found += _of_grid(path, grid)
        else:
            loose.append((path, _read(path)))
    found += _grouped(loose)
    names = [method.name for method in found]
    for method in found:
        if names.count(method.name) > 1:
            method.name = f'{method.name} ({method.runs[0].folder})'
    return found


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


def _of_grid(folder: Path, grid: Mapping[str, Any]) -> list[Method]:
    methods = []
    for row in grid['rows']:
        runs = []
        for name, run in row['runs'].items():
            file = folder / run.get('file', '')
            if not run.get('file') or not file.is_file():
                raise FileNotFoundError(
                    f'{folder / RESULTS} does not say where its run "{name}" is; write it anew: '
                    'the same command with --plot-only'
                )
            runs.append(_read(file.parent, file, name))
        if runs:
            name = ', '.join(row['labels']) or folder.name
            methods.append(Method(name, runs, grid.get('student')))
    if not methods:
        raise FileNotFoundError(f'{folder} has no finished run yet')
    return methods


def _grouped(loose: Sequence[tuple[Path, Run]]) -> list[Method]:
    """Make runs that differ in their seed alone one method."""
    groups: dict[Any, list[Run]] = {}
    for path, run in loose:
        free = ('randomness.seed', 'work_dir')
        same = tuple(sorted((k, v) for k, v in run.settings.items() if k not in free))
        groups.setdefault(same or path, []).append(run)
    methods = []
    for runs in groups.values():
        first = runs[0]
        model = first.setting('model.type')
        folder = first.folder.resolve()
        name = folder.parent.name if re.fullmatch(r'seed\d+', folder.name) else folder.name
        about = first.result.get('about', {})
        if not model and about.get('config'):
            name = '/'.join(Path(about['config']).with_suffix('').parts[-2:])
        if len(runs) > 1:
            for run in runs:
                run.name = f'seed {run.setting("randomness.seed", run.folder.name)}'
        methods.append(Method(f'{model}: {name}' if model else name, runs))
    return methods


def _read(path: Path, result: Path | None = None, name: str = '') -> Run:
    """Read a training's folder, one of saved cases, or a file of results."""
    if path.is_file():
        run = Run(name or path.stem, path.parent, _result(path), path)
        if not run.result:
            raise FileNotFoundError(f'{path} is no file of `tools/test.py --out`')
        return run
    file = result or _newest_result(path)
    run = Run(name or path.name, path, _result(file) if file else {}, file)
    run.settings = read_settings(path) or {}
    run.about = read_json(path / ABOUT, {})
    try:
        run.curves = read_scalars(path)
    except FileNotFoundError:
        pass
    run.summary = read_json(path / 'summary.json', {})
    pseudo = read_json(path / 'diagnostic' / 'pseudo_labels.json', {}).get('history', [])
    run.pseudo = [point for point in pseudo if isinstance(point, dict)]
    run.cost = read_cost(path)
    run.faults = list(_faults(run))
    if not (run.settings or run.curves or run.result or (path / SETTINGS).exists()):
        if not (path / CASES).is_file():
            raise FileNotFoundError(
                f'{path} has nothing of a run: no {SETTINGS}, no log and no results; name the work '
                'folder of a training, or what --out or --save-cases of a test wrote'
            )
    return run


def _result(path: Path) -> dict[str, Any]:
    content = read_json(path, {})
    return content if isinstance(content.get('students'), dict) else {}


def _newest_result(folder: Path) -> Path | None:
    """Return the newest file of results in a folder."""
    found = [path for path in folder.glob('*.json') if path.name != 'summary.json']
    found += [*folder.glob('cases/*.json')]
    found = [path for path in found if _result(path)]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _faults(run: Run) -> Iterator[str]:
    """Say what is unusual about a run."""
    done, wanted = run.iterations
    if run.curves and done < wanted:
        yield (
            f'It stands at iteration {done} of {wanted}: it is under way, or stopped '
            '(--resume goes on).'
        )
    for file in sorted(run.folder.glob('*/vis_data/scalars.json')):
        for line in _nan_lines(file):
            yield line
            break
    for name in ('train.log', 'test.log'):
        path = run.folder / name
        if path.is_file():
            with path.open('rb') as log:
                log.seek(max(0, path.stat().st_size - 4000))
                tail = log.read().decode(errors='replace').splitlines()
            errors = [line for line in tail if re.search(r'(^|\] )error: ', line)]
            finished = name == 'train.log' and done and done >= wanted
            if errors and not finished and not (name == 'test.log' and run.result):
                yield f'{name} ends with: {errors[-1][:300]}'


def _nan_lines(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
        if 'NaN' not in line and 'Infinity' not in line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if not isinstance(record, dict):
            continue
        odd = [k for k, v in record.items() if isinstance(v, float) and not math.isfinite(v)]
        losses = [k for k in odd if '/' not in k]
        if losses:
            yield f'{", ".join(losses[:3])} is no number at iteration {record.get("step")}.'


def relative(path: Path | None) -> str:
    """Return a path as a reader knows it, from where the report is made."""
    if path is None:
        return ''
    shown = os.path.relpath(path)
    return str(path) if shown.startswith('..') else shown
