"""Prepared images kept in memory."""

import os
import re
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from tqdm import tqdm

# Limit of memory in a container or a job, and what it holds beside files, in versions 2 and 1.
CGROUPS = (
    ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory.stat', r'(?m)^anon (\d+)'),
    (
        '/sys/fs/cgroup/memory/memory.limit_in_bytes',
        '/sys/fs/cgroup/memory/memory.stat',
        r'(?m)^total_rss (\d+)',
    ),
)


class SampleCache:
    """Keep the results of the deterministic transforms.

    Filled before the workers are forked, its arrays are shared by all of them. What is handed
    out is a copy, so that no transform can spoil it; or, of volumes, the array itself, which can
    be read alone. With 'lazy' each worker keeps what it has read itself.

    Args:
        mode: False keeps nothing, True fills itself at once, 'lazy' on first use.
        shared: hand out the arrays themselves, see `locked`, instead of copies.
    """

    def __init__(self, mode: bool | str = False, shared: bool = False) -> None:
        if mode not in (True, False, 'lazy'):
            raise ValueError(f'cache = {mode!r} is not known (known: True, False, "lazy").')
        self.mode = mode
        self.shared = shared
        self._results: dict[int, dict] = {}

    def __len__(self) -> int:
        """Return the number of samples kept."""
        return len(self._results)

    @property
    def num_bytes(self) -> int:
        """Return the size of the arrays kept, in bytes."""
        return sum(
            value.nbytes
            for results in self._results.values()
            for value in results.values()
            if isinstance(value, np.ndarray)
        )

    def fill(self, count: int, prepare: Callable[[int], dict]) -> None:
        """Prepare samples 0 to `count` - 1 with several threads, if the mode is True.

        Raises:
            DataError: the first file that cannot be used.
            ValueError: the samples do not fit into the memory that is free.
        """
        if self.mode is not True:
            return
        begin = free_memory()
        threads = min(8, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            try:
                done = pool.map(prepare, range(count))
                bar = tqdm(
                    done, 'caching images', count, leave=False, disable=not is_main_process()
                )
                for index, results in enumerate(bar):
                    self._results[index] = results
                    # Volumes differ in size; slices are many.
                    if begin is not None and (self.shared or index % 256 == 0):
                        self._check_room(count, begin)
            except MemoryError:
                pool.shutdown(cancel_futures=True)
                raise self._no_room(count, 'the memory ended') from None
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        print_log(f'cached {count} images in {self.num_bytes / 1e6:.0f} MB', logger='current')

    def _check_room(self, count: int, begin: float) -> None:
        """Compare what all samples will take, by those that are there, with what was free."""
        # Every process on this machine fills a cache of its own.
        processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
        if self.num_bytes / len(self) * count * processes > begin:
            raise self._no_room(
                count,
                f'{begin / 1e9:.1f} GB are free' + f' for {processes} processes' * (processes > 1),
            )

    def _no_room(self, count: int, why: str) -> ValueError:
        size = self.num_bytes / max(len(self), 1) * count / 1e9
        self._results = {}
        return ValueError(
            f'cache=True would keep {count} samples of about {size:.1f} GB in memory, but {why}: '
            'set cache=False, which reads each file when it is needed'
        )

    def get(self, index: int) -> dict | None:
        """Return a sample's results, None if they are not kept."""
        results = self._results.get(index)
        return None if results is None else self._handed(results)

    def put(self, index: int, results: dict) -> None:
        """Keep a sample's results if the mode is 'lazy'."""
        if self.mode == 'lazy':
            try:
                self._results[index] = self._handed(results)
            except MemoryError:  # what is there stays; the others are read anew
                self.mode = False

    def _handed(self, results: dict) -> dict:
        return dict(results) if self.shared else _copy(results)


def free_memory() -> float | None:
    """Return the bytes that this process may still take; None where the system does not say.

    The least of what the machine has free, what its container or job may take (cgroup) and what
    `ulimit -v` leaves.
    """
    left = [_number('/proc/meminfo', r'MemAvailable:\s+(\d+) kB', 1024)]
    for limit, stat, pattern in CGROUPS:
        most, now = _number(limit), _number(stat, pattern)
        if most is not None and now is not None:
            left.append(most - now)
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = _number('/proc/self/statm', factor=resource.getpagesize())
    if most != resource.RLIM_INFINITY and pages is not None:
        left.append(most - pages)
    known = [value for value in left if value is not None]
    return min(known) if known else None


def _number(path: str, pattern: str = r'(\d+)', factor: int = 1) -> float | None:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return None
    return factor * float(found[1]) if found else None


def locked(results: dict) -> dict:
    """Return results after their arrays were made such that nothing can write to them."""
    for value in results.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return results


def _copy(results: dict) -> dict:
    return {
        key: value.copy() if isinstance(value, np.ndarray) else value
        for key, value in results.items()
    }
