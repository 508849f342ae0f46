"""Shows a headless run on stderr: a live view on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Literal, Self

from geobatch_tui.cli.display import streams
from geobatch_tui.observability.alert import window_title
from geobatch_tui.observability.terminal_signs import KEEP_TITLE, OLD_TITLE, Signs, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from geobatch_tui.observability.snapshot import Snapshot

PERIOD = 0.25
"""Seconds between two paints."""
_LINES_KEPT = 1000
_GOODBYE = 2.0
_LEVEL = slice(9, 16)
"""Where a text line says its level, behind ``HH:MM:SS``."""


@contextlib.contextmanager
def follow(log_format: str, signs: Signs) -> Iterator[JsonLines | LiveView]:
    """Show a run while the block lasts: as JSON lines if the job's ``log.format`` is, or stderr is
    no terminal. ``signs``: those that the terminal gives."""
    if log_format == "json" or not sys.stderr.isatty():
        yield JsonLines()
        return
    with LiveView(streams.console(stderr=True), signs) as view:
        yield view


class JsonLines:
    """Log lines as they are, one JSON object each."""

    format: Literal["json", "text"] = "json"
    observe: Callable[[Snapshot], None] | None = None

    def __init__(self) -> None:
        self._gone = False

    def line(self, text: str) -> None:
        """Write a line. A reader that went away does not end the run: its log is on disk too."""
        if self._gone:
            return
        try:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        except OSError:
            self._gone = True
            streams.silence(sys.stderr)


class LiveView:
    """A view of the latest snapshot at the bottom of the terminal, log lines above it.

    It paints in a thread of its own: a terminal that stops reading (Ctrl-S, a lost connection)
    holds up that thread and never the run. Lines beyond the last thousand unpainted ones are
    dropped then; the log file has them all. Only warnings and errors are shown: the view itself
    tells of what goes well.
    """

    format: Literal["json", "text"] = "text"

    def __init__(self, console: Console, signs: Signs | None = None) -> None:
        self.console = console
        self._signs = signs or Signs(osc="off", title=False)
        self._title = ""
        self._rung = 0
        self._latest: Snapshot | None = None
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._paint, name="progress", daemon=True)

    def observe(self, snapshot: Snapshot) -> None:
        """Take a snapshot; it is painted within a quarter of a second, or a later one is."""
        self._latest = snapshot

    def line(self, text: str) -> None:
        """Take a log line of :func:`geobatch_tui.observability.lines.text_line`."""
        if text[_LEVEL].strip() in {"warning", "error"}:
            self._lines.append(text)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join(_GOODBYE)

    def _paint(self) -> None:
        from rich.live import Live

        from geobatch_tui.cli.display.glance import glance

        # A terminal that is gone gives EIO; the run goes on, its log is on disk.
        with (
            contextlib.suppress(OSError),
            Live(
                console=self.console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            ) as live,
        ):
            over = False
            while not over:
                over = self._over.wait(PERIOD)
                while self._lines:
                    self.console.print(streams.foreign(self._lines.popleft()))
                if self._latest is not None:
                    live.update(glance(self._latest, self.console.width), refresh=True)
                    self._give_signs(self._latest)
            if self._title:
                self._send(OLD_TITLE)

    def _give_signs(self, snapshot: Snapshot) -> None:
        """Ring for new alerts, and renew the title."""
        for alert in snapshot.alerts:
            if alert.number > self._rung:
                self._rung = alert.number
                self._send(self._signs.told(alert.title, alert.text, os.environ))
        counts = snapshot.counts
        dead = sum(snapshot.dead_by_class.values())
        name = snapshot.job or snapshot.run_id
        settled = counts["done"] + counts["current"] + counts["dead"]
        text = window_title(name, settled, counts["total"], dead, snapshot.state)
        if self._signs.title and text != self._title:
            self._send(("" if self._title else KEEP_TITLE) + title(text))
            self._title = text

    def _send(self, sequence: str) -> None:
        if sequence:
            self.console.file.write(sequence)
            self.console.file.flush()
