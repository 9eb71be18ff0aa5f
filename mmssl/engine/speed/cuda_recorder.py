"""Record passes on a CUDA device, as PyTorch describes it for a whole network."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from mmssl.engine.speed.traced import place

WAITS = 'called a synchronizing CUDA operation'


class HostTensors(TorchFunctionMode):
    """Note where a tensor of the host, whose values a graph would keep, meets the device.

    Args:
        device: type of the device.

    Attributes:
        why: what was found first, None if nothing was.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.why: str | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function and look at what it takes and gives."""
        found = func(*args, **(kwargs or {}))
        if self.why is None and self._there(found):
            given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            if not all(map(self._there, given)):
                self.why = f'it takes a tensor of the host at {place()}'
        return found

    def _there(self, x: Any) -> bool:
        return isinstance(x, Tensor) and x.device.type == self.device


class CudaRecorder:
    """Record what a pass launches as a CUDA graph.

    Earlier passes run on the stream that is recorded later, where autograd's nodes then are. All
    recordings share a pool of memory: the results of one are used up before another is repeated.

    Args:
        compiled: whether a compiler traces parts of a pass, which nothing may watch then.
    """

    def __init__(self, compiled: bool = False) -> None:
        self.compiled = compiled
        self.stream = torch.cuda.Stream()
        self.pool = torch.cuda.graph_pool_handle()

    def aside(self, run: Callable[[], Any]) -> Any:
        """Run a pass on the stream that is recorded later."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            found = run()
        current.wait_stream(self.stream)
        return found

    def rehearse(self, run: Callable[[], Any]) -> tuple[Any, str | None]:
        """Run a pass, and say what in it cannot be recorded: the first thing of each kind."""
        mode = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode('warn')
        host = HostTensors('cuda')
        # What is computed again with dropout in it takes the state of the generator.
        state = mock.patch.object(torch.cuda, 'get_rng_state', wraps=torch.cuda.get_rng_state)
        try:
            with warnings.catch_warnings(record=True) as caught, state as taken:
                warnings.simplefilter('always')
                with nullcontext() if self.compiled else host:
                    found = self.aside(run)
        finally:
            torch.cuda.set_sync_debug_mode(mode)
        waits = [one for one in caught if WAITS in str(one.message)]
        for one in caught:
            if one not in waits:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if waits:
            line = f'{Path(waits[0].filename).name}:{waits[0].lineno}'
            return found, f'it waits for the device at {line}'
        if taken.called:
            return found, 'it takes the state of the random generator, as for what it repeats'
        return found, host.why

    def record(self, run: Callable[[], Any], touched: list[Tensor]) -> Callable[[], None]:
        """Record a pass, which is not executed, and return what repeats it.

        Other threads, such as that which pins the loader's memory, may go on meanwhile.
        """
        graph = torch.cuda.CUDAGraph()
        # The current stream is current again whatever happens inside.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(
                graph, pool=self.pool, stream=self.stream, capture_error_mode='thread_local'
            ),
        ):
            run()
        return graph.replay

    def draws(self) -> Any:
        """Return the state of the host's generator, from which no kernel draws."""
        return torch.get_rng_state().numpy().tobytes()
