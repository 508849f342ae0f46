"""A run once more: the map and the counts as they were, the whole of it in twenty seconds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from textual import getters, on, work
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.kit.modal import Modal
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.replay.event_strip import EventStrip
from geobatch_tui.tui.replay.reel import Reel, ReelSource, reel_of
from geobatch_tui.tui.report.work_timeline import ChunkTimes, Period, Timeline, timeline_of
from geobatch_tui.tui.run.model import Delta

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from geobatch_tui.tui.parts.console_app import RunConsole
    from geobatch_tui.tui.run.store import RunStore

_WHOLE: Final = 20.0  #: seconds that a whole run takes
_FRAME: Final = 0.1  #: seconds between two pictures
_STEP: Final = 0.01  #: of the run
_FAR: Final = 0.1
_FASTEST: Final = 16.0


class ReplayScreen(Modal[None]):
    """A replay of the newest run. It changes nothing; the run itself may go on.

    Attributes:
        reel: None until it is wound up.
    """

    BINDING_GROUP_TITLE = "Replay"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("mark", "play", name="Play/pause", does="Hold the picture, or play on"),
        bind("next", "death(1)", name="Next death", does="The next chunk that was given up"),
        bind("previous", "death(-1)", show=False, does="The one before that was given up"),
        bind("detail.less", "speed(0.5)", name="Slower", does="Half as fast"),
        bind("detail.more", "speed(2.0)", name="Faster", does="Twice as fast"),
        bind("back", "close"),
        bind("replay", "close", show=False),
        Binding("left,h", f"scrub(-{_STEP})", "Back", show=False),
        Binding("right,l", f"scrub({_STEP})", "On", show=False),
        Binding("shift+left,pageup,down,j", f"scrub(-{_FAR})", "Far back", show=False),
        Binding("shift+right,pagedown,up,k", f"scrub({_FAR})", "Far on", show=False),
        Binding("home", "scrub(-1)", "Begin", show=False),
        Binding("end,G", "scrub(1)", "End", show=False),
    ]
    DEFAULT_CSS = """
    ReplayScreen { background: $background; layout: vertical; }
    ReplayScreen #replay-head { height: 2; background: $panel; text-wrap: nowrap; }
    ReplayScreen #replay-map {
        height: 1fr; border: round $border-blurred; border-title-color: $foreground;
        border-title-style: bold; border-subtitle-color: $quiet;
    }
    ReplayScreen EventStrip { height: 5; }
    """

    if TYPE_CHECKING:
        app = getters.app(RunConsole)

    strip = getters.query_one(EventStrip)

    def __init__(self) -> None:
        super().__init__()
        self.reel: Reel | None = None
        self.playing = True
        self._speed = 1.0
        self._map: ChunkMap | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="replay-head", markup=False)
        yield EventStrip()
        yield KeyBar()

    def on_mount(self) -> None:
        self.wind_up()

    @work(exclusive=True, group="replay", exit_on_error=False)
    async def wind_up(self) -> None:
        """Read the run in a thread, then play it."""
        store = self.app.link.store
        reel = await asyncio.to_thread(reel_of, store)
        if reel is None:
            self.notify("no chunk of this run has a time", title="replay", markup=False)
            self.dismiss()
            return
        timeline = await asyncio.to_thread(_timeline, store, reel)
        if not self.is_active:
            return
        self.reel = reel
        strip = self.strip
        strip.timeline = timeline
        strip.styles.height = strip.wanted()
        self._map = ChunkMap(ReelSource(store, reel), id="replay-map")
        self._map.can_focus = False
        await self.mount(self._map, before=strip)
        self._show(None)
        self.set_interval(_FRAME, self._tick)

    def _tick(self) -> None:
        reel = self.reel
        if reel is None or not self.playing or not self.is_current:
            return
        self._go(reel.at + reel.seconds * _FRAME / _WHOLE * self._speed)
        if reel.at >= reel.end:
            self.playing = False
            self._say()

    def _go(self, t: float) -> None:
        if self.reel is not None:
            self._show(self.reel.seek(t))

    def _show(self, changed: list[int] | None) -> None:
        """Show the states of the reel's time; ``changed`` None: all may be others."""
        view = self.app.shown
        if self._map is not None:
            self._map.take(Delta(changed or (), reshaped=changed is None, fresh=True, view=view))
        if self.reel is not None:
            self.strip.share = self.reel.share
        self.strip.renew()
        self._say()

    def _say(self) -> None:
        reel, view = self.reel, self.app.shown
        if reel is None:
            return
        speed = reel.seconds / _WHOLE * self._speed
        paused = (("  ", ""), (" PAUSED ", "bold reverse $accent"))
        first = Content.assemble(
            (" Replay  ", "bold $primary"),
            (f"{fmt.fit_middle(safe(view.name), 24).rstrip()}  ", "bold"),
            (fmt.clock(reel.at), "bold"),
            (f"  {figures.duration(reel.at - reel.start)} of {figures.duration(reel.seconds)}", ""),
            (f"  x{figures.amount(speed)}", "$quiet"),
            *(() if self.playing else paused),
        )
        pieces: list[tuple[str, str]] = [(" ", "")]
        for number, look in LOOKS.items():
            count = figures.count(reel.states.count(number))
            pieces += [(f"{look.glyph} ", look.style), (f"{look.name} ", "$quiet")]
            pieces.append((f"{count}  ", ""))
        width = max(1, self.size.width)
        lines = [line.truncate(width, ellipsis=True) for line in (first, Content.assemble(*pieces))]
        self.query_one("#replay-head", Static).update(Content("\n").join(lines))

    # --- actions --------------------------------------------------------------------------------

    def action_play(self) -> None:
        """Hold the picture, or play on; at the end, from the beginning."""
        self.playing = not self.playing
        if self.playing and self.reel is not None and self.reel.at >= self.reel.end:
            self._go(self.reel.start)
        self._say()

    def action_scrub(self, part: float) -> None:
        """Go on or back by a part of the run."""
        if self.reel is not None:
            self._go(self.reel.at + part * self.reel.seconds)

    @on(EventStrip.Pointed)
    def _pointed(self, message: EventStrip.Pointed) -> None:
        if self.reel is not None:
            self._go(self.reel.start + message.share * self.reel.seconds)

    def action_speed(self, factor: float) -> None:
        self._speed = min(_FASTEST, max(1 / _FASTEST, self._speed * factor))
        self._say()

    def action_death(self, step: int) -> None:
        """Hold the picture where a chunk was given up."""
        if self.reel is None:
            return
        t = self.reel.next_change(ChunkState.DEAD, step)
        if t is None:
            self.notify("no chunk was given up there", title="replay", markup=False)
            return
        self.playing = False
        self._go(t)

    def action_close(self) -> None:
        self.dismiss()


def _timeline(store: RunStore, reel: Reel) -> Timeline:
    run = store.view.run
    times = ChunkTimes(*store.table(("ended", "seconds", "worker")))
    period = Period(reel.start, reel.seconds)
    return timeline_of(period, times, store.log_path, run.run_id if run else "")
