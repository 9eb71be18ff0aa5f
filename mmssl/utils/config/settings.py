"""The settings of a run by dotted name, and what differs between two runs."""

import re
from collections.abc import Mapping
from typing import Any

# Options that change nothing of a result: where and how a run reports, and how it loads.
NO_MATTER = (
    'work_dir',
    'launcher',
    'resume',
    'log_level',
    'vis_backends',
    'visualizer',
    'import_from',
    'log_processor',
    'default_hooks.logger',
    'default_hooks.progress',
    'default_hooks.visualization',
    'default_hooks.timer',
    'env_cfg.dist_cfg',
)
NO_MATTER_ENDS = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')


def flatten(value: Any, name: str = '') -> dict[str, str]:
    """Return the leaves of nested settings by dotted name, as Python would write them.

    Example:
        >>> flatten({'a': {'b': (1, 2)}, 'c': [{'d': 'x'}]})
        {'a.b': '[1, 2]', 'c.0.d': "'x'"}
    """
    if isinstance(value, (list, tuple)):
        if not any(isinstance(item, (dict, list, tuple)) for item in value):
            return {name: _written(list(value))}
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        return {name: _written(value)}
    leaves: dict[str, str] = {}
    for key, item in value.items():
        leaves.update(flatten(item, f'{name}.{key}' if name else str(key)))
    return leaves


def _written(value: Any) -> str:
    return re.sub(r' at 0x[0-9a-f]+', '', repr(value))  # a function is the same wherever it lies


def differing(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Return the names of the settings that are not the same in both."""
    return [key for key in {**there, **here} if there.get(key) != here.get(key)]


def in_words(
    keys: list[str], there: Mapping[str, str], here: Mapping[str, str], most: int = 3
) -> str:
    """Say what some settings are in one run and in another.

    Example:
        >>> in_words(['iters'], {'iters': '2'}, {'iters': '4'})
        'iters is 2 there and 4 here'
    """
    words = [
        f'{key} is {there.get(key, "not set")} there and {here.get(key, "not set")} here'
        for key in keys[:most]
    ]
    return '; '.join([*words, *[f'{len(keys) - most} more'] * (len(keys) > most)])


def matters(key: str) -> bool:
    """Return whether a setting can change a result."""
    if key.rpartition('.')[2] in NO_MATTER_ENDS:
        return False
    return not any(key == name or key.startswith(f'{name}.') for name in NO_MATTER)


def metrics_of(evaluator: Any) -> list[Any]:
    """Return the configs of the metrics that `val_evaluator` or `test_evaluator` names.

    Args:
        evaluator: a metric, several in a list, an evaluator with its `metrics`, or None.

    Example:
        >>> metrics_of([dict(type='A'), dict(type='B')]) == metrics_of(
        ...     dict(type='Evaluator', metrics=[dict(type='A'), dict(type='B')])
        ... )
        True
    """
    if isinstance(evaluator, Mapping):
        evaluator = evaluator.get('metrics', evaluator)
    if not evaluator:
        return []
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]
