"""The trials of a method: settings proposed by Optuna, scored, and what was tried noted."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmssl.experiments.axes import Axis
from mmssl.experiments.jobs import Job
from mmssl.experiments.table import LOWER_IS_BETTER
from mmssl.utils.io import read_json, write_atomic

REPEATS = 20
"""How often a sampler may propose what was tried before it is given something new."""
OF_METHOD = ('model', 'optim_wrapper', 'param_scheduler', 'custom_hooks')
"""Where a factor looks for numbers."""

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What every method may try.

    Args:
        axes: the settings.
        trials: how many different ones are tried.
        sampler: name of `SAMPLERS`.
        seed: of sampler, held-out cases and trainings.
        metric: by which the best is chosen.
        share: of the labelled cases that is held out.
    """

    axes: tuple[Axis, ...]
    trials: int
    sampler: str
    seed: int
    metric: str
    share: float

    def content(self) -> dict[str, Any]:
        """Return it as plain values."""
        return json.loads(json.dumps(asdict(self)))


def expand(cfg: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, str]:
    """Return options in which `NAME*` is replaced by the numbers of that name, multiplied.

    Args:
        cfg: config of a method.
        options: key to text.

    Raises:
        ValueError: a factor is no number, or the config has no number of that name.

    Example:
        >>> cfg = dict(optim_wrapper=dict(optimizers=dict(a=dict(lr=0.01), b=dict(lr=0.002))))
        >>> expand(cfg, {'lr*': '3'})
        {'optim_wrapper.optimizers.a.lr': '0.03', 'optim_wrapper.optimizers.b.lr': '0.006'}
        >>> expand(cfg, {'b.lr*': '0.5'})
        {'optim_wrapper.optimizers.b.lr': '0.001'}
    """
    found: dict[str, str] = {}
    for key, text in options.items():
        if not key.endswith('*'):
            found[key] = text
            continue
        name = key[:-1]
        try:
            factor = float(text)
        except ValueError:
            raise ValueError(f'--tune {key}: the factor "{text}" is no number') from None
        numbers = {
            path: value
            for part in OF_METHOD
            for path, value in _numbers(cfg.get(part), part)
            if f'.{path}'.endswith(f'.{name}')
        }
        if not numbers:
            raise ValueError(f'--tune {key}: the config has no number "{name}" to multiply')
        for path, value in numbers.items():
            scaled = float(f'{factor * value:.12g}')
            found[path] = repr(round(scaled) if isinstance(value, int) else scaled)
    return found


def _numbers(node: Any, path: str) -> Iterator[tuple[str, int | float]]:
    """Give dotted name and value of the numbers in a config."""
    if isinstance(node, bool):
        return
    if isinstance(node, int | float):
        yield path, node
    pairs: Any = ()
    if isinstance(node, Mapping):
        pairs = node.items()
    elif isinstance(node, list | tuple):
        pairs = enumerate(node)
    for key, child in pairs:
        yield from _numbers(child, f'{path}.{key}')


