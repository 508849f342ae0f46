"""Waits for stores that go away while a run is planned.

A store that answered before is taken to come back: what is to be known of it is asked for again
when it does, and no attempt is counted. One that never answered may have a wrong name, and ends the
plan; so does each for a plan that no run follows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from geobatch_tui.errors import ThrottledError
from geobatch_tui.execution.stores.object_url import is_url, split
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.suspensions import AWAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Failure


class GateListener(Protocol):
    """Whoever asks stores that are away whether they are back; see ``Listener``."""

    def suspended(self, reason: str, seconds: float) -> None: ...
    def unsuspended(self, reason: str) -> None: ...
    def progressed(self, root: str) -> None: ...


def store_of(source: str) -> str:
    """Return the store of a source, as ``s3://bucket``; empty: it is in none."""
    return "://".join(split(source)[:2]) if is_url(source) else ""


class StoreWaits:
    """The stores of one plan.

    ``listener`` is told which is away; None: nobody waits. ``tell`` takes events for the scheduler.
    """

    def __init__(self, tell: Callable[[u.Event], None]) -> None:
        self.listener: GateListener | None = None
        self._tell = tell
        self._there: set[str] = set()
        self._back: dict[str, asyncio.Future[None]] = {}

    def answered(self, source: str) -> None:
        """Note that the store of a source is there."""
        root = store_of(source)
        if root:
            self._there.add(root)
            if self.listener is not None:
                self.listener.progressed(root)

    async def outlast(self, failure: Failure) -> bool:
        """Wait until the store that a failure is of answers again. Return False if it is of none,
        or of one that nobody waits for."""
        root = str(failure.evidence.get("store", ""))
        there = root in self._there or failure.error_class == ThrottledError.__name__
        if not root or not there or self.listener is None:
            return False
        if root not in self._back:
            self._back[root] = asyncio.get_running_loop().create_future()
            self._tell(u.StoreAway(f"{AWAY}{root}", failure.retry_after or 0.0))
        await asyncio.shield(self._back[root])
        return True

    def suspended(self, reason: str, seconds: float) -> None:
        """Note why nothing is admitted, or nothing of one store."""
        if self.listener is not None:
            self.listener.suspended(reason, seconds)

    def unsuspended(self, reason: str) -> None:
        """Note that a reason is gone: whoever waits for that store goes on."""
        if self.listener is not None:
            self.listener.unsuspended(reason)
        waited = self._back.pop(reason.removeprefix(AWAY), None)
        if waited is not None and not waited.done():
            waited.set_result(None)
