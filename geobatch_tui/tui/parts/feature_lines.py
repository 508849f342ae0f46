"""The features behind a step, as lines: how many, of which types, and a table of the first; and
their picture in braille."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.observability.text import harmless
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.braille import ACROSS, DOWN, DotCanvas

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.protocol.preview_messages import DotPicture, FeaturesReceipt

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


def dot_lines(picture: DotPicture, width: int, height: int) -> list[str]:
    """Return a picture in braille, at most ``width`` x ``height`` cells, in its proportions; never
    enlarged. A dot that stands for several is set where any of these is."""
    if width < 1 or height < 1:
        return []
    ratio = min(ACROSS * width / picture.width, DOWN * height / picture.height, 1.0)
    wide = max(1, min(ACROSS * width, round(picture.width * ratio)))
    high = max(1, min(DOWN * height, round(picture.height * ratio)))
    canvas = DotCanvas(-(-wide // ACROSS), -(-high // DOWN))
    for place in _set_dots(picture.dots):
        y, x = divmod(place, picture.width)
        canvas.dot(x * wide // picture.width, y * high // picture.height)
    return [canvas.line(y) for y in range(canvas.height // DOWN)]


def _set_dots(dots: bytes) -> Iterator[int]:
    place = dots.find(1)
    while place >= 0:
        yield place
        place = dots.find(1, place + 1)


def dot_captions(found: FeaturesReceipt) -> list[str]:
    """Return captions of the picture, the most important first: what it does not show before where
    it lies."""
    picture = found.picture
    if picture is None:
        return []
    kinds, lost, of = list(found.kinds), [], ""
    if found.read > 1:
        of = figures.plural(found.read, "feature")
        kinds = [f"{figures.count(count)} {kind}" for kind, count in found.kinds.items()]
        lost = [f"{figures.count(found.lost)} set aside"] if found.lost else []
    count = picture.vertices
    size = f"{figures.count(count)} {'vertex' if count == 1 else 'vertices'}"
    said = [", ".join(filter(None, (of, *kinds, *lost, size)))]
    if picture.not_finite:
        said.append(f"? {figures.count(picture.not_finite)} not finite: not drawn")
    if not picture.whole:
        said.append("~ not all of it is drawn")
    minx, miny, maxx, maxy = picture.bounds
    said += [f"x {minx:.7g} to {maxx:.7g}", f"y {miny:.7g} to {maxy:.7g}"]
    return said + [found.crs] * bool(found.crs)


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
