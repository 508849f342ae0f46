"""The map of chunks as a widget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from rich.segment import Segment
from textual import on, work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.worker import Worker, WorkerState

from geobatch_tui.tui.keymap import bind
from geobatch_tui.tui.widgets.chunk_map.cells import blocks, glyphs
from geobatch_tui.tui.widgets.chunk_map.codes import MODES
from geobatch_tui.tui.widgets.chunk_map.figures import (
    FiguresRead,
    SomeRead,
    Wants,
    read_all,
    read_some,
)
from geobatch_tui.tui.widgets.chunk_map.ground import GroundScene
from geobatch_tui.tui.widgets.chunk_map.palette import CLASSES, Palette
from geobatch_tui.tui.widgets.chunk_map.pictures import Pictures, Source
from geobatch_tui.tui.widgets.chunk_map.place import Place
from geobatch_tui.tui.widgets.lines import Follower

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual import events
    from textual.color import Color

    from geobatch_tui.tui.model import Delta
    from geobatch_tui.tui.widgets.chunk_map.codes import Mode, Scale
    from geobatch_tui.tui.widgets.chunk_map.planes import Span
    from geobatch_tui.tui.widgets.chunk_map.scene import Dirty, Scene

_FAR: Final = 8
_LATTICES: Final = 200  #: items whose exact shape is read for one view
_REST: Final = 10.0  #: how many times as long as it took taking in all items rests

_Boxes = tuple["Span", "Span | None"]


class ChunkMap(Follower, can_focus=True):
    """Every chunk of a run in its place: many items on the ground, one in its grid.

    It changes nothing but itself; what the operator wants is said in messages.

    Args:
        source: the run.

    Attributes:
        pictures: what is shown, without the terminal.
    """

    ALLOW_SELECT: ClassVar[bool] = False
    BINDING_GROUP_TITLE = "Map"
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"chunk-map--{name}" for name in (*CLASSES.values(), "cursor", "outline", "ground", "text")
    }
    DEFAULT_CSS = """
    ChunkMap {
        & > .chunk-map--wait { color: $chunk-wait; }
        & > .chunk-map--run { color: $chunk-run; }
        & > .chunk-map--retry { color: $chunk-retry; }
        & > .chunk-map--done { color: $chunk-done; }
        & > .chunk-map--dead { color: $chunk-dead; }
        & > .chunk-map--skip { color: $chunk-skip; }
        & > .chunk-map--cancel { color: $chunk-cancel; }
        & > .chunk-map--ramp-1 { color: $ramp-1; }
        & > .chunk-map--ramp-2 { color: $ramp-2; }
        & > .chunk-map--ramp-3 { color: $ramp-3; }
        & > .chunk-map--ramp-4 { color: $ramp-4; }
        & > .chunk-map--ramp-5 { color: $ramp-5; }
        & > .chunk-map--mixed { color: $secondary; }
        & > .chunk-map--unknown { color: $quiet; }
        & > .chunk-map--cursor { color: $foreground; }
        & > .chunk-map--text { color: $foreground; }
        & > .chunk-map--outline { color: $quiet; }
        & > .chunk-map--ground { color: $background; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1, 0)", "Left", show=False),
        Binding("down,j", "step(0, 1)", "Down", show=False),
        Binding("up,k", "step(0, -1)", "Up", show=False),
        Binding("right,l", "step(1, 0)", "Right", show=False),
        Binding("shift+left,home", f"step(-{_FAR}, 0)", "Far left", show=False),
        Binding("shift+down,pagedown", f"step(0, {_FAR})", "Far down", show=False),
        Binding("shift+up,pageup", f"step(0, -{_FAR})", "Far up", show=False),
        Binding("shift+right,end", f"step({_FAR}, 0)", "Far right", show=False),
        bind("map.mode", "mode"),
        bind("detail.less", "zoom(-1)"),
        bind("detail.more", "zoom(1)"),
        bind("mark", "mark", show=False),
        bind("mark.range", "range"),
        bind("next", "dead(1)"),
        bind("previous", "dead(-1)", show=False),
        bind("open", "open"),
        bind("back", "back", show=False),
    ]

    class Moved(Message):
        """The cursor, the view, the mode, the rectangle or what is under the cursor changed."""

    class ChunkSelected(Message):
        """The operator wants to see a chunk; ``position`` is that in the run's states."""

        def __init__(self, position: int) -> None:
            self.position = position
            super().__init__()

    class _Placed(Message):
        """Exact places of items were read."""

        bubble = False

        def __init__(self, places: Mapping[int, Place]) -> None:
            self.places = places
            super().__init__()

    def __init__(
        self,
        source: Source,
        *,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.pictures = Pictures(source)
        self._source = source
        self._wants = Wants()
        self._next_load = 0.0
        self._load_waits = False
        self._to_show: Sequence[int] = ()
        self._palette: Palette | None = None

    @property
    def mode(self) -> Mode:
        """What is shown of the chunks."""
        return self.pictures.planes.mode

    @property
    def selected(self) -> Sequence[tuple[int, int]]:
        """First and end position of each run of selected chunks."""
        scene = self.pictures.top
        return scene.selected() if scene is not None else ()

    # --- following ------------------------------------------------------------------------------

    def take(self, delta: Delta) -> None:
        if delta.reshaped or self.pictures.top is None:
            self._load()
        elif not self._load_waits and (dirty := self.pictures.touch(delta.changed)) is not None:
            self._send(dirty)
            self.post_message(self.Moved())
            if self.mode.figure:
                self._wants.add(delta.changed)
                self._read_more()

    def _send(self, dirty: Dirty) -> None:
        """Repaint the cells of dirty pixels."""
        lines: dict[int, set[int]] = {}
        for y, columns in dirty.items():
            lines.setdefault(y // 2, set()).update(columns)
        if lines:
            # Textual sends a line from the first region on it to the end of each: one is best.
            self.refresh(*(Region(min(at), y, max(at) + 1 - min(at), 1) for y, at in lines.items()))

    def _load(self) -> None:
        """Take in the whole run; while very many items are planned, not at every poll."""
        wait = self._next_load - time.monotonic()
        if wait <= 0 or self.pictures.top is None:
            self._load_now()
        elif not self._load_waits:
            self._load_waits = True
            self.set_timer(wait, self._load_now)

    def _load_now(self) -> None:
        self._load_waits = False
        begun = time.monotonic()
        self.pictures.resize(self.size.width, 2 * self.size.height)
        if self.pictures.load():
            self._ask_places()
        cost = time.monotonic() - begun
        self._next_load = begun + cost * (1 + _REST) if cost > 0.02 else 0.0
        if self.mode.figure and self._wants.all_due():
            self._read_all(self.mode)
        self._entitle()
        self._renew()
        if self._to_show:
            positions, self._to_show = self._to_show, ()
            self.show(positions)

    # --- reading --------------------------------------------------------------------------------

    def show_mode(self, mode: Mode) -> None:
        """Show something else of the chunks; figures come as soon as they are read."""
        self._wants.restart()
        if not mode.figure:
            self._show(mode, mode.scale(()), b"")
        elif self._wants.all_due():
            self._read_all(mode)

    def _show(self, mode: Mode, scale: Scale, steps: bytes) -> None:
        self.pictures.planes.show(mode, scale, steps)
        self.pictures.paint()
        self._entitle()
        self._renew()

    @work(thread=True, exclusive=True, group="figures", exit_on_error=False)
    def _read_all(self, mode: Mode) -> None:
        self.post_message(read_all(self._source, mode))

    @on(FiguresRead)
    def _take_all(self, message: FiguresRead) -> None:
        self._wants.took(message.seconds)
        self._show(message.mode, message.scale, message.steps)

    def _read_more(self) -> None:
        """Read figures of what changed; with time the scale moves, too."""
        if (self._wants.many() or self.mode.fixed is None) and self._wants.all_due():
            self._read_all(self.mode)
        elif positions := self._wants.some():
            self._read_some(self.mode, positions)

    @work(thread=True, group="some figures", exit_on_error=False)
    def _read_some(self, mode: Mode, positions: Sequence[int]) -> None:
        self.post_message(read_some(self._source, mode, positions))

    @on(SomeRead)
    def _take_some(self, message: SomeRead) -> None:
        self._wants.ended()
        top = self.pictures.top
        if message.mode is self.mode and top is not None:
            known = len(self.pictures.planes.flags)
            figures = {at: value for at, value in message.figures.items() if at < known}
            self.pictures.planes.put(figures)
            self._send(top.touch(list(figures)))
            self._read_more()

    def _ask_places(self) -> None:
        """Read the exact shape of the items that are large in view."""
        ground = self.pictures.ground
        if ground is not None:
            wanted = ground.wanted(_LATTICES)
            if wanted:
                self._read_places(wanted)

    @work(thread=True, group="places", exit_on_error=False)
    def _read_places(self, wanted: Sequence[int]) -> None:
        places = {}
        for item_id in wanted:
            item = self._source.item(item_id)
            lattice = item.lattice if item is not None else None
            if item is not None and lattice is not None:
                place = Place.of(item, lattice)
                if place is not None:
                    places[item_id] = place
        self.post_message(self._Placed(places))

    @on(_Placed)
    def _take_places(self, message: _Placed) -> None:
        ground = self.pictures.ground
        if message.places and ground is not None:
            ground.place(message.places)
            self.refresh()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What could not be read is said; the picture stays as it is."""
        event.stop()
        if event.state is WorkerState.ERROR:
            self._wants.ended()
            error = str(event.worker.error)
            self.notify(error, title="map", severity="error", markup=False)

    # --- keys -----------------------------------------------------------------------------------

    def show(self, positions: Sequence[int]) -> None:
        """Show chunks: the cursor on the first, and of several the rectangle that has them all.

        May be called before anything was taken in.
        """
        if self.pictures.top is None:
            self._to_show = positions
            return
        if len(positions) == 1:
            self.pictures.show(positions[0])
        else:
            self.pictures.frame(positions)
        self._entitle()
        self._renew()

    def action_step(self, dx: int, dy: int) -> None:
        """Move the cursor."""
        scene = self.pictures.top
        if scene is not None:
            before = _boxes(scene)
            self._moved(scene, before, everything=scene.move(dx, dy))

    def action_zoom(self, steps: int) -> None:
        """More or less detail."""
        scene = self.pictures.top
        if scene is not None and scene.zoom(steps):
            self._ask_places()
            self._entitle()
            self._renew()

    def action_mode(self) -> None:
        """Show the next thing."""
        names = [mode.name for mode in MODES]
        self.show_mode(MODES[(names.index(self.mode.name) + 1) % len(MODES)])

    def action_mark(self) -> None:
        """Select what is under the cursor, or nothing."""
        scene = self.pictures.top
        if scene is not None:
            if scene.drawing:
                scene.end()
            elif not scene.clear():
                scene.begin()
                scene.end()
            self._renew()

    def action_range(self) -> None:
        """Begin a rectangle at the cursor, or end it there."""
        scene = self.pictures.top
        if scene is not None:
            (scene.end if scene.drawing else scene.begin)()
            self._renew()

    def action_dead(self, direction: int) -> None:
        """Go to the next dead chunk, in the order of the run."""
        if self.pictures.dead(back=direction < 0):
            self._entitle()
            self._renew()
        else:
            self.notify("no chunk is dead", title="map", markup=False)

    def action_open(self) -> None:
        """The item under the cursor, then the chunk."""
        scene = self.pictures.top
        position = scene.worst() if scene is not None else None
        if position is None:
            return
        if isinstance(scene, GroundScene) and self._source.item_at(position).n > 1:
            self.show((position,))
        else:
            self.post_message(self.ChunkSelected(position))

    def action_back(self) -> None:
        """Select nothing, or leave the item's grid."""
        scene = self.pictures.top
        if scene is not None and not scene.clear():
            self.pictures.back()
            self._entitle()
        self._renew()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a selection or an opened item, "back" is for the screen."""
        del parameters
        if action != "back":
            return True
        scene = self.pictures.top
        return self.pictures.stacked or (scene is not None and scene.selection_box() is not None)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a second click opens."""
        offset = event.get_content_offset(self)
        scene = self.pictures.top
        if offset is not None and scene is not None:
            before = _boxes(scene)
            if scene.point(offset.x, 2 * offset.y):
                self._moved(scene, before, everything=False)
                if event.chain > 1:
                    self.action_open()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """More detail."""
        event.stop()
        self.action_zoom(1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Less detail."""
        event.stop()
        self.action_zoom(-1)

    # --- painting -------------------------------------------------------------------------------

    def _moved(self, scene: Scene, before: _Boxes, *, everything: bool) -> None:
        """Repaint where the cursor and the rectangle were and are."""
        if everything:
            self.refresh()
        else:
            boxes = [before[0], *_boxes(scene)]
            if before[1] != boxes[2]:
                boxes.append(before[1])
            else:
                boxes.pop()
            self.refresh(*(_cells(box) for box in boxes if box is not None))
        self.post_message(self.Moved())

    def _renew(self) -> None:
        """Repaint everything."""
        self.refresh()
        self.post_message(self.Moved())

    def _entitle(self) -> None:
        """Say in the border what is shown. It does not change from tick to tick: a new title
        repaints the whole widget."""
        scene, item = self.pictures.top, self.pictures.opened
        parts = ["Map", self.mode.name, item.key if item is not None else ""]
        self.border_title = Content(" · ".join(part for part in parts if part))
        if scene is not None:
            self.border_subtitle = Content(scene.scale_text)

    def on_resize(self, event: events.Resize) -> None:
        """The pictures depend on the size."""
        del event
        self.pictures.resize(self.size.width, 2 * self.size.height)
        self._ask_places()
        self._entitle()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._palette = None

    @property
    def uses_glyphs(self) -> bool:
        """Whether chunks are drawn as glyphs, not as coloured half blocks."""
        return self.app.no_color

    def _color(self, name: str) -> Color:
        return self.get_component_styles(f"chunk-map--{name}").color

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        scene = self.pictures.top
        if scene is None or scene.width != width or 2 * y >= scene.height:
            return Strip.blank(width, base)
        if self._palette is None:
            self._palette = Palette(self._color, base)
        style = self._palette.style
        draw = glyphs if self.uses_glyphs else blocks
        runs = draw(*scene.line(y), scene.under(y))
        return Strip([Segment(text, style(key)) for text, key in runs], width)


def _boxes(scene: Scene) -> _Boxes:
    return scene.cursor_box(), scene.selection_box()


def _cells(box: Span) -> Region:
    """The cells of the terminal that have these pixels in them."""
    top, bottom = box.top // 2, -(-box.bottom // 2)
    return Region(box.left, top, box.right - box.left, bottom - top)