@dataclass
class Search:
    """The trials of one method.

    Args:
        label: name of the method.
        plan: what it may try.
        cfg: its config.
        job_of: job of a setting, given its labels and options.
        score: score of a job that is done; None where it has none.
        record: file that says what was tried, once all was.
        identity: what the search depends on besides the plan.

    Attributes:
        tried: labels of each setting that was tried to its score, None where the trial failed.
    """

    label: str
    plan: Plan
    cfg: Mapping[str, Any]
    job_of: Callable[[Labels, Mapping[str, str]], Job]
    score: Callable[[Job], float | None]
    record: Path
    identity: str
    tried: dict[Labels, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        there = read_json(self.record, {})
        if there.get('plan') == self._plan():
            self.tried = {tuple(one['setting']): one['score'] for one in there['tried']}

    def _plan(self) -> dict[str, Any]:
        return {**self.plan.content(), 'identity': self.identity}

    @property
    def chosen(self) -> Labels | None:
        """The labels of the best setting, the first of equal ones; None while trials are left."""
        if len(self.tried) < self.plan.trials:
            return None
        scored = {labels: score for labels, score in self.tried.items() if score is not None}
        sign = -1 if self.plan.metric in LOWER_IS_BETTER else 1
        return max(scored, key=lambda labels: sign * scored[labels])

    def options(self, labels: Labels) -> dict[str, str]:
        """Return the options of a setting."""
        given: dict[str, str] = {}
        for axis, label in zip(self.plan.axes, labels, strict=True):
            given.update(axis.values[label])
        return expand(self.cfg, given)

    def waiting(self, failed: Mapping[str, str]) -> list[Job]:
        """Return the trials that come next; none once all were made, which is then noted.

        What is done is read from its folder and told to the sampler in the order of before, so that
        a repeated call goes on where the last one stopped.

        Args:
            failed: names of the jobs that failed in this call, and why.

        Raises:
            ValueError: every trial failed.
        """
        if self.chosen is not None:
            return []
        study = _Study(self.plan)
        tried: dict[Labels, float | None] = {}
        waiting: dict[Labels, Job] = {}
        while len(tried) + len(waiting) < self.plan.trials:
            labels = study.ask({**tried, **dict.fromkeys(waiting)})
            job = self.job_of(labels, self.options(labels))
            if job.state() == 'done' or job.name in failed:
                tried[labels] = self.score(job) if job.state() == 'done' else None
                study.tell(labels, tried[labels])
                continue
            waiting[labels] = job
            if self.plan.sampler != 'grid':  # the next one depends on it
                break
        if not waiting:
            if set(tried.values()) == {None}:
                why = next(iter(failed.values()), 'no score')
                raise ValueError(f'Every trial of {self.label} failed, the first one: {why}')
            self.tried = tried
            lines = [{'setting': labels, 'score': score} for labels, score in tried.items()]
            content = {'plan': self._plan(), 'tried': lines}
            write_atomic(self.record, json.dumps(content, indent=1))
        return list(waiting.values())

    def content(self) -> dict[str, Any]:
        """Return what was tried and chosen as plain values."""
        names = [axis.name for axis in self.plan.axes]
        return {
            'tried': [
                {'setting': dict(zip(names, labels, strict=True)), 'score': score}
                for labels, score in self.tried.items()
            ],
            'chosen': dict(zip(names, self.chosen or (), strict=True)),
            'options': self.options(self.chosen) if self.chosen else {},
        }


class _Study:
    """Optuna's study of one method, by labels."""

    def __init__(self, plan: Plan) -> None:
        try:
            import optuna
        except ImportError:
            raise ValueError('--tune needs Optuna: pip install "mmssl[tune]"') from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.grid = plan.sampler == 'grid'
        self.space = {axis.name: list(axis.values) for axis in plan.axes}
        samplers = optuna.samplers
        sampler = (
            samplers.GridSampler(self.space, seed=plan.seed)
            if self.grid
            else samplers.TPESampler(seed=plan.seed, n_startup_trials=max(2, plan.trials // 3))
        )
        lower = plan.metric in LOWER_IS_BETTER
        direction: Literal['minimize', 'maximize'] = 'minimize' if lower else 'maximize'
        self.study = optuna.create_study(direction=direction, sampler=sampler)
        self.failed = optuna.trial.TrialState.FAIL
        self.open: dict[Labels, Any] = {}

    def ask(self, seen: Mapping[Labels, float | None]) -> Labels:
        """Return the labels of a setting that was not tried yet."""
        for _ in range(REPEATS):
            labels = self._next()
            if labels not in seen:
                return labels
            self.tell(labels, seen[labels])
        rest = (one for one in itertools.product(*self.space.values()) if one not in seen)
        self.study.enqueue_trial(dict(zip(self.space, next(rest), strict=True)))
        return self._next()

    def _next(self) -> Labels:
        trial = self.study.ask()
        labels = tuple(trial.suggest_categorical(*axis) for axis in self.space.items())
        self.open[labels] = trial
        return labels

    def tell(self, labels: Labels, score: float | None) -> None:
        """Tell the score of a setting that was asked for; a grid needs none, and would stop."""
        trial = self.open.pop(labels)
        if not self.grid:
            self.study.tell(trial, score, self.failed if score is None else None)
