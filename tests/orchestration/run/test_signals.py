"""Signals of a run: the first drains, the second cancels, the third ends the process."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from geobatch_tui.orchestration.run import signals
from geobatch_tui.orchestration.run.signals import handled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

ENDING = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of this process, as they were."""
    before = {number: signal.getsignal(number) for number in (*ENDING, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    faulthandler.unregister(signal.SIGQUIT)


class Calls:
    """Keeps what was called, with the number of the signal."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def installed(self) -> AbstractContextManager[None]:
        return handled(
            drain=lambda number: self.calls.append(("drain", number)),
            cancel=lambda number: self.calls.append(("cancel", number)),
            reopen_logs=lambda: self.calls.append("reopen"),
        )


async def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.01)


async def test_each_signal_says_more_than_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Calls()
    monkeypatch.setattr(signals.os, "_exit", lambda code: made.calls.append(("exit", code)))
    with made.installed():
        await send(signal.SIGTERM, signal.SIGINT, signal.SIGTERM)
    assert made.calls == [
        ("drain", signal.SIGTERM),
        ("cancel", signal.SIGINT),
        ("exit", 128 + signal.SIGTERM),
    ]


async def test_a_console_that_is_gone_ends_nothing() -> None:
    made = Calls()
    with made.installed():
        await send(signal.SIGHUP, signal.SIGUSR1)
    assert made.calls == ["reopen"]


async def test_a_run_that_was_ended_keeps_its_exit_code() -> None:
    """One more signal must not end the process before it has told its code."""
    made = Calls()
    with made.installed():
        await send(signal.SIGINT)
    assert [signal.getsignal(number) for number in ENDING] == [signal.SIG_IGN] * 2


async def test_a_run_that_was_not_leaves_the_signals_as_they_are() -> None:
    with Calls().installed():
        pass
    assert signal.SIG_IGN not in [signal.getsignal(number) for number in ENDING]


async def test_an_engine_on_another_thread_installs_nothing() -> None:
    """Its console steers it by commands."""
    before = [signal.getsignal(number) for number in ENDING]

    async def inside() -> list[object]:
        with Calls().installed():
            return [signal.getsignal(number) for number in ENDING]

    found: list[list[object]] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(inside())))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert found == [before]
