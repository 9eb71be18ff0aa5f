"""Signs of life among the ranks, so that one that is stopped is noticed within a minute."""

import atexit
import datetime
import os
import socket
import sys
import threading
import time

import torch.distributed as dist

BEAT = 5.0  # seconds between two signs of life


class Heartbeat(threading.Thread):
    """Raise a number in the store that the ranks met in, and watch those of the others.

    The thread goes on while its rank writes a checkpoint, computes metrics or waits for another;
    it stands still when the process is stopped or its machine is gone. Time is counted in own
    beats, so a job that is suspended as a whole and goes on is not taken for dead. A rank that
    ends says so first.

    Args:
        rank: number of this rank.
        world_size: number of ranks.
        limit: seconds without a sign of life after which this process ends.
    """

    def __init__(self, rank: int, world_size: int, limit: float) -> None:
        super().__init__(name='heartbeat', daemon=True)
        self.rank, self.limit = rank, limit
        self.beat = min(BEAT, limit / 4)
        self.seen = {n: ('', 0) for n in range(world_size) if n != rank}
        self._over = threading.Event()
        self.store = self._connect()
        self.store.set(f'who{rank}', f'process {os.getpid()} on {socket.gethostname()}')

    def _connect(self):
        host, port = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])
        patience = datetime.timedelta(seconds=max(self.limit / 2, 1))
        store = dist.TCPStore(host, port, is_master=False, timeout=patience, wait_for_workers=False)
        return dist.PrefixStore('mmssl/heartbeat', store)

    def run(self) -> None:
        """Beat and look until the end."""
        number, late = 0, 0
        while not self._over.wait(self.beat):
            number += 1
            begin = time.monotonic()
            try:
                self.store.set(str(self.rank), str(number))
                silent = [n for n in self.seen if self._is_silent(n)]
                late = 0
            except RuntimeError:
                # At once: the store has ended, as at the end of a run. Late: its host is stopped.
                late = late + 1 if time.monotonic() - begin > self.limit / 3 else 0
                if not late or self._over.is_set():
                    return
                silent = [0] if late > 1 else []
                self.store = self._reconnect()
            if silent and not self._over.is_set():
                self._give_up(silent[0])

    def _reconnect(self):
        try:
            return self._connect()
        except RuntimeError:
            return self.store

    def _is_silent(self, other: int) -> bool:
        value = self.store.get(str(other)).decode() if self.store.check([str(other)]) else ''
        before, misses = self.seen[other]
        misses = misses + 1 if value == before and value != 'done' else 0
        self.seen[other] = value, misses
        return misses * self.beat >= self.limit

    def _give_up(self, other: int) -> None:
        try:
            who = f' ({self.store.get(f"who{other}").decode()})' if other else ''
        except RuntimeError:
            who = ''
        print(
            f'\n[rank {self.rank}] error: rank {other}{who} has given no sign of life for '
            f'{self.limit:.0f} s: it is stopped, or its machine is gone. All ranks end; go on '
            'with --resume',
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    def stop(self) -> None:
        """Tell the others that this rank ends on purpose."""
        self._over.set()
        try:
            self.store.set(str(self.rank), 'done')
        except RuntimeError:
            pass


def start_heartbeat(limit: float) -> Heartbeat | None:
    """Start it where there are several ranks.

    Args:
        limit: see `Heartbeat`; 0 starts none.
    """
    if not limit or dist.get_world_size() < 2 or 'MASTER_PORT' not in os.environ:
        return None
    thread = Heartbeat(dist.get_rank(), dist.get_world_size(), limit)
    thread.start()
    atexit.register(thread.stop)
    return thread
