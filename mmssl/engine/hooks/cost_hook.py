"""What a training costs: time of an iteration and memory."""

import json
import resource
import statistics
import sys
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmssl.registry import HOOKS
from mmssl.utils.io import read_json, write_atomic

FILE = 'cost.json'


@HOOKS.register_module()
class CostHook(Hook):
    """Write the time of an iteration and the largest memory to `cost.json` in the work folder.

    The time is the median over the iterations, with the loading of the batch and without
    validation and saving. The memory is the largest that tensors took on a GPU, or that the
    process took on a CPU (Python and its libraries with it). A resumed run adds to the file: one
    entry for each sitting, under the iteration it began with.

    Args:
        warm_up: iterations at the start of a sitting that do not count, unless there are no more.
    """

    priority = 'VERY_LOW'  # after the timer

    def __init__(self, warm_up: int = 5) -> None:
        self.warm_up = warm_up
        self.times: list[float] = []

    def before_train(self, runner) -> None:
        """Start counting."""
        self.begin, self.times = runner.iter, []
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Note the time that `IterTimerHook` took of the iteration."""
        self.times.append(runner.message_hub.get_scalar('train/time').current())

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write what is known: a run that is killed goes on from here."""
        self.write(runner)

    def after_train(self, runner) -> None:
        """Write the file."""
        self.write(runner)

    def write(self, runner) -> None:
        """Add this sitting to the file."""
        if not self.times or not is_main_process():
            return
        path = Path(runner.work_dir) / FILE
        sittings = read_json(path, {})
        sittings = {k: v for k, v in sittings.items() if int(k) < self.begin}
        cuda = torch.cuda.is_available()
        sittings[str(self.begin)] = {
            'iterations': len(self.times),
            'time': 1e3 * statistics.median(self.times[self.warm_up :] or self.times),
            'memory': (torch.cuda.max_memory_allocated() if cuda else process_memory()) / 2**20,
            'device': torch.cuda.get_device_name() if cuda else 'CPU',
        }
        write_atomic(path, json.dumps(sittings, indent=1))


def process_memory() -> int:
    """Return the largest memory that this process has taken so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else 1024 * peak


def read_cost(folder: str | Path) -> dict[str, float | str]:
    """Return the cost of a run over all its sittings; empty where none was measured.

    Returns:
        `time` of an iteration in ms (the mean of the sittings' medians, by their iterations),
        largest `memory` in MiB, and the `device`.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return {}
    sittings = list(json.loads(path.read_text()).values())
    count = sum(s['iterations'] for s in sittings)
    return {
        'time': sum(s['iterations'] * s['time'] for s in sittings) / count,
        'memory': max(s['memory'] for s in sittings),
        'device': ', '.join(dict.fromkeys(s['device'] for s in sittings)),
    }
