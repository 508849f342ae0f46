"""Requests that run beside each other, answered in order."""

import threading

import pytest

from geobatch_tui.execution.stores import request_pool
from geobatch_tui.execution.stores.request_pool import in_order


def test_answers_come_in_order_and_some_run_ahead():
    """The first waits for the second, which therefore runs beside it; none beyond those."""
    second, begun = threading.Event(), []

    def call(number: int) -> int:
        begun.append(number)
        if number == 0:
            assert second.wait(5)
        elif number == 1:
            second.set()
        return number * number

    answers = in_order(call, range(100), most=2)
    assert next(answers) == 0
    assert set(begun) <= {0, 1, 2}
    assert list(answers) == [number * number for number in range(1, 100)]


def test_an_error_is_raised_in_its_turn(monkeypatch):
    """What came before it is given, and what had not begun never does."""
    pool = request_pool.ThreadPoolExecutor(1)
    monkeypatch.setattr(request_pool, "_pool", lambda: pool)
    begun, go_on = [], threading.Event()

    def call(number: int) -> int:
        begun.append(number)
        if number == 2:
            assert go_on.wait(5)
        if number == 1:
            raise ValueError("no")
        return number

    answers = in_order(call, range(50), most=10)
    assert next(answers) == 0
    with pytest.raises(ValueError, match="no"):
        next(answers)
    go_on.set()
    pool.shutdown()
    assert max(begun) <= 2


def test_nothing_is_asked_for_nothing():
    assert list(in_order(str, [])) == []
