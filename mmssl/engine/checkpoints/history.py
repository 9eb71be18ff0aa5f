"""Log values that wait on the device, and the message hub as plain values."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub

# Set anew at the start of every run, so a checkpoint need not carry them.
NOT_SAVED = ('cfg', 'experiment_name', 'mmengine_version', 'dataset_meta', 'eta', 'loop_stage')
# What the engine and its hooks keep there.
KINDS = {
    'iter': int,
    'max_iters': int,
    'epoch': int,
    'max_epochs': int,
    'last_val_iter': int,
    'phase': int,
    'eval_history': list,
    'diagnostic_history': list,
    'agreement_history': list,
    'agreement_choice': dict,
    'agreement_masks': dict,
    'labelled': dict,
    'best_pretrained_score': float,
}


class DeviceHistory(HistoryBuffer):
    """A history whose newest values stay tensors on the device until somebody reads it.

    `HistoryBuffer` turns every loss term into a number at every iteration, which waits for the
    device each time. Here all pending values are fetched at once on the first read.
    """

    def __init__(self, log_history=(), count_history=(), max_length: int = 1000):
        self._pending: list[torch.Tensor] = []
        self._logs: np.ndarray
        self._counts: np.ndarray
        super().__init__(list(log_history), list(count_history), max_length)

    def push(self, value: torch.Tensor) -> None:
        """Append a tensor of one element without waiting for it."""
        self._pending.append(value.detach().reshape(()))
        if len(self._pending) >= self.max_length:
            self._fetch()

    def _fetch(self) -> None:
        pending, self._pending = self._pending, []
        if pending:
            values = np.array([float(v) for v in torch.stack(pending).double().cpu()])
            logs = np.concatenate([self._logs, values])
            counts = np.concatenate([self._counts, np.ones(len(values))])
            self._logs, self._counts = logs[-self.max_length :], counts[-self.max_length :]

    @property
    def _log_history(self) -> np.ndarray:
        self._fetch()
        return self._logs

    @_log_history.setter
    def _log_history(self, value: np.ndarray) -> None:
        self._logs = value

    @property
    def _count_history(self) -> np.ndarray:
        self._fetch()
        return self._counts

    @_count_history.setter
    def _count_history(self, value: np.ndarray) -> None:
        self._counts = value


def push_scalar(hub: MessageHub, key: str, value: Any) -> None:
    """Log a value under `key` (`train/...`) without waiting for the device.

    Like `MessageHub.update_scalar`, except that a tensor is read only when the log is written.
    """
    hub._set_resumed_keys(key, True)
    buffer = hub.log_scalars.get(key)
    if not isinstance(buffer, DeviceHistory):
        old = buffer.data if buffer is not None else ((), ())
        buffer = hub.log_scalars[key] = DeviceHistory(*old)
    if isinstance(value, torch.Tensor):
        buffer.push(value)
    else:
        buffer.update(float(value))


def to_plain(value: Any) -> Any:
    """Turn a value into tensors and plain Python values, which load without running code.

    Raises:
        TypeError: for an object that has no plain form.
    """
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        # subclasses (numpy.float64, enum) carry their class into a pickle, so build the base
        kinds = (bool, int, float, str, bytes)
        return value if type(value) in kinds or value is None else _base(value, kinds)
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return [to_plain(item) for item in value.tolist()]
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [to_plain(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(item) for item in value)
    raise TypeError(f'{type(value).__name__} has no plain form')


def _base(value: Any, kinds: tuple) -> Any:
    return next(kind(value) for kind in kinds if isinstance(value, kind))


def pack_hub(hub: MessageHub, length: int) -> dict:
    """Return what a resumed run needs of a message hub, as plain values.

    Args:
        hub: the run's message hub.
        length: number of the newest values kept of each scalar, so that the size of a checkpoint
            does not grow with the iterations.
    """
    scalars = {}
    for key, buffer in hub.log_scalars.items():
        if hub._resumed_keys.get(key, False):
            logs, counts = buffer.data
            scalars[key] = {
                'logs': [float(v) for v in logs[-length:]],
                'counts': [float(v) for v in counts[-length:]],
            }
    info = {}
    for key, value in hub.runtime_info.items():
        if hub._resumed_keys.get(key, False) and key not in NOT_SAVED:
            try:
                info[key] = to_plain(value)
            except TypeError:
                continue
    return {'scalars': scalars, 'info': info}


def unpack_hub(state: Any, hub: MessageHub, name: str = 'the checkpoint') -> None:
    """Put the values of `pack_hub` back into a message hub.

    Args:
        state: what `pack_hub` returned, out of a file.
        hub: the run's message hub.
        name: of the file, for messages.

    Raises:
        ValueError: it is of another form.
    """
    try:
        scalars = {
            str(key): ([float(v) for v in item['logs']], [float(v) for v in item['counts']])
            for key, item in state['scalars'].items()
        }
        info = {str(key): value for key, value in state['info'].items()}
        if any(len(logs) != len(counts) for logs, counts in scalars.values()):
            raise ValueError('a curve has more values than counts')
        for key, kind in KINDS.items():
            if key in info and type(info[key]) is not kind:
                raise ValueError(f'{key} is {info[key]!r}, not of type {kind.__name__}')
            if kind is list and not all(
                isinstance(e, dict)
                and type(e.get('iter')) is int
                and isinstance(e.get('metrics', {}), dict)
                for e in info.get(key, ())
            ):
                raise ValueError(f'{key} has an entry without an iteration or scores')
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(
            f'Checkpoint "{name}" has a message_hub of another form ({error}), so training cannot '
            'resume from it; use a file that a training of mmssl wrote'
        ) from None
    for key, values in scalars.items():
        hub._resumed_keys[key] = True
        kind = DeviceHistory if key.startswith('train/') else HistoryBuffer
        hub.log_scalars[key] = kind(*values)
    for key, value in info.items():
        if key not in NOT_SAVED:
            hub.update_info(key, value)
