"""A canvas with a cursor, a rectangle and a zoom, by keys and by mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType

from geobatch_tui.tui.map.canvas import Canvas, boxes_of

if TYPE_CHECKING:
    from textual import events

_FAR: Final = 8


class Walk(Canvas):
    """Moves the cursor and the view, and draws the rectangle."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1, 0)", "Left", show=False),
        Binding("down,j", "step(0, 1)", "Down", show=False),
        Binding("up,k", "step(0, -1)", "Up", show=False),
        Binding("right,l", "step(1, 0)", "Right", show=False),
        Binding("shift+left,home", f"step(-{_FAR}, 0)", "Far left", show=False),
        Binding("shift+down,pagedown", f"step(0, {_FAR})", "Far down", show=False),
        Binding("shift+up,pageup", f"step(0, -{_FAR})", "Far up", show=False),
        Binding("shift+right,end", f"step({_FAR}, 0)", "Far right", show=False),
    ]

    def view_changed(self) -> None:
        """React to another view of the scene; overwrite it."""

    def action_open(self) -> None:
        """Open what is under the cursor; overwrite it."""

    def action_step(self, dx: int, dy: int) -> None:
        """Move the cursor."""
        scene = self.pictures.top
        if scene is not None:
            before = boxes_of(scene)
            self.moved(scene, before, everything=scene.move(dx, dy))

    def action_zoom(self, steps: int) -> None:
        """Zoom in or out."""
        scene = self.pictures.top
        if scene is not None and scene.zoom(steps):
            self.view_changed()
            self.renew()

    def action_mark(self) -> None:
        """Select what is under the cursor, or nothing."""
        scene = self.pictures.top
        if scene is not None:
            if scene.drawing:
                scene.end()
            elif not scene.clear():
                scene.begin()
                scene.end()
            self.renew()

    def action_range(self) -> None:
        """Begin a rectangle at the cursor, or end it there."""
        scene = self.pictures.top
        if scene is not None:
            (scene.end if scene.drawing else scene.begin)()
            self.renew()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a second click opens what is there."""
        offset = event.get_content_offset(self)
        scene = self.pictures.top
        if offset is not None and scene is not None:
            before = boxes_of(scene)
            if scene.point(offset.x, 2 * offset.y):
                self.moved(scene, before, everything=False)
                if event.chain > 1:
                    self.action_open()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in."""
        event.stop()
        self.action_zoom(1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out."""
        event.stop()
        self.action_zoom(-1)
