"""Bases of the console's screens: with breakpoints, a run, a filtered list, a box of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual import getters, on
from textual.actions import SkipAction
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.parts.console_app import Target
from geobatch_tui.tui.parts.filter_bar import FilterBar
from geobatch_tui.tui.parts.line_widget import Follower
from geobatch_tui.tui.parts.scroll_lines import ListHeading, ScrollLines
from geobatch_tui.tui.run.model import Delta

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.content import Content
    from textual.widget import Widget

    from geobatch_tui.tui.parts.console_app import Console, Destination, RunConsole
    from geobatch_tui.tui.parts.console_messages import RunChanged

_DOUBLE: Final = 2  #: clicks


class Frame(Screen[None]):
    """A screen. Breakpoints: ``-slim``, ``-narrow``, ``-normal``, ``-wide``; ``-low``, ``-short``,
    ``-medium``, ``-tall``; where it is slim or low there is room for nothing but numbers."""

    # Declared so by Textual.
    HORIZONTAL_BREAKPOINTS = [(0, "-slim"), (60, "-narrow"), (100, "-normal"), (140, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-short"), (30, "-medium"), (40, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [bind("whole", "whole", show=False)]

    #: None: each screen says what has the keys. Textual would give them to the field of the filter,
    #: which then takes the keys that came with the one that opened the screen.
    AUTO_FOCUS = ""

    #: The panel that the key shows first: the one that was whole last.
    _whole: Widget | None = None

    if TYPE_CHECKING:
        app = getters.app(Console)

    def destinations(self, text: str) -> Iterable[Destination]:
        """Return where one can jump to on this screen; ``text`` is what is typed of the name."""
        del text
        return ()

    def panels(self) -> Sequence[Widget]:
        """Return the panels that can be shown whole, in the order in which a key shows them: the
        one that has the keys, unless overwritten."""
        focused = self.focused
        return (_outermost(focused),) if focused is not None and focused.allow_maximize else ()

    def action_whole(self) -> None:
        """Show one panel on all of the screen, then the next one, then all again."""
        panels, shown = list(self.panels()), self.maximized
        if shown is None:
            chosen = self._whole if self._whole in panels else next(iter(panels), None)
        else:
            after = panels[panels.index(shown) + 1 :] if shown in panels else []
            chosen = next(iter(after), None)
        self.show_whole(chosen)

    def show_whole(self, panel: Widget | None) -> None:
        """Show a panel on all of the screen; None: all panels again."""
        if panel is None:
            self.minimize()
        else:
            self._whole = panel
            self.maximize(panel, container=False)

    def on_click(self, event: events.Click) -> None:
        """Show the panel whole on whose head a double click was, or all panels again."""
        panel = event.widget
        if event.chain != _DOUBLE or panel is None or not panel.border_title:
            return
        if event.screen_y == panel.region.y and panel.allow_maximize:
            self.show_whole(_outermost(panel) if self.maximized is None else None)

    def target(self) -> Target:
        """Return what the cursor is on, for commands of the user's own."""
        return Target()

    def copy_text(self, text: str) -> None:
        """Copy a text, if there is any."""
        if text:
            self.app.copy_to_clipboard(text)
            self.notify("copied", markup=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show the error of a worker as a notice; the screen stays as it is."""
        event.stop()
        if event.state is WorkerState.ERROR:
            error, title = event.worker.error, event.worker.group
            text = str(error)
            if not isinstance(error, GeobatchError):  # unexpected
                title = "console"
                text = safe(f"{event.worker.name}: {type(error).__name__}: {error}")
            self.notify(text, title=title, severity="error", markup=False)


def _outermost(panel: Widget) -> Widget:
    """Return the box of a list that has its heading, too, or the panel itself."""
    return next((node for node in panel.ancestors if isinstance(node, ListBox)), panel)


class ListBox(Vertical):
    """A list with what stands above it; both are shown whole together."""

    ALLOW_MAXIMIZE: ClassVar[bool | None] = True


class Page(Frame):
    """A screen of a run; it hands the delta of each poll to its widgets."""

    if TYPE_CHECKING:
        app = getters.app(RunConsole)

    def target(self) -> Target:
        return Target(self.app.link.store.outputs, self.app.link.directory)

    def target_of(self, position: int | None) -> Target:
        """Return the chunk at a position of the run's store as a target."""
        store, whole = self.app.link.store, Page.target(self)
        if position is None or position >= len(store.states):
            return whole
        item = store.item_at(position)
        place = store.label(position).removeprefix(item.key)
        return whole._replace(item_id=item.item_id, place=place)

    def take(self, delta: Delta) -> None:
        """Hand the delta of a poll to every widget that follows the run."""
        with self.app.batch_update():
            for widget in self.query(Follower):
                widget.take(delta)

    def on_run_changed(self, message: RunChanged) -> None:
        self.take(message.delta)

    def on_mount(self) -> None:
        """Show the run; from here on a poll hands over changes."""
        self.call_after_refresh(self.show_all)

    def on_screen_resume(self) -> None:
        """Show the run anew: a hidden screen gets no deltas."""
        self.show_all()

    def show_all(self) -> None:
        self.take(Delta((), reshaped=True, fresh=True, view=self.app.shown))


class Filtered(Frame):
    """A screen with one :class:`FilterBar` and, first among its lists, the one that it filters."""

    bar = getters.query_one(FilterBar)

    def refilter(self) -> None:
        """Show what passes the filter; called when that has changed."""
        raise NotImplementedError

    def step_back(self) -> bool:
        """Undo one step before "back" drops the filter; return whether there was one."""
        return False

    @on(FilterBar.Changed)
    def _filtered(self) -> None:
        self.refilter()

    async def action_typed(self, keep: bool) -> None:  # noqa: FBT001 - a binding's argument
        """List what passes the filter that was typed, or all; then the list has the keys."""
        await self.bar.end(keep=keep)
        self.refilter()
        self.set_focus(self.query_one(ScrollLines))

    def action_filter(self) -> None:
        if isinstance(self.focused, Input):  # its key is a letter there
            raise SkipAction
        self.bar.type()

    def action_back(self) -> None:
        """Go to the list; from there undo a step of the screen; else drop the filter."""
        lines = self.query_one(ScrollLines)
        if self.focused is not lines:
            self.set_focus(lines)
        elif not self.step_back():
            self.bar.clear()


class Sorted(Filtered):
    """A filtered list that is sorted by one of ``sorts``, or the other way round."""

    sorts: ClassVar[Sequence[str]]
    _sort: str
    _backwards = False

    def action_sort(self) -> None:
        self._sort = self.sorts[(self.sorts.index(self._sort) + 1) % len(self.sorts)]
        self.refilter()

    def action_reverse(self) -> None:
        self._backwards = not self._backwards
        self.refilter()

    @on(ListHeading.Clicked)
    def _sort_by(self, message: ListHeading.Clicked) -> None:
        self._backwards = message.sort == self._sort and not self._backwards
        self._sort = message.sort
        self.refilter()


class TextBox(VerticalScroll, can_focus=True):
    """A box of text that is scrolled, and can be selected."""

    DEFAULT_CSS = """
    TextBox {
        border: round $border-blurred; padding: 0 1; scrollbar-size-vertical: 1;
        border-title-color: $foreground; border-title-style: bold; border-subtitle-color: $quiet;
    }
    TextBox:focus { border: round $border; }
    TextBox Static { height: auto; }
    """

    def __init__(self, *, title: str = "", id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = title

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def write(self, text: Content) -> None:
        """Show a text in place of the one before."""
        self.query_one(Static).update(text)
