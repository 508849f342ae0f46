"""The map of chunks as a widget."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar, Final

from textual import work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.worker import Worker, WorkerState

from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.map.canvas import Canvas, boxes_of
from geobatch_tui.tui.map.chunk_figures import Wants, all_figures, next_outlier, places_of
from geobatch_tui.tui.map.picture.codes import MODES
from geobatch_tui.tui.map.picture.ground import GroundScene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

    from geobatch_tui.tui.map.picture.codes import Mode, Scale
    from geobatch_tui.tui.map.picture.pictures import Source
    from geobatch_tui.tui.map.picture.planes import Run
    from geobatch_tui.tui.run.model import Delta

_LATTICES: Final = 200  #: items whose exact shape is read for one view
_SETTLE: Final = 0.1  #: seconds that a view stays, before its scale is worked out
REST: Final = 10.0  #: how many times as long as it took taking in all items rests
_FAR: Final = 8  #: steps of the cursor at once


class ChunkMap(Canvas):
    """The map of a run's chunks: many items on the ground, one in its grid.

    It changes nothing but itself; what the operator wants is said in messages.
    """

    BINDING_GROUP_TITLE = "Map"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("map.mode", "mode"),
        bind("detail.less", "zoom(-1)"),
        bind("detail.more", "zoom(1)"),
        bind("mark", "mark", show=False),
        bind("mark.range", "range"),
        bind("next", "next(1)", does="The next dead chunk, or the next that stands out"),
        bind("previous", "next(-1)", show=False),
        bind("open", "open"),
        bind("back", "back", show=False),
        Binding("left,h", "step(-1, 0)", "Left", show=False),
        Binding("down,j", "step(0, 1)", "Down", show=False),
        Binding("up,k", "step(0, -1)", "Up", show=False),
        Binding("right,l", "step(1, 0)", "Right", show=False),
        Binding("shift+left,home", f"step(-{_FAR}, 0)", "Far left", show=False),
        Binding("shift+down,pagedown", f"step(0, {_FAR})", "Far down", show=False),
        Binding("shift+up,pageup", f"step(0, -{_FAR})", "Far up", show=False),
        Binding("shift+right,end", f"step({_FAR}, 0)", "Far right", show=False),
    ]

    class ChunkSelected(Message):
        """The operator wants to see a chunk; ``position`` is that in the run's states."""

        def __init__(self, position: int) -> None:
            self.position = position
            super().__init__()

    def __init__(self, source: Source, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(source, id=id)
        self._source = source
        self._wants = Wants()
        self._next_load = 0.0
        self._load_waits = False
        self._to_show: Sequence[int] = ()

    @property
    def mode(self) -> Mode:
        """The figure that is shown of the chunks, or their states."""
        return self.pictures.planes.mode

    @property
    def selected(self) -> Sequence[Run]:
        """Positions of the chunks that are selected."""
        return self.pictures.top.selected()

    # --- following ------------------------------------------------------------------------------

    def take(self, delta: Delta) -> None:
        if delta.reshaped or not self.pictures.loaded:
            self._load()
        elif not self._load_waits and (dirty := self.pictures.touch(delta.changed)) is not None:
            self.paint(dirty)
            self.post_message(self.Moved())
            if self.mode.figure:
                self._wants.add(delta.changed)
                self._read_more()

    def _load(self) -> None:
        """Load the whole run; while very many items are planned, not at every poll."""
        wait = self._next_load - time.monotonic()
        if wait <= 0 or not self.pictures.loaded:
            self._load_now()
        elif not self._load_waits:
            self._load_waits = True
            self.set_timer(wait, self._load_now)

    def _load_now(self) -> None:
        self._load_waits = False
        start = time.monotonic()
        self.pictures.resize(self.size.width, 2 * self.size.height)
        if self.pictures.load():
            self._ask_places()
        cost = time.monotonic() - start
        self._next_load = start + cost * (1 + REST) if cost > 0.02 else 0.0
        if self.mode.figure and self._wants.all_due():
            self._read_all(self.mode)
        self._entitle()
        self.renew()
        if self._to_show:
            positions, self._to_show = self._to_show, ()
            self.show(positions)

    # --- reading --------------------------------------------------------------------------------

    def show_mode(self, mode: Mode) -> None:
        """Show another figure of the chunks, as soon as it is read."""
        self._begin_reading(mode)

    def _begin_reading(self, mode: Mode, after: float = 0.0) -> None:
        self._wants.restart()
        self.workers.cancel_group(self, "figures")
        if not mode.figure:
            self._show(mode, mode.scale(()), b"")
        elif self._wants.all_due():
            self._read_all(mode, after)

    def _scale_anew(self) -> None:
        """Class the figures anew: other chunks share a cell."""
        if self.mode.fixed is None:
            self._begin_reading(self.mode, _SETTLE)

    def _show(self, mode: Mode, scale: Scale, steps: bytes) -> None:
        self.pictures.planes.show(mode, scale, steps)
        self.pictures.paint()
        self._entitle()
        self.renew()

    @work(group="figures", exit_on_error=False)
    async def _read_all(self, mode: Mode, after: float = 0.0) -> None:
        await asyncio.sleep(after)
        start = time.monotonic()
        cells = self.pictures.top.shared() if mode.fixed is None else ()
        scale, steps = await asyncio.to_thread(all_figures, self._source, mode, cells)
        self._wants.seconds = time.monotonic() - start
        self._show(mode, scale, steps)

    def _read_more(self) -> None:
        """Read figures of what changed; with time the scale moves, too."""
        if (self._wants.many() or self.mode.fixed is None) and self._wants.all_due():
            self._read_all(self.mode)
        elif positions := self._wants.some():
            self._read_some(self.mode, positions)

    @work(group="some figures", exit_on_error=False)
    async def _read_some(self, mode: Mode, positions: Sequence[int]) -> None:
        figures = await asyncio.to_thread(self._source.figures_at, positions, mode.figure)
        self._wants.reading = False
        planes = self.pictures.planes
        if mode is self.mode:
            known = {at: value for at, value in figures.items() if at < len(planes.flags)}
            planes.put(known)
            self.paint(self.pictures.top.touch(list(known)))
            self._read_more()

    def _ask_places(self) -> None:
        """Read the exact shape of the items that are large in view."""
        ground = self.pictures.ground
        if ground is not None and (wanted := ground.wanted(_LATTICES)):
            self._read_places(wanted)

    @work(group="places", exit_on_error=False)
    async def _read_places(self, wanted: Sequence[int]) -> None:
        places = await asyncio.to_thread(places_of, self._source, wanted)
        ground = self.pictures.ground
        if places and ground is not None:
            ground.place(places)
            self.refresh()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show an error of a reading as a notice; the picture stays as it is."""
        event.stop()
        if event.state is WorkerState.ERROR:
            self._wants.reading = False
            error = str(event.worker.error)
            self.notify(error, title="map", severity="error", markup=False)

    # --- keys -----------------------------------------------------------------------------------

    def show(self, positions: Sequence[int]) -> None:
        """Show chunks: the cursor on the first, and of several the rectangle that has them all.

        May be called before anything was taken in.
        """
        if not self.pictures.loaded:
            self._to_show = positions
            return
        if len(positions) == 1:
            self.pictures.show(positions[0])
        else:
            self.pictures.frame(positions)
        self._scale_anew()
        self._entitle()
        self.renew()

    def point_at(self, position: int) -> None:
        """Put the cursor on a chunk, on the ground if its place is known."""
        if self.pictures.loaded and self.size.width:
            self.pictures.point_at(position)
            self._entitle()
            self.renew()

    def action_step(self, dx: int, dy: int) -> None:
        scene = self.pictures.top
        before = boxes_of(scene)
        if scene.move(dx, dy):
            self.renew()
        else:
            self.moved(scene, before)

    def action_zoom(self, steps: int, at: tuple[int, int] | None = None) -> None:
        if self.pictures.top.zoom(steps, at):
            self._view_changed()
            self.renew()

    def action_mark(self) -> None:
        """Select what is under the cursor, or nothing."""
        scene = self.pictures.top
        if scene.drawing:
            scene.end()
        elif not scene.clear():
            scene.begin()
            scene.end()
        self.renew()

    def action_range(self) -> None:
        """Begin a rectangle at the cursor, or end it there."""
        scene = self.pictures.top
        (scene.end if scene.drawing else scene.begin)()
        self.renew()

    def action_mode(self) -> None:
        self.show_mode(MODES[(MODES.index(self.mode) + 1) % len(MODES)])

    def action_next(self, direction: int) -> None:
        """Go to the next dead chunk, in the order of the run; where a figure is shown, to the next
        that stands out, from the largest down."""
        if self.mode.figure and self.mode.name != "worker":
            self._go_to_outlier(self.mode, direction)
        elif self.pictures.dead(back=direction < 0):
            self._entitle()
            self.renew()
        else:
            self.notify("no chunk is dead", title="map", markup=False)

    @work(exclusive=True, group="outliers", exit_on_error=False)
    async def _go_to_outlier(self, mode: Mode, direction: int) -> None:
        here = self.pictures.top.worst()
        found = await asyncio.to_thread(next_outlier, self._source, mode, here, direction)
        if found is None:
            self.notify(f"no {mode.name} stands out", title="map", markup=False)
        elif mode is self.mode:
            self.point_at(found)

    def action_open(self) -> None:
        """Open the item under the cursor; in its grid, the chunk."""
        scene = self.pictures.top
        position = scene.worst()
        if position is None:
            return
        if isinstance(scene, GroundScene) and self._source.item_at(position).n > 1:
            self.show((position,))
        else:
            self.post_message(self.ChunkSelected(position))

    def action_back(self) -> None:
        """Select nothing, or leave the item's grid."""
        if not self.pictures.top.clear():
            self.pictures.back()
            self._scale_anew()
            self._entitle()
        self.renew()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave "back" to the screen where there is no selection and no opened item."""
        del parameters
        selects = self.pictures.top.selection_box() is not None
        return action != "back" or self.pictures.stacked or selects

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a second click opens what is there."""
        offset = event.get_content_offset(self)
        scene = self.pictures.top
        before = boxes_of(scene)
        if offset is not None and scene.point(offset.x, 2 * offset.y):
            self.moved(scene, before)
            if event.chain > 1:
                self.action_open()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, steps: int) -> None:
        """Show more or less around what the mouse is on; that stays where it is."""
        event.stop()
        offset = event.get_content_offset(self)
        self.action_zoom(steps, None if offset is None else (offset.x, 2 * offset.y))

    # --- the frame ------------------------------------------------------------------------------

    def _entitle(self) -> None:
        """Say in the border what is shown. It does not change from tick to tick: a new title
        repaints the whole widget."""
        item = self.pictures.opened
        parts = ["Map", self.mode.name, item.key if item is not None else ""]
        self.border_title = Content(" · ".join(part for part in parts if part))
        if self.pictures.loaded:
            lost = len(self.pictures.unplaced) if item is None else 0
            without = f"{lost} without a place  " if lost else ""
            self.border_subtitle = Content(without + self.pictures.top.scale_text)

    def _view_changed(self) -> None:
        """Read the shapes of items that are large in view now, and class the figures anew."""
        self._ask_places()
        self._scale_anew()
        self._entitle()

    def on_resize(self) -> None:
        self.pictures.resize(self.size.width, 2 * self.size.height)
        self._view_changed()
