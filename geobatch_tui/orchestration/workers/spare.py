"""Worker processes that are forked before it is known what they shall work on.

The fork server takes a moment to load, and another one to fork. Meanwhile the engine opens its
ledger: so it asks for the first workers before that, and tells each who it is once it has a pool.
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

    def close(self) -> None:
        """Close all of them, if there is no worker."""
        self.ours.close()
        self.hand_over()


#: What a small job has use for.
_AHEAD = 2
#: Those that were asked for and are not taken, in order.
_spares: list[tuple[Ends, Request]] = []


@contextlib.contextmanager
def asked_ahead(most: int) -> Iterator[None]:
    """Ask for workers, at most so many and not more than two; at the end, take the requests back
    of which no pool took the worker."""
    # Without them the pool asks itself, and says what is wrong.
    with contextlib.suppress(OSError, StateError):
        for _ in range(min(most, _AHEAD)):
            ends = Ends.made()
            try:
                _spares.append((ends, ask(ends.fds)))
            except BaseException:
                ends.close()
                raise
    try:
        yield
    finally:
        while spare := take_spare():
            ends, request = spare
            request.close()
            ends.close()


def take_spare() -> tuple[Ends, Request] | None:
    """Return the first worker that was asked for, once; None without one."""
    try:
        return _spares.pop(0)
    except IndexError:  # or another run of this process, in a thread of its own, was faster
        return None
