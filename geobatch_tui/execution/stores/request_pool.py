"""The threads on which requests of this process run beside each other, by the settings that hold
where they begin."""

from __future__ import annotations

import contextvars
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

#: Requests at once of one process to all hosts; what one host gets: see :mod:`.host_limits`.
TOGETHER = 32
#: Answers that wait for one before them, where their order counts.
MOST_WAITING = 2 * TOGETHER


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(TOGETHER, thread_name_prefix="store")


def submit[**P, T](call: Callable[P, T], *args: P.args, **named: P.kwargs) -> Future[T]:
    """Begin a request, beside others, by the settings that hold here."""
    here = contextvars.copy_context()
    return _pool().submit(lambda: here.run(call, *args, **named))


def in_order[T, R](
    call: Callable[[T], R], items: Iterable[T], most: int = MOST_WAITING
) -> Iterator[R]:
    """Yield what ``call`` returns for each of ``items``, in order; those that follow run meanwhile.

    Args:
        call: makes a request. What it raises for an item is raised in that one's turn, and requests
            that have not begun are dropped.
        items: they are taken as there is room for them.
        most: answers that wait, or are waited for, at once.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            if len(waiting) == most:
                yield waiting.popleft().result()
            waiting.append(submit(call, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()
