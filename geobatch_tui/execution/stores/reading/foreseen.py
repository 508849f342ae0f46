"""Answers that will be wanted soon: requests that a worker begins for tasks that wait in its queue.

Who wants an answer takes it from here, or asks. An answer that went wrong is none: it is asked for
anew, by whoever can say what is wrong.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.stores import request_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from concurrent.futures import Future

#: Answers that are kept, and for how many seconds: the tasks that they are for come at once, or
#: went to another worker.
MOST, SECONDS = 64, 60.0

_answers: OrderedDict[Hashable, tuple[float, Future[Any]]] = OrderedDict()
_lock = threading.Lock()


def begin[**P, T](key: Hashable, call: Callable[P, T], *args: P.args, **named: P.kwargs) -> None:
    """Begin a request whose answer will be wanted by ``key``, unless it is on its way."""
    with _lock:
        if key in _answers:
            return
        answer = request_pool.submit(call, *args, **named)
        _answers[key] = time.monotonic(), answer
        if len(_answers) > MOST:
            _answers.popitem(last=False)[1][1].cancel()


def taken[**P, T](
    key: Hashable, call: Callable[P, T], *args: P.args, **named: P.kwargs
) -> Future[T]:
    """Return the answer that was begun for ``key``, or begin it: it is taken once."""
    with _lock:
        since, answer = _answers.pop(key, (0.0, None))
    fresh = time.monotonic() - since < SECONDS
    if answer is None or not fresh or (answer.done() and _went_wrong(answer)):
        return request_pool.submit(call, *args, **named)
    return answer


def _went_wrong(answer: Future[Any]) -> bool:
    return answer.cancelled() or answer.exception() is not None


def forget_all() -> None:
    """Drop all answers: the settings of stores are others now."""
    with _lock:
        for _, answer in _answers.values():
            answer.cancel()
        _answers.clear()
