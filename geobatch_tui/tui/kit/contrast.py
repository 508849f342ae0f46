"""Colours of text with enough contrast to every background of a theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.color import Color, ColorParseError

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS: Final = (
    "quiet",
    "primary",
    "accent",
    "success",
    "warning",
    "error",
    "footer-key-foreground",
)
GROUNDS: Final = ("background", "surface", "panel")
LEAST: Final = 3.0
"""Contrast by WCAG 2.2; its least for large text. The themes that ship have more."""

_STEPS: Final = 10


def legible(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a theme with words that stand out: Textual's own themes, mostly the light
    ones, have colours for areas, in which words cannot be read. Where that is so, a colour is
    brought nearer to that of plain text. Colours of the terminal are left to it."""
    grounds = [color for name in GROUNDS if (color := _color(variables.get(name)))]
    plain = _color(variables.get("foreground"))
    changed = dict(variables)
    for name in WORDS:
        color = _color(variables.get(name))
        if color is None or plain is None:
            continue
        tones = (color.blend(plain, step / _STEPS) for step in range(_STEPS + 1))
        found = next((tone for tone in tones if _stands_out(tone, grounds)), plain)
        if found != color:
            changed[name] = found.hex
    return changed


def _color(value: str | None) -> Color | None:
    """Return a colour whose looks are known, else None."""
    try:
        color = Color.parse(value) if value else None
    except ColorParseError:
        return None
    return None if color is None or color.ansi is not None or color.a < 1 else color


def _stands_out(color: Color, grounds: list[Color]) -> bool:
    return all(_contrast(color, ground) >= LEAST for ground in grounds)


def _contrast(one: Color, other: Color) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in color.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
