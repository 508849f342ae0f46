"""The run at a glance: how far, how fast, who is at what, what failed, what was logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.containers import Horizontal, Vertical

from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import Page
from geobatch_tui.tui.run.progress_rates import UNITS
from geobatch_tui.tui.screens.report_dialog import report
from geobatch_tui.tui.widgets.causes import Causes
from geobatch_tui.tui.widgets.hosts import Hosts
from geobatch_tui.tui.widgets.log_tail import LogPanel
from geobatch_tui.tui.widgets.overview import Overview
from geobatch_tui.tui.widgets.throughput import Throughput
from geobatch_tui.tui.widgets.workers import Workers

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class RunScreen(Page):
    """Mode ``run``."""

    AUTO_FOCUS = ""
    BINDING_GROUP_TITLE = "Run"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("units", "units"),
        bind("export", "report", show=False, name="Report", does="Write a report of the run"),
    ]

    def compose(self) -> ComposeResult:
        """Yield the panels; the style sheet places them by the size of the terminal."""
        overview = Overview(id="overview")
        overview.place = self.app.place
        yield overview
        with Horizontal(id="middle"):
            yield ChunkMap(self.app.link.store, id="overview-map")
            with Vertical(id="side"):
                yield Workers(id="workers")
                yield Throughput(id="throughput")
        yield Hosts(id="hosts")
        yield Causes(id="causes")
        yield LogPanel(self.app.link.tail, id="log")
        yield KeyBar()

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

    @work(exclusive=True, group="report", exit_on_error=False)
    async def action_report(self) -> None:
        """Write a page about the run."""
        run = self.app.shown.run
        if run is not None:
            await report(self, self.app.link.directory, run.run_id)
