"""Work ahead of the consumer, in a thread."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

T = TypeVar('T')

_END = object()


def ahead(things: Iterable[T], number: int) -> Generator[T, None, None]:
    """Give things in their order; a thread makes up to `number` of them before they are asked for.

    An error of the maker is raised where the thing would have come. The thread ends with the
    consumer.

    Example:
        >>> list(ahead(range(3), 2))
        [0, 1, 2]
    """
    made: queue.Queue[Any] = queue.Queue(max(1, number))
    left = threading.Event()

    def put(thing: Any) -> bool:
        while not left.is_set():
            try:
                made.put(thing, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        error: BaseException | None = None
        try:
            for thing in things:
                if not put((thing, None)):
                    return
        except BaseException as raised:
            error = raised
        put((_END, error))

    threading.Thread(target=make, name='ahead', daemon=True).start()
    try:
        while True:
            thing, error = made.get()
            if thing is _END:
                if error is not None:
                    raise error
                return
            yield thing
    finally:
        left.set()
