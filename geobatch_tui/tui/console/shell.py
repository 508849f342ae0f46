"""The base of both apps: themes, keys, palette, help, and how they close."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, override

from rich.text import Text
from textual import events, on
from textual.app import App, ScreenStackError, SystemCommand
from textual.screen import Screen
from textual.theme import ThemeProvider
from textual.widget import AwaitMount
from textual.widgets import Input

from geobatch_tui.observability.redact import redact
from geobatch_tui.observability.terminal_signs import KEEP_TITLE, OLD_TITLE, title
from geobatch_tui.observability.text import safe, safe_lines
from geobatch_tui.orchestration.state.run_index import index_dir, known
from geobatch_tui.tui.console.own_commands import OwnCommands
from geobatch_tui.tui.console.painted_console import PaintedConsole
from geobatch_tui.tui.kit import terminal, themes, waiting_parent
from geobatch_tui.tui.kit.contrast import legible
from geobatch_tui.tui.kit.endings import Ending, Watch
from geobatch_tui.tui.kit.keymap import KEYS, bind, load_keymap
from geobatch_tui.tui.kit.modal import Palette
from geobatch_tui.tui.parts.console_app import Destination
from geobatch_tui.tui.parts.dialogs import Choice, Question
from geobatch_tui.tui.parts.jump import Jumps
from geobatch_tui.tui.parts.page import Frame
from geobatch_tui.tui.parts.palette import KeyCommands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.console import RenderableType
    from textual.actions import ActionParseResult
    from textual.binding import BindingType
    from textual.command import Provider
    from textual.dom import DOMNode
    from textual.theme import Theme

    from geobatch_tui.tui.kit.endings import Wish

_DROP: Final = Choice("drop", "Drop", "the edits are lost")
_LEAVES: Final = ("dismiss", "escape")  #: begins of actions that need nothing of their screen
_TRAIL: Final = 50  #: screens on the way that are remembered


class Shell(OwnCommands, PaintedConsole):
    """A console. ``watching``: it looks after its terminal and its themes; not in tests.

    Attributes:
        wish: what is to be opened once it has closed.
        leaving: set once the console waits for a run in this process to drain.
        closes: whether it is being closed, as was asked for.
        failure: what a handler raised, if one did; it ended the console, unless that closed anyway.
    """

    TITLE = "geobatch"
    ALLOW_IN_MAXIMIZED_VIEW = "Overview, FilterBar, MapHead, KeyBar, #command, #about, #edit"
    CSS_PATH = "console.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = App.COMMANDS | {
        KeyCommands
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("palette", "command_palette"),
        bind("jump", "jump", show=False),
        bind("trail.back", "trail(-1)", show=False),
        bind("trail.forward", "trail(1)", show=False),
        bind("help", "keys"),
        bind("detach", "leave"),
    ]

    wish: Wish | None = None
    leaving: Ending | None = None
    failure: Exception | None = None
    closes = False

    def __init__(self, *, watching: bool = True) -> None:
        no_color = terminal.wants_no_color()
        super().__init__(ansi_color=True if no_color else None)
        self.user_keys = load_keymap()
        self._watching = watching
        self._home: asyncio.AbstractEventLoop | None = None
        self._doom: Ending | None = None
        self._entitled = ""
        self._bad_themes: list[themes.BadTheme] = []
        self._trail: list[str] = []
        self._at = -1
        self._stamps = themes.stamps()
        self._chosen = ""
        self._theme_file = index_dir().with_name("theme")

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return colours of chunk states, for themes that do not have them."""
        return dict(themes.DEFAULTS)

    def get_css_variables(self) -> dict[str, str]:
        """Return the theme's variables, changed so that text can be read in all of its colours."""
        # Words that are painted, not laid out, have their colours from the attribute.
        self.theme_variables = legible(super().get_css_variables())
        return self.theme_variables

    def clear_selection(self) -> None:
        """Clear the selection; Textual's method fails when a field is mounted before its screen is
        on the stack."""
        with contextlib.suppress(ScreenStackError):
            super().clear_selection()

    @override
    def deliver_screenshot(
        self, filename: str | None = None, path: str | None = None, time_format: str | None = None
    ) -> str | None:
        """Save a picture in the current folder: most servers have none for downloads."""
        return super().deliver_screenshot(filename, path or str(Path.cwd()), time_format)

    @override
    def _handle_exception(self, error: Exception) -> None:
        """Keep what failed for whoever opened the console.

        Nothing can fail while it closes: a screen that is put up then is taken down half made.
        """
        self.failure = self.failure or error
        if not self.closes:
            self.entitle("")
            super()._handle_exception(error)

    @override
    def exit(
        self,
        result: Ending | None = None,
        return_code: int = 0,
        message: RenderableType | None = None,
    ) -> None:
        """Close the console."""
        self.entitle("")
        self.closes = True
        super().exit(result, return_code, message)

    @property
    @override
    def escape_to_minimize(self) -> bool:
        """Whether escape shows all panels again: in a field it leaves that."""
        return not isinstance(self.focused, Input)

    @override
    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run an action, but none that a screen has a key for before it has its widgets: keys that
        were typed meanwhile come first on a busy machine. They may leave it."""
        early = isinstance(default_namespace, Screen) and not default_namespace.is_mounted
        if early and not (isinstance(action, str) and action.startswith(_LEAVES)):
            return True
        return await super().run_action(action, default_namespace, namespaces)

    @override
    def switch_mode(self, mode: str) -> AwaitMount:
        """Go to a screen, unless all are being taken down."""
        return AwaitMount(self.screen, ()) if self.closes else super().switch_mode(mode)

    @override
    def show_mode(self, mode: str, then: Callable[[Screen[None]], object]) -> None:
        if not self.closes:
            self.switch_mode(mode)
            screen = self.screen_stack[0]
            screen.call_later(then, screen)

    @override
    def _fatal_error(self) -> None:
        """Print a traceback without Textual's values of variables, among which may be secrets."""
        self.panic(Text(safe_lines(redact(traceback.format_exc()))))

    @on(events.DeliveryComplete)
    def _say_where(self, event: events.DeliveryComplete) -> None:
        """Name the file in place of Textual, which takes its name for markup."""
        event.prevent_default()
        self.notify(f"saved {safe(str(event.path or ''))}", title="screenshot", markup=False)

    def sign(self, sequence: str) -> None:
        """Send the terminal a sequence that paints nothing: a bell, a title."""
        if sequence and self._driver is not None and not self.is_headless:
            self._driver.write(sequence)
            self._driver.flush()

    def entitle(self, text: str) -> None:
        """Set the title of the terminal; "" gives it the one back that it had."""
        if text != self._entitled:
            before, self._entitled = self._entitled, text
            self.sign(("" if before else KEEP_TITLE) + title(text) if text else OLD_TITLE)

    def on_load(self) -> None:
        """Take the theme, before there is anything to paint: else all of the style sheet would be
        parsed for Textual's own colours first."""
        self.load_themes()
        kept = themes.kept(self._theme_file) if self._watching else ""
        self._chosen = themes.first(self.available_themes, kept)
        if self.theme == self._chosen:
            # Textual began with its name before it was there: setting it again would be no change.
            self.mutate_reactive(App.theme)
        self.theme = self._chosen
        self.stylesheet.set_variables(self.get_css_variables())

    def on_mount(self) -> None:
        """Load keys; look after the terminal and the themes."""
        self._home = asyncio.get_running_loop()
        self._note_mode(self.current_mode)
        self.mode_change_signal.subscribe(self, self._note_mode)
        if self._doom is not None:
            self.exit(self._doom)
        self.set_keymap(self.user_keys.changes)
        for problem in self.user_keys.problems:
            self.notify(problem, title="keys", severity="warning", markup=False)
        self.bind_commands()
        if self._watching:
            self.theme_changed_signal.subscribe(self, self._keep_theme)
            self.set_interval(terminal.WATCH_SECONDS, self._watch_outside)

    def _keep_theme(self, theme: Theme) -> None:
        """Keep a theme that the operator chose for the next console."""
        if theme.name != self._chosen:
            self._chosen = theme.name
            themes.keep(self._theme_file, theme.name)

    def load_themes(self) -> None:
        """Register all themes; files that cannot be used are one notice, until they are others."""
        found, bad = themes.load_all()
        for theme in found:
            self.register_theme(theme)
        if bad and bad != self._bad_themes:
            said = "\n".join(f"{entry.path.name} {entry.reason}" for entry in bad)
            self.notify(safe_lines(said), title="themes", severity="warning", markup=False)
        self._bad_themes = bad

    def _watch_outside(self) -> None:
        """Close the console if its terminal is gone; read themes again that changed."""
        if not self.is_headless and terminal.is_gone():
            self.lose_terminal()
        elif waiting_parent.was_killed():
            self.end_by_signal()
        stamps = themes.stamps()
        if stamps != self._stamps:
            self._stamps = stamps
            self.load_themes()
            self.set_class(self.current_theme.dark, "-dark-mode")
            self.set_class(not self.current_theme.dark, "-light-mode")
            self.refresh_css()

    def lose_terminal(self) -> None:
        """Close the console as its terminal is gone; a run in this process goes on, if it can."""
        self.close_with(Ending.LOST)

    def end_by_signal(self) -> None:
        """Close the console as the process is to end; a run in this process drains."""
        self.close_with(Ending.LEFT)

    def close_with(self, ending: Ending) -> None:
        """Close the console, from any thread and from a signal handler."""
        self._doom = ending
        if self._home is not None:
            self._home.call_soon_threadsafe(self.exit, ending)

    def open(self, wish: Wish) -> None:
        """Close this console, and open what is wished for."""
        if self.keep_edits(partial(self.open, wish)):
            return
        self.wish = wish
        self.exit(Ending.LEFT)

    def action_leave(self) -> None:
        """Leave the console."""
        if not self.keep_edits(self.action_leave):
            self.exit(Ending.LEFT)

    def keep_edits(self, go_on: Callable[[], object]) -> bool:
        """Where a job has edits that are in no file, ask before they are lost; return whether that
        was asked. ``go_on`` is called if they may be."""
        if not self.unsaved:
            return False

        def answered(answer: str | None) -> None:
            if answer:
                self.unsaved = False
                go_on()

        choices = (Choice("", "Stay", "6 shows the job, ^s saves it"), _DROP)
        text = "The job of the form has edits that are in no file."
        self.push_screen(Question("Edits", text, choices), answered)
        return True

    async def action_quit(self) -> None:
        """Leave the console by Textual's own quit keys."""
        self.action_leave()

    def action_help_quit(self) -> None:
        """Leave the console by Ctrl-C, which copies or interrupts nothing here."""
        self.action_leave()

    def _note_mode(self, mode: str) -> None:
        """Add a mode to the trail of screens; what lay ahead on it is dropped."""
        if self._at < 0 or self._trail[self._at] != mode:
            self._trail = [*self._trail[: self._at + 1][-_TRAIL:], mode]
            self._at = len(self._trail) - 1

    async def action_trail(self, step: int) -> None:
        """Go back on the trail of screens, or forward again."""
        at = self._at + step
        if 0 <= at < len(self._trail):
            self._at = at
            await self.switch_mode(self._trail[at])

    @override
    def action_command_palette(self) -> None:
        """Find a command by its name."""
        if not isinstance(self.screen, Palette):
            # Without Textual's id: one that was just closed may not be gone yet.
            self.push_screen(Palette())

    @override
    def get_system_commands(self, screen: Screen[object]) -> Iterator[SystemCommand]:
        """Yield commands that have no key; Textual's help and quit have keys here."""
        del screen
        yield SystemCommand("Theme", "Other colours", self.action_change_theme)
        yield SystemCommand(
            "Screenshot",
            "Save a picture of this screen as SVG",
            lambda: self.set_timer(0.1, self.deliver_screenshot),  # once the palette is gone
        )

    @override
    def search_themes(self) -> None:
        """Find a theme by its name."""
        self.push_screen(Palette([ThemeProvider], placeholder="Search for themes ..."))

    def action_jump(self) -> None:
        """Go somewhere by name."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette([Jumps], placeholder="Jump to ..."))

    @override
    async def destinations(self, text: str, screen: Screen[object]) -> list[Destination]:
        """Return screens, what the screen has, and runs of this user."""
        found = []
        for name in self.MODES:
            key = KEYS[f"mode.{name}"]
            found.append(Destination(key.name, key.help, partial(self.switch_mode, name)))
        if isinstance(screen, Frame):
            found += screen.destinations(text)
        for path in await asyncio.to_thread(known):
            go = partial(self.open, Watch(path))
            found.append(Destination(safe(str(path)), "Open this run", go))
        return found
