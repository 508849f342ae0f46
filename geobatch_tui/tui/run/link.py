"""The link to a run, by which the console reads and steers it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from geobatch_tui.errors import StateError
from geobatch_tui.observability import figures
from geobatch_tui.orchestration.run.control import REPLY_SECONDS, send
from geobatch_tui.tui.log.tail import LogTail
from geobatch_tui.tui.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geobatch_tui.tui.run.host import HostedRun
    from geobatch_tui.tui.run.model import Delta


class RunLink:
    """A run to look at and to steer.

    Args:
        directory: output directory of the run.
        host: the run, where it lives in this process. One that has ended is replaced when its
            dead letters are tried again.
        read_only: never send a command.
        clock: UNIX time.

    Raises:
        PlanMismatchError, StateError: there is no run to read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: HostedRun | None = None,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self.host = host
        self.read_only = read_only
        self.clock = clock
        self.store = RunStore(directory, clock)
        self.tail = LogTail(self.store.log_path)

    @property
    def hosted(self) -> bool:
        """Whether a run of this process is still going on."""
        return self.host is not None and not self.host.over

    @property
    def retries(self) -> str:
        """The run that would try dead letters again, in words."""
        if self.can_steer():
            return "in the run that is live"
        place = "in the background" if self.host is None else "of this console"
        return f"by a run {place}, as the job was"

    def poll(self) -> Delta:
        """Look at ledger and log. Raises StateError where the ledger cannot be read."""
        self.tail.poll()
        return self.store.poll()

    def can_steer(self) -> bool:
        """Whether there is a live run that takes commands from here."""
        return not self.read_only and (self.hosted or self.store.view.live)

    def send(self, verb: str, **arguments: object) -> str:
        """Send a command; return a sentence on its effect. Blocks up to seconds: for a thread.
        Raises StateError if the console is read-only, nothing is live, or the run refused."""
        if self.read_only:
            raise StateError("this console is read-only")
        if self.host is not None and self.hosted:
            try:
                reply = self.host.control.send(verb, **arguments).result(REPLY_SECONDS)
            except TimeoutError as error:
                raise StateError("the run has not answered yet") from error
        else:
            reply = send(self.directory, verb, **arguments)
        if "requeued" in reply:
            return f"{figures.plural(reply['requeued'], 'dead letter')} will be tried again"
        return ""

    def close(self) -> None:
        """Close the ledger. A run of this process goes on."""
        self.store.close()
