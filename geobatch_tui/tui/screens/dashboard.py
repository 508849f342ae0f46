"""The run at a glance: how far, how fast, who is at what, what failed, what was logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.containers import Container, Vertical

from geobatch_tui.tui.glance.item_progress import ItemProgress
from geobatch_tui.tui.glance.resource_line import ResourceLine
from geobatch_tui.tui.glance.shape import Shape, Wanted, shape_of
from geobatch_tui.tui.glance.throughput import Throughput
from geobatch_tui.tui.glance.what_now import WhatNow
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import Page
from geobatch_tui.tui.run.progress_rates import UNITS
from geobatch_tui.tui.screens.report_dialog import report
from geobatch_tui.tui.screens.run_dialogs import Left, resume
from geobatch_tui.tui.widgets.causes import Causes
from geobatch_tui.tui.widgets.hosts import Hosts
from geobatch_tui.tui.widgets.log_tail import LogPanel
from geobatch_tui.tui.widgets.overview import Overview
from geobatch_tui.tui.widgets.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widget import Widget

    from geobatch_tui.tui.run.model import Delta, View


class RunScreen(Page):
    """Mode ``run``."""

    BINDING_GROUP_TITLE = "Run"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("units", "units"),
        bind("export", "report", show=False, name="Report", does="Write a report of the run"),
        bind("run.start", "resume", show=False, name="Resume", does="Go on with what is left"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._shape: Shape | None = None

    def compose(self) -> ComposeResult:
        """Yield the panels; the style sheet places them by the size of the terminal."""
        link = self.app.link
        overview = Overview(id="overview")
        overview.place = self.app.place
        overview.read_only = self.app.read_only
        yield overview
        yield ResourceLine(link.directory, id="resources")
        with Container(id="middle"):
            with Container(id="left"):
                yield ChunkMap(link.store, id="overview-map")
                with Vertical(id="now"):
                    yield WhatNow(id="what-now")
                    yield Workers(id="workers")
                    yield ItemProgress(link.store, id="items")
            with Vertical(id="right"):
                yield Throughput(id="throughput")
                yield Hosts(id="hosts")
                yield Causes(id="causes")
                yield LogPanel(link.tail, id="log")
        yield KeyBar()

    def on_mount(self) -> None:
        super().on_mount()
        advice = self.query_one(WhatNow)
        advice.read_only, advice.keys = self.app.read_only, self.app.user_keys.changes
        self._arrange(self.app.shown)

    def on_resize(self) -> None:
        self._arrange(self.app.shown)

    def take(self, delta: Delta) -> None:
        """Give each panel the room that it can fill, then show the delta."""
        self._arrange(delta.view)
        super().take(delta)

    def _arrange(self, view: View) -> None:
        """Set the heights of panels by what they hold; nothing is laid out anew where that is what
        it was."""
        wanted = Wanted(
            workers=len(view.workers) + len(view.nodes),
            items=self.query_one(ItemProgress).wanted(view),
            causes=len(view.groups),
            advice=self.query_one(WhatNow).wanted(view),
        )
        shape = shape_of(wanted, *self.app.size)
        if shape == self._shape:
            return
        self._shape = shape
        for name, height in shape.heights.items():
            panel = self.query_one(f"#{name}")
            if panel is self.maximized:
                panel.display, panel.styles.height = True, "1fr"
                continue
            panel.display = height is None or height > 0
            panel.set_class(height == 1, "-empty")
            panel.styles.height = "1fr" if height is None else height

    def panels(self) -> Sequence[Widget]:
        """Return those that hold something."""
        view = self.app.shown
        items = self.query_one(ItemProgress)
        holds = {
            "#overview-map": True,
            "#throughput": True,
            "#items": items.wanted(view) > 0,
            "#workers": view.live,
            "#causes": bool(view.groups),
            "#log": True,
        }
        return [self.query_one(name) for name, has in holds.items() if has]

    def watch_maximized(self) -> None:
        """Give the panel that is whole all of the room, and the others theirs again."""
        self._shape = None
        self._arrange(self.app.shown)

    @on(ChunkMap.ChunkSelected)
    async def _to_the_map(self) -> None:
        """Go to the screen of the map, which shows details of a chunk."""
        await self.app.switch_mode("map")

    def show_all(self) -> None:
        """Show the run; the picture may have been frozen on another screen."""
        self.query_one(Overview).frozen = self.app.frozen
        super().show_all()

    def action_units(self) -> None:
        overview, plot = self.query_one(Overview), self.query_one(Throughput)
        overview.unit = plot.unit = (plot.unit + 1) % len(UNITS)
        self.show_all()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide in a read-only console what starts a run, and where a run goes on."""
        del parameters
        over = self.app.shown.run is not None and not self.app.shown.live
        return action != "resume" or (over and not self.app.read_only)

    @work(exclusive=True, group="resume", exit_on_error=False)
    async def action_resume(self) -> None:
        """Go on with a run that has ended, after a question that says what is left of it."""
        counts = self.app.shown.counts
        left = counts["total"] - self.app.shown.settled
        await resume(self, self.app.link.directory, Left(left, counts["total"], counts["dead"]))

    @work(exclusive=True, group="report", exit_on_error=False)
    async def action_report(self) -> None:
        """Write a page about the run."""
        run = self.app.shown.run
        if run is not None:
            await report(self, self.app.link.directory, run.run_id)
