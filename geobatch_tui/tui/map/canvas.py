"""A widget that paints a scene, two pixels a cell, and repaints only the cells that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from geobatch_tui.tui.map.colours import CLASSES, Palette
from geobatch_tui.tui.map.picture.half_blocks import blocks, glyphs
from geobatch_tui.tui.map.picture.pictures import Pictures, Source
from geobatch_tui.tui.parts.line_widget import Follower

if TYPE_CHECKING:
    from geobatch_tui.tui.map.picture.planes import Span
    from geobatch_tui.tui.map.picture.scene import Dirty, Scene

Boxes = tuple["Span", "Span | None"]
"""The pixels of the cursor, and those of the rectangle."""


class Canvas(Follower, can_focus=True):
    """Paints the scene on top of its pictures.

    Attributes:
        pictures: what is shown, without the terminal.
    """

    ALLOW_SELECT: ClassVar[bool] = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"chunk-map--{name}" for name in (*CLASSES.values(), "cursor", "outline", "ground", "text")
    }
    DEFAULT_CSS = """
    Canvas {
        & > .chunk-map--wait { color: $chunk-wait; }
        & > .chunk-map--run { color: $chunk-run; }
        & > .chunk-map--retry { color: $chunk-retry; }
        & > .chunk-map--done { color: $chunk-done; }
        & > .chunk-map--dead { color: $chunk-dead; }
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

    class Moved(Message):
        """The cursor, the view, the mode, the rectangle or what is under the cursor changed."""

    def __init__(self, source: Source, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.pictures = Pictures(source)
        self._palette: Palette | None = None

    def paint(self, dirty: Dirty) -> None:
        """Repaint the cells of dirty pixels."""
        lines: dict[int, set[int]] = {}
        for y, columns in dirty.items():
            lines.setdefault(y // 2, set()).update(columns)
        if lines:
            # Textual sends a line from the first region on it to the end of each: one is best.
            self.refresh(*(Region(min(at), y, max(at) + 1 - min(at), 1) for y, at in lines.items()))

    def moved(self, scene: Scene, before: Boxes) -> None:
        """Repaint where the cursor and the rectangle were and are."""
        (cursor, rectangle), now = before, boxes_of(scene)
        boxes = {cursor, now[0]} | ({rectangle} ^ {now[1]})
        self.refresh(*(_cells(box) for box in boxes if box is not None))
        self.post_message(self.Moved())

    def renew(self) -> None:
        self.refresh()
        self.post_message(self.Moved())

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._palette = None

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        scene = self.pictures.top
        if scene.width != width or 2 * y >= scene.height:
            return Strip.blank(width, base)
        if self._palette is None:
            looks = self.get_component_styles
            self._palette = Palette(lambda name: looks(f"chunk-map--{name}").color, base)
        style = self._palette.style
        draw = glyphs if self.app.no_color else blocks
        runs = draw(*scene.line(y), scene.under(y))
        return Strip([Segment(text, style(key)) for text, key in runs], width)


def boxes_of(scene: Scene) -> Boxes:
    """Return the boxes of a scene's cursor and of its rectangle."""
    return scene.cursor_box(), scene.selection_box()


def _cells(box: Span) -> Region:
    """Return the cells of the terminal that contain these pixels."""
    top, bottom = box.top // 2, -(-box.bottom // 2)
    return Region(box.left, top, box.right - box.left, bottom - top)
