"""What runs have written, brought together for a report."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmssl.engine.about_run import FILE as ABOUT
from mmssl.engine.checkpoints.run_settings import FILE as SETTINGS
from mmssl.engine.checkpoints.run_settings import read_settings
from mmssl.engine.hooks.cost_hook import read_cost
from mmssl.engine.hooks.save_cases_hook import FILE as CASES
from mmssl.reports.runs import Method, Run
from mmssl.utils.io import read_json
from mmssl.visualization.curves import read_scalars

RESULTS = 'results.json'
TRIALS = 'tune'


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
        below = [] if (path / SETTINGS).exists() else _runs_below(path)
        if 'rows' in grid or below:
            found += _of_grid(path, grid, below)
        else:
            loose.append((path, _read(path)))
    found += _grouped(loose)
    names = [method.name for method in found]
    for method in found:
        if names.count(method.name) > 1:
            method.name = f'{method.name} ({method.runs[0].folder})'
    return found


def _runs_below(folder: Path) -> list[Path]:
    """Return the folders of trainings in that of a grid; trials of a tuning are none of them."""
    found = [path.parent for path in folder.glob(f'*/**/{SETTINGS}')]
    return sorted(path for path in found if TRIALS not in path.relative_to(folder).parts)


def _of_grid(folder: Path, grid: Mapping[str, Any], below: Sequence[Path]) -> list[Method]:
    """Read the runs that a table has, then those below that are under way or have failed."""
    methods = []
    for row in grid.get('rows', ()):
        runs = [_read(_file_of(folder, name, run).parent, _file_of(folder, name, run), name)
                for name, run in row['runs'].items()]  # fmt: skip
        if runs:
            named = ', '.join(_labels(grid, row)) or folder.name
            methods.append(Method(named, runs, grid.get('student'), grid.get('tuning') or {}))
    known = {run.folder.resolve() for method in methods for run in method.runs}
    of_folder = {method.runs[0].folder.resolve().parent: method for method in methods}
    for path in map(Path.resolve, below):
        if path in known:
            continue
        if path.parent not in of_folder:
            inside = path.parent.relative_to(folder.resolve()).as_posix()
            name = folder.resolve().name if inside == '.' else inside
            of_folder[path.parent] = Method(name, [], grid.get('student'))
            methods.append(of_folder[path.parent])
        run = _read(path, name=re.sub(r'^seed(\d+)$', r'seed \1', path.name))
        of_folder[path.parent].runs.append(run)
    if not methods:
        raise FileNotFoundError(f'{folder} has no run that has begun yet')
    return methods


def _labels(grid: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """Return what a row is called: `KEY=VALUE` in a sweep, the method in a comparison."""
    keys = [*(grid.get('grid') or ())]
    if len(keys) != len(row['labels']):
        return row['labels']
    return [f'{key}={label}' for key, label in zip(keys, row['labels'], strict=True)]


def _file_of(folder: Path, name: str, run: Mapping[str, Any]) -> Path:
    file = folder / run.get('file', '')
    if not run.get('file') or not file.is_file():
        raise FileNotFoundError(
            f'{folder / RESULTS} does not say where its run "{name}" is; write it anew: the same '
            'command with --plot-only'
        )
    return file


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
