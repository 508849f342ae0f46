"""Styles of codes in the theme's colours, two pixels to a half block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.style import Style

from geobatch_tui.tui.map.picture.codes import CURSOR, SEAM, SELECTED, STEPS, Code
from geobatch_tui.tui.map.picture.half_blocks import FILLED, GLYPH, UNDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from textual.color import Color

    from geobatch_tui.tui.map.picture.half_blocks import Key

_PLAIN: Final = SEAM - 1
_DIM: Final = 0.7  #: how strongly coasts and borders are drawn
_LIFT: Final = 0.45  #: how far what is selected goes towards the colour of text
_FADE: Final = 0.3  #: how far the last pixel of an item goes towards the ground

#: The component class of each code, without its prefix.
CLASSES: Final[Mapping[int, str]] = {
    Code.WAIT: "wait",
    Code.RUN: "run",
    Code.RETRY: "retry",
    Code.DONE: "done",
    Code.DEAD: "dead",
    Code.MIXED: "mixed",
    Code.UNKNOWN: "unknown",
    **{Code.RAMP_1 + step: f"ramp-{step + 1}" for step in range(STEPS)},
}


class Palette:
    """Styles by code.

    Args:
        color: the colour of a component: one of ``CLASSES``, ``cursor``, ``outline``, ``ground``.
        base: the widget's own style.
    """

    def __init__(self, color: Callable[[str], Color], base: Style) -> None:
        self._base = base
        self._cursor = color("cursor")
        self._ground = color("ground")
        self._text = color("text")
        self._ansi = self._text.ansi is not None
        self._colors = {code: color(name) for code, name in CLASSES.items()}
        outline = color("outline")
        if not self._ansi:
            outline = self._ground.blend(outline, _DIM)
        self._styles: dict[Key, Style] = {UNDER: base + Style(color=outline.rich_color)}

    def style(self, key: Key) -> Style:
        """Return the style of a run of cells."""
        style = self._styles.get(key)
        if style is None:
            top, bottom = key
            if bottom == FILLED:
                style = self._filled(top)
            else:
                style = self._glyph(top) if bottom == GLYPH else self._block(top, bottom)
            self._styles[key] = style
        return style

    def _glyph(self, code: int) -> Style:
        color = self._colors.get(code & _PLAIN, self._text)
        return self._base + Style(
            color=color.rich_color,
            reverse=bool(code & CURSOR),
            underline=bool(code & SELECTED) and not code & CURSOR,
        )

    def _filled(self, code: int) -> Style:
        """A glyph on its colour; under the cursor the other way round."""
        color = self._colors[code & _PLAIN]
        behind = self._cursor if code & CURSOR else self._color(code) or color
        mark = color if code & CURSOR else self._ground
        return self._base + Style(
            color=mark.rich_color,
            bgcolor=behind.rich_color,
            bold=True,
            underline=bool(code & SELECTED) and self._ansi,
        )

    def _block(self, front: int, back: int) -> Style:
        """Two pixels. Where sixteen colours leave none for what is selected, it is striped."""
        fore = self._color(front)
        style = self._base + Style(color=fore.rich_color) if fore else self._base
        striped = self._ansi and front == back and front & SELECTED and not front & CURSOR
        behind = None if striped else self._color(back)
        return style + Style(bgcolor=behind.rich_color) if behind else style

    def _color(self, code: int) -> Color | None:
        """Return the colour of a pixel; None: that of the ground."""
        if code & CURSOR:
            return self._cursor
        color = self._colors.get(code & _PLAIN)
        if color is not None and code & SEAM and not self._ansi:
            color = color.blend(self._ground, _FADE)
        if not code & SELECTED:
            return color
        return color if self._ansi else (color or self._ground).blend(self._text, _LIFT)
