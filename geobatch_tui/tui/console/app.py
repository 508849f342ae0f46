"""The apps: one follows a run through its ledger and steers it, one lists the runs of a user."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from textual.reactive import var

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability.alert import window_title
from geobatch_tui.observability.terminal_signs import Signs
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.console import modes
from geobatch_tui.tui.console.shell import Shell
from geobatch_tui.tui.console.steering import Steering
from geobatch_tui.tui.kit import waiting_parent
from geobatch_tui.tui.kit.endings import Ending
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.parts.console_messages import RunChanged
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.run.model import Pending, notices
from geobatch_tui.tui.widgets.overview import Overview

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType
    from textual.screen import Screen

    from geobatch_tui.tui.run.link import RunLink
    from geobatch_tui.tui.run.model import Delta, View


LIVE_SECONDS: Final = 0.25
_PAUSED: Final = 2  #: polls are so much rarer then
_OVER: Final = 4
_PATIENCE: Final = 8  #: polls in a row that may fail before it is said


class GeobatchApp(Steering):
    """The app on one run.

    Args:
        link: the run.
        period: seconds between two polls; None: only :meth:`poll` polls (for tests).
    """

    PAGES = modes.MODES
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = {
        mode.name: mode.make for mode in modes.MODES
    }
    DEFAULT_MODE = "run"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(bind(f"mode.{mode.name}", f"switch_mode('{mode.name}')") for mode in modes.MODES),
        bind("job.pause", "pause"),
        bind("replay", "replay", show=False),
        bind("freeze", "freeze"),
        bind("workers.more", "workers(1)", show=False),
        bind("workers.less", "workers(-1)", show=False),
        bind("retry", "retry", show=False),
        bind("job.stop", "stop_now", show=False),
    ]

    frozen: var[bool] = var(default=False)

    def __init__(self, link: RunLink, *, period: float | None = LIVE_SECONDS) -> None:
        super().__init__(watching=period is not None)
        self.link = link
        self.read_only = link.read_only
        self.shown: View = link.store.view  # "reading" until the first poll
        self._period = period
        self._pending = Pending()
        self._steerable: bool | None = None

    @property
    def place(self) -> str:
        """Whether the console is attached, and where the run's outputs are."""
        how = "" if self.link.host is not None else "attached  "
        return f"{how}{safe(self.link.store.outputs)}"

    def on_mount(self) -> None:
        """Start to follow the run. Textual calls the base class's handler, too."""
        if self._period is not None:
            work = partial(self._follow, self._period)
            self.run_worker(work, name="follow", exit_on_error=False)  # type: ignore[arg-type]

    # --- following ------------------------------------------------------------------------------

    async def _follow(self, period: float) -> None:
        failures = 0
        while True:
            try:
                self.deliver(await asyncio.to_thread(self.link.poll))
                failures = 0
            except GeobatchError as error:
                failures += 1
                if failures == _PATIENCE:
                    self.notify(str(error), title="ledger", severity="error", markup=False)
            self.look_at_host()
            await asyncio.sleep(period * self._slowness())

    def _slowness(self) -> int:
        """Return the factor by which polls are rarer while little can happen."""
        if not self.shown.live:
            return _OVER
        return _PAUSED if self.shown.state == "paused" else 1

    def poll(self) -> None:
        """Poll the run once, and show the delta."""
        self.deliver(self.link.poll())

    def deliver(self, delta: Delta) -> None:
        """Show the delta of a poll, or keep it while the picture is frozen."""
        self._pending.add(delta)
        self._give_signs(delta)
        if self.frozen:
            return
        for notice in notices(self.shown, delta.view):
            self.notify(notice.text, title=notice.title, severity=notice.severity, markup=False)
        self.shown = delta.view
        self.screen_stack[0].post_message(RunChanged(self._pending.take(delta.view)))
        if self._steerable != (steerable := self.link.can_steer()):
            # The footer is made anew then: not at every poll.
            self._steerable = steerable
            self.refresh_bindings()

    def _give_signs(self, delta: Delta) -> None:
        """Have the terminal show what the run tells, as its job asks, and where the run stands."""
        view = delta.view
        section = view.run.job.get("job", {}).get("notify") if view.run else None
        signs = Signs.of(section if isinstance(section, dict) else {})
        for event, head, text in delta.alerts:
            if event == "failed":
                self.notify(text, title=head, severity="warning", markup=False)
            else:
                self.sign(signs.told(head, text, os.environ))
        if signs.title and view.run is not None:
            total = view.counts["total"]
            self.entitle(
                window_title(view.name, view.settled, total, view.dead_letters, view.state)
            )

    def close_with(self, ending: Ending) -> None:
        """Drain a run of this process, too, unless it can go on without a terminal that is gone."""
        goes_on = ending is Ending.LOST and waiting_parent.is_there()
        if self.link.host is not None and not goes_on:
            self.link.host.drain()
        super().close_with(ending)

    # --- the view -------------------------------------------------------------------------------

    def action_replay(self) -> None:
        """Watch the run again."""
        from geobatch_tui.tui.replay.replay_screen import ReplayScreen

        self.push_screen(ReplayScreen())

    def action_freeze(self) -> None:
        """Hold the picture still, or let it go on; the run and its data go on anyway."""
        self.frozen = not self.frozen

    def watch_frozen(self, frozen: bool) -> None:  # noqa: FBT001 - Textual's form of a watcher
        """Say so on top, and catch up when the picture moves again."""
        for overview in self.screen_stack[0].query(Overview):
            overview.frozen = frozen
            overview.renew()
        for keys in self.screen_stack[0].query(KeyBar):
            keys.renew()
        if not frozen:
            self.deliver(self._pending.take(self.link.store.view))


class HomeApp(Shell):
    """The app without a run: it opens on the history of runs and edits jobs."""

    PAGES = modes.OF_ALL_RUNS
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = {
        mode.name: mode.make for mode in modes.OF_ALL_RUNS
    }
    DEFAULT_MODE = "history"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind(f"mode.{mode.name}", f"switch_mode('{mode.name}')") for mode in modes.OF_ALL_RUNS
    ]
