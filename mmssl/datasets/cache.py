"""Prepared images kept in memory."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from tqdm import tqdm


class SampleCache:
    """Keep the results of the deterministic transforms.

    Filled before the workers are forked, its arrays are shared by all of them. What is handed
    out is a copy, so that no transform can spoil it.

    Args:
        mode: False keeps nothing, True fills itself at once, 'lazy' on first use.
    """

    def __init__(self, mode: bool | str = False) -> None:
        if mode not in (True, False, 'lazy'):
            raise ValueError(f'cache = {mode!r} is not known (known: True, False, "lazy").')
        self.mode = mode
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
        """
        if self.mode is not True:
            return
        threads = min(8, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            try:
                done = pool.map(prepare, range(count))
                bar = tqdm(
                    done, 'caching images', count, leave=False, disable=not is_main_process()
                )
                self._results.update(enumerate(bar))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        print_log(f'cached {count} images in {self.num_bytes / 1e6:.0f} MB', logger='current')

    def get(self, index: int) -> dict | None:
        """Return a copy of a sample's results, None if they are not kept."""
        results = self._results.get(index)
        if results is None:
            return None
        return _copy(results)

    def put(self, index: int, results: dict) -> None:
        """Keep a sample's results if the mode is 'lazy'."""
        if self.mode == 'lazy':
            self._results[index] = _copy(results)


def _copy(results: dict) -> dict:
    return {
        key: value.copy() if isinstance(value, np.ndarray) else value
        for key, value in results.items()
    }
