"""The features behind a step, as lines: how many, of which types, and a table of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.observability.text import harmless
from geobatch_tui.tui.kit import fixed_width as fmt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.preview_messages import FeaturesReceipt

#: The widest column of a field, and that of the geometry.
_FIELD, _SHAPE = 20, 36
#: Reasons that are shown where features are set aside.
_REASONS: Final = 3


def feature_lines(
    found: FeaturesReceipt, width: int, height: int, titles: Sequence[str] = ()
) -> list[Content]:
    """Return the lines that fit into ``width`` x ``height`` cells, ``titles`` first: the counts,
    what is set aside, and as many features and fields as there is room for."""
    lines = [Content.styled(fmt.fit(text, width), "$quiet") for text in titles]
    lines += [_line(text, width) for text in _summary(found)]
    reasons = [f"! {place}: {reason}" for place, _, reason in found.aside]
    shown = reasons[:_REASONS]
    if found.lost > len(shown):
        shown.append(f"! and {figures.count(found.lost - len(shown))} more")
    lines += [_line(text, width, "$error") for text in shown]
    room = height - len(lines)
    if room > 1 and found.lines:
        lines += _table(found, width, room)
    return lines[:height]


def _line(text: str, width: int, style: str = "") -> Content:
    return Content.styled(fmt.fit(harmless(text), width), style)


def _summary(found: FeaturesReceipt) -> list[str]:
    said = [f"{figures.count(found.made)} of {figures.plural(found.read, 'feature')}"]
    if found.dropped:
        said.append(f"{figures.count(found.dropped)} not asked for")
    if found.lost:
        said.append(f"{figures.count(found.lost)} set aside")
    kinds = ", ".join(f"{figures.count(count)} {kind}" for kind, count in found.kinds.items())
    lines = [", ".join(said), kinds or "no features"]
    if found.bounds is not None:
        lines.append(" ".join(f"{side:.7g}" for side in found.bounds))
    if found.crs:
        lines.append(found.crs)
    return lines


def _table(found: FeaturesReceipt, width: int, room: int) -> list[Content]:
    """Return a head and the first features, in columns; fields that do not fit are left out."""
    lines = found.lines[: room - 1]
    columns = [
        ("", [str(line.position) for line in lines], _FIELD),
        ("geometry", [line.geometry for line in lines], _SHAPE),
    ]
    columns += [
        (f"{name} {kind}", [line.values[number] for line in lines], _FIELD)
        for number, (name, kind) in enumerate(found.fields.items())
    ]
    texts = [""] * (len(lines) + 1)
    for head, values, most in columns:
        cells = [harmless(text) for text in (head, *values)]
        left = width - cell_len(texts[0])
        wide = min(max(map(cell_len, cells)), most, left)
        if wide < min(cell_len(cells[0]), most):
            break
        texts = [text + fmt.fit(cell, wide) + " " for text, cell in zip(texts, cells, strict=True)]
    styles = ["$quiet", *[""] * len(lines)]
    return [
        Content.styled(fmt.fit(text, width), style)
        for text, style in zip(texts, styles, strict=True)
    ]
