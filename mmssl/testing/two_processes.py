"""Start two processes that talk through gloo on this machine."""

import socket
from collections.abc import Callable

import torch.multiprocessing as mp


def run_two(worker: Callable, *args) -> None:
    """Run `worker(rank, port, *args)` as ranks 0 and 1, and wait for both."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    mp.spawn(worker, args=(port, *args), nprocs=2)
