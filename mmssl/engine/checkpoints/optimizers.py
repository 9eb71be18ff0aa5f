"""Optimisers and schedules of a resumed run: their state from the file, their options from the run.

Where all options are those of the file, everything goes on bit by bit. Where one differs, the
moments of the optimisers are kept, the options are the new ones, and the schedules are those that
a run with the new options would have from its beginning, at this iteration.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.optim import OptimWrapperDict

MOVING = ('last_step', '_global_step', '_last_value')  # of a schedule; the rest are its options


def resume_optimizers(wrapper: Any, saved: Any, name: str) -> tuple[list[str], dict[str, list]]:
    """Load the state of all optimisers.

    Args:
        wrapper: the run's optimiser wrapper, with the options of its config.
        saved: the wrapper's state in the checkpoint.
        name: file name, for messages.

    Returns:
        In words which options of the checkpoint are others, and by the optimisers' names the
        options of their groups as the config has them.

    Raises:
        ValueError: the state is that of other parameters.
    """
    if not isinstance(saved, Mapping):
        raise ValueError(f'Checkpoint "{name}" has no optimiser state by name')
    parts = dict(_parts(wrapper))
    options, changes = {}, []
    for label, part in parts.items():
        if label == '' or label in saved:
            state = saved if label == '' else saved[label]
            _check(part.optimizer, state, f'Checkpoint "{name}"' + f' ({label})' * bool(label))
            changes += _changes(label, part.param_groups, state)
        options[label] = [_options(group) for group in part.param_groups]
    wrapper.load_state_dict({**saved})
    return changes, options


def _parts(wrapper: Any) -> Iterator[tuple[str, Any]]:
    yield from wrapper.items() if isinstance(wrapper, OptimWrapperDict) else [('', wrapper)]


def _options(group: Mapping) -> dict:
    return {key: value for key, value in group.items() if key != 'params'}


def _base(group: Mapping, key: str) -> Any:
    """Return an option before any schedule changed it."""
    value = group.get(f'initial_{key}', group.get(key))
    return list(value) if isinstance(value, (list, tuple)) else value


def _changes(label: str, groups: list[dict], state: Mapping) -> list[str]:
    there = list(state['param_groups'])
    if len(groups) > len(there) and 'base_param_settings' in state:
        there.append(state['base_param_settings'])
    words = {}
    for group, old in zip(groups, there, strict=False):
        for key in _options(group):
            if (
                not key.startswith('initial_')
                and key in old
                and _base(old, key) != _base(group, key)
            ):
                where = f'{label}.{key}'.strip('.')
                words[where] = f'{where} is {_base(old, key)} there and {_base(group, key)} here'
    return list(words.values())


def _check(optimizer: torch.optim.Optimizer, state: Any, name: str) -> None:
    """Compare the state of an optimiser with its parameters.

    Raises:
        ValueError: they do not belong together.
    """
    try:
        groups = [list(group['params']) for group in state['param_groups']]
        values = dict(state['state'])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError(f'{name} has an optimiser state that is none') from None
    own = [group['params'] for group in optimizer.param_groups]
    counts = [len(group) for group in groups], [len(group) for group in own]
    if counts[0] != counts[1]:
        raise ValueError(
            f'{name} has the optimiser state of {counts[0]} parameters in its groups, the model '
            f'has {counts[1]}: resume with the config of the run'
        )
    where = dict(zip(sum(groups, []), sum(own, []), strict=True))
    for number, entry in values.items():
        if number not in where or not isinstance(entry, Mapping):
            raise ValueError(f'{name} has an optimiser state of a parameter that is in no group')
        shape = where[number].shape
        for key, value in entry.items():
            tensor = isinstance(value, torch.Tensor)
            if tensor and value.ndim == len(shape) and value.ndim and value.shape != shape:
                raise ValueError(
                    f'{name} has an optimiser state of other shapes: {key} of parameter {number} '
                    f'is {tuple(value.shape)}, the parameter {tuple(shape)}; resume with the '
                    'config of the run'
                )


def resume_schedules(
    schedules: Any, saved: Any, wrapper: Any, options: dict[str, list], iters: int, anew: bool
) -> bool:
    """Bring the schedules, which stand at their beginning, to where the run is.

    Args:
        schedules: of the run: a list, or lists by the optimisers' names.
        saved: their states in the checkpoint.
        wrapper: the optimiser wrapper, after `resume_optimizers`.
        options: what that returned.
        iters: number of iterations done.
        anew: an option of the run has changed, so compute the schedules from their beginning.

    Returns:
        Whether they were computed anew.

    Raises:
        ValueError: a schedule that depends on validations has other options.
    """
    lists = _lists(schedules)
    states = _lists(saved)
    pairs = {
        name: list(zip(own, states.get(name) or [], strict=False)) for name, own in lists.items()
    }
    same = lists.keys() == states.keys() and all(
        len(lists[name]) == len(states[name]) and all(_same(*pair) for pair in pairs[name])
        for name in lists
    )
    if same and not anew:
        for schedule, state in sum(pairs.values(), []):
            moves = getattr(schedule, 'need_val_args', False)
            schedule.load_state_dict({k: v for k, v in state.items() if moves or k in MOVING})
        return False
    _start_again(wrapper, options)
    with warnings.catch_warnings():  # of steps without one of the optimiser
        warnings.simplefilter('ignore')
        for own in lists.values():
            _go_to(own, iters)
    return True


def _start_again(wrapper: Any, options: dict[str, list]) -> None:
    for label, part in _parts(wrapper):
        for group, values in zip(part.param_groups, options[label], strict=True):
            for key in [key for key in group if key != 'params']:
                del group[key]
            group.update(values)


def _go_to(schedules: list, iters: int) -> None:
    if any(getattr(schedule, 'need_val_args', False) for schedule in schedules):
        raise ValueError(
            'A schedule that follows the validations cannot be computed anew, and an option of '
            'the optimisers or schedules differs from that of the checkpoint: leave them as they '
            'were, or begin a new run with load_from'
        )
    for _ in range(iters):
        for schedule in schedules:
            if not schedule.by_epoch:
                schedule.step()


def _lists(value: Any) -> dict[str, list]:
    if isinstance(value, Mapping):
        return {str(k): list(v) for k, v in value.items() if isinstance(v, (list, tuple))}
    return {'': list(value)} if isinstance(value, (list, tuple)) else {}


def _same(schedule: Any, state: Any) -> bool:
    """Return whether a saved schedule has the options of this one."""
    if not isinstance(state, Mapping):
        return False
    own = schedule.state_dict()
    if own.keys() != state.keys():
        return False
    if getattr(schedule, 'need_val_args', False):  # most of what it holds moves
        keys = {'factor', 'patience', 'cooldown', 'threshold', 'rule', 'min_value', 'base_values'}
    else:
        keys = own.keys() - set(MOVING)
    numbers = isinstance(state.get('_global_step'), int) and isinstance(state.get('last_step'), int)
    return numbers and all(_plain(own[k]) == _plain(state[k]) for k in keys & own.keys())


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
