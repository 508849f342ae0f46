"""A worker process that is forked before it is known what it shall work on.

The fork server takes a moment to load, and another one to fork. Meanwhile the engine opens its
ledger: so it asks for the first worker before that, and tells it who it is once it has a pool.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.errors import StateError
from geobatch_tui.orchestration.workers.fork_server import ask
from geobatch_tui.orchestration.workers.shared_files import shared_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.orchestration.workers.fork_server import Request


@dataclass(frozen=True, slots=True)
class Ends:
    """What a worker and its pool share: the two ends of a pipe, and a page of memory."""

    ours: socket.socket
    theirs: socket.socket
    page: int

    @classmethod
    def made(cls) -> Ends:
        """Make them. Raises OSError if there are too many open files."""
        ours, theirs = socket.socketpair()
        try:
            return cls(ours, theirs, shared_page())
        except OSError:
            ours.close()
            theirs.close()
            raise

    @property
    def fds(self) -> list[int]:
        """The descriptors that the worker inherits."""
        return [self.theirs.fileno(), self.page]

    def hand_over(self) -> None:
        """Close what the worker has, or what is mapped."""
        self.theirs.close()
        os.close(self.page)


#: The one that was asked for and is not taken.
_spare: list[tuple[Ends, Request]] = []


@contextlib.contextmanager
def asked_ahead(wanted: bool) -> Iterator[None]:  # noqa: FBT001 - a switch
    """Ask for a worker, if one is wanted; at the end, take the request back if no pool took it."""
    if wanted:
        # Without it the pool asks itself, and says what is wrong.
        with contextlib.suppress(OSError, StateError):
            ends = Ends.made()
            try:
                _spare.append((ends, ask(ends.fds)))
            except BaseException:
                ends.ours.close()
                ends.hand_over()
                raise
    try:
        yield
    finally:
        if spare := take_spare():
            ends, request = spare
            request.close()
            ends.ours.close()
            ends.hand_over()


def take_spare() -> tuple[Ends, Request] | None:
    """Return the worker that was asked for, once; None without one."""
    return _spare.pop() if _spare else None
