"""The console: follows a run through its ledger, and steers it by commands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import App
from textual.reactive import var

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability.text import safe, safe_lines
from geobatch_tui.tui import modes, terminal, themes
from geobatch_tui.tui.commands import KeyCommands
from geobatch_tui.tui.help import HelpScreen, entries
from geobatch_tui.tui.keymap import bind, load_keymap
from geobatch_tui.tui.messages import RunChanged
from geobatch_tui.tui.notices import told
from geobatch_tui.tui.pending import Pending
from geobatch_tui.tui.steering import Ending, Steering
from geobatch_tui.tui.widgets.overview import Overview

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType
    from textual.screen import Screen

    from geobatch_tui.tui.link import RunLink
    from geobatch_tui.tui.model import Delta, View

LIVE_SECONDS: Final = 0.25
STILL_SECONDS: Final = 1.0
_SETTLE: Final = 0.01
_PATIENCE: Final = 8  #: polls in a row that may fail before it is said


class GeobatchApp(Steering):
    """The console on one run.

    Args:
        link: the run.
        period: seconds between two polls; None: only :meth:`poll` polls (for tests).
    """

    TITLE = "geobatch"
    CSS_PATH = "console.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[Any]] = App.COMMANDS | {KeyCommands}
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        mode.name: mode.make for mode in modes.MODES
    }
    DEFAULT_MODE = "run"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(bind(f"mode.{mode.name}", f"switch_mode('{mode.name}')") for mode in modes.MODES),
        bind("job.pause", "pause"),
        bind("freeze", "freeze"),
        bind("workers.more", "workers(1)", show=False),
        bind("workers.less", "workers(-1)", show=False),
        bind("retry", "retry", show=False),
        bind("job.stop", "stop_now", show=False),
        bind("palette", "command_palette"),
        bind("help", "keys"),
        bind("detach", "leave"),
    ]

    frozen: var[bool] = var(default=False)

    def __init__(self, link: RunLink, *, period: float | None = LIVE_SECONDS) -> None:
        no_color = terminal.wants_no_color()
        super().__init__(ansi_color=True if no_color else None)
        self.link = link
        self.shown: View = link.store.view
        self.user_keys = load_keymap()
        self._period = period
        self._home: asyncio.AbstractEventLoop | None = None
        self._doom: Ending | None = None
        self._pending = Pending()
        self._steerable: bool | None = None
        self._stamps = themes.stamps()

    @property
    def place(self) -> str:
        """How the console is joined to the run, and where its output goes."""
        how = "" if self.link.host is not None else "attached  "
        return f"{how}{safe(str(self.link.directory))}"

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of chunk states, for themes that do not have them."""
        return dict(themes.DEFAULTS)

    def delay_update(self, delay: float = _SETTLE) -> None:
        """Hold painting back while a screen is being put up. Textual's 50 ms are more than all
        else between a key and its picture."""
        super().delay_update(delay)

    def on_mount(self) -> None:
        """Load themes and keys; start to follow the run."""
        self._home = asyncio.get_running_loop()
        if self._doom is not None:
            self.exit(self._doom)
        self.load_themes()
        self.theme = themes.first(self.available_themes)
        self.set_keymap(self.user_keys.changes)
        for problem in self.user_keys.problems:
            self.notify(problem, title="keys", severity="warning", markup=False)
        if self._period is not None:
            self.run_worker(self._follow(self._period), name="follow", exit_on_error=False)
            self.set_interval(terminal.WATCH_SECONDS, self._watch_outside)

    def load_themes(self) -> None:
        """Register all themes; files that cannot be used are one notice."""
        found, bad = themes.load_all()
        for theme in found:
            self.register_theme(theme)
        if bad:
            said = "\n".join(f"{entry.path.name} {entry.reason}" for entry in bad)
            self.notify(safe_lines(said), title="themes", severity="warning", markup=False)

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
            await asyncio.sleep(period if self.shown.live else STILL_SECONDS)

    def poll(self) -> None:
        """Look at the run once, and show what was found."""
        self.deliver(self.link.poll())

    def deliver(self, delta: Delta) -> None:
        """Show what a poll found, or keep it while the picture is frozen."""
        self._pending.add(delta)
        if self.frozen:
            return
        for notice in told(self.shown, delta.view):
            self.notify(notice.text, title=notice.title, severity=notice.severity, markup=False)
        self.shown = delta.view
        self.screen_stack[0].post_message(RunChanged(self._pending.take(delta.view)))
        if self._steerable != (steerable := self.link.can_steer()):
            # The footer is made anew then: not at every poll.
            self._steerable = steerable
            self.refresh_bindings()

    def _watch_outside(self) -> None:
        """A terminal that is gone ends the console; themes that changed are read again."""
        if not self.is_headless and terminal.is_gone():
            self.lose_terminal()
        stamps = themes.stamps()
        if stamps != self._stamps:
            self._stamps = stamps
            self.load_themes()
            self.refresh_css()

    def lose_terminal(self) -> None:
        """The terminal is gone: a run in this process drains, the console closes. May be called
        from a signal handler."""
        self._close(Ending.LOST)

    def end_by_signal(self) -> None:
        """Somebody ends the process: as :meth:`lose_terminal`."""
        self._close(Ending.LEFT)

    def _close(self, ending: Ending) -> None:
        if self.link.host is not None:
            self.link.host.drain()
        self._doom = ending
        if self._home is not None:
            self._home.call_soon_threadsafe(self.exit, ending)

    # --- the view -------------------------------------------------------------------------------

    def action_freeze(self) -> None:
        """Hold the picture still, or let it go on; the run and its data go on anyway."""
        self.frozen = not self.frozen

    def watch_frozen(self, frozen: bool) -> None:  # noqa: FBT001 - Textual's form of a watcher
        """Say so on top, and catch up when the picture moves again."""
        for overview in self.screen_stack[0].query(Overview):
            overview.frozen = frozen
            overview.renew()
        if not frozen:
            self.deliver(self._pending.take(self.link.store.view))

    def action_keys(self) -> None:
        """The keys that work here."""
        screen = self.screen
        keys = entries(self, screen.active_bindings.values())
        title = str(screen.BINDING_GROUP_TITLE or "")
        self.push_screen(HelpScreen(title, keys, self.user_keys.problems))
