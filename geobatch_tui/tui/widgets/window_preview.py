"""The failing window as a picture in half blocks, with what cannot be read marked; or the failing
feature in braille."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from geobatch_tui.execution.protocol.preview_messages import FeaturesReceipt
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import harmless
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.letters.previewer import Unseen
from geobatch_tui.tui.parts.feature_lines import dot_captions, dot_lines, feature_lines
from geobatch_tui.tui.parts.line_widget import painted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.strip import Strip

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.preview_messages import PreviewReceipt
    from geobatch_tui.tui.letters.previewer import Seen

VALUE, NODATA, UNREADABLE, UNREAD = range(4)
_RAMP: Final = " .:-=+*#%@"
_GLYPHS: Final = {NODATA: "·", UNREADABLE: "?", UNREAD: "~"}
_STYLES: Final = {NODATA: "$quiet", UNREADABLE: "bold $error", UNREAD: "$quiet"}

_BANDS: Final = 6
CAPTION: Final = 40
"""Cells of captions that stand beside a picture, at least."""

Pixel = tuple[int, int]
"""A colour as 0xRRGGBB, and a mark."""


def fitted(receipt: PreviewReceipt, width: int, height: int) -> list[list[Pixel]]:
    """Return rows of pixels of the picture, at most ``width`` x ``height`` of them, in its
    proportions; never enlarged by more than whole steps.

    A pixel that stands for several shows the one in the middle, but never hides one that could
    not be read.
    """
    ratio = min(width / receipt.width, height / receipt.height)
    if ratio > 1:
        ratio = float(int(ratio))
    wide = max(1, min(width, round(receipt.width * ratio)))
    high = max(1, min(height, round(receipt.height * ratio)))
    columns = _spans(receipt.width, wide)
    return [
        [_pixel(receipt, across, down) for across in columns]
        for down in _spans(receipt.height, high)
    ]


def _spans(size: int, count: int) -> list[range]:
    return [
        range(index * size // count, max((index + 1) * size // count, index * size // count + 1))
        for index in range(count)
    ]


def _pixel(receipt: PreviewReceipt, across: range, down: range) -> Pixel:
    for y in down:
        start = y * receipt.width
        if UNREADABLE in receipt.marks[start + across.start : start + across.stop]:
            return 0, UNREADABLE
    place = down[len(down) // 2] * receipt.width + across[len(across) // 2]
    return int.from_bytes(receipt.pixels[3 * place : 3 * place + 3]), receipt.marks[place]


def colour_line(upper: Sequence[Pixel], lower: Sequence[Pixel] | None) -> Content:
    """Return a line of half blocks: two rows of pixels in colour."""
    pairs = zip(upper, lower or [(0, VALUE)] * len(upper), strict=True)
    return Content.assemble(*(_cell(*pair, single=lower is None) for pair in pairs))


def _cell(above: Pixel, below: Pixel, *, single: bool) -> tuple[str, str]:
    if above[1] == below[1] != VALUE or (single and above[1] != VALUE):
        return _GLYPHS[above[1]], _STYLES[above[1]]
    top, bottom = _colour(above), _colour(below)
    if single:
        return "▀", top
    if above[1] not in (VALUE, UNREADABLE):  # the background shows there
        return "▄", bottom
    if below[1] not in (VALUE, UNREADABLE):
        return "▀", top
    return "▀", f"{top} on {bottom}"


def _colour(pixel: Pixel) -> str:
    return "$error" if pixel[1] == UNREADABLE else f"#{pixel[0]:06x}"


def glyph_line(upper: Sequence[Pixel], lower: Sequence[Pixel] | None) -> Content:
    """Return a line without colour: light and dark as characters, the worst mark of two pixels."""
    cells: list[tuple[str, str]] = []
    for above, below in zip(upper, lower or upper, strict=True):
        mark = UNREADABLE if UNREADABLE in (above[1], below[1]) else max(above[1], below[1])
        if mark != VALUE:
            cells.append((_GLYPHS[mark], _STYLES[mark]))
            continue
        light = (_luminance(above[0]) + _luminance(below[0])) // 2
        cells.append((_RAMP[light * len(_RAMP) // 256], ""))
    return Content.assemble(*cells)


def _luminance(colour: int) -> int:
    red, green, blue = colour >> 16, colour >> 8 & 255, colour & 255
    return (299 * red + 587 * green + 114 * blue) // 1000


def range_lines(receipt: PreviewReceipt) -> list[str]:
    """Return captions of what a step gives: the range of each band, and where it lies."""
    facts = receipt.facts
    lines = [_band(number, facts) for number in range(min(len(facts["ranges"]), _BANDS))]
    if len(facts["ranges"]) > _BANDS:
        lines.append(f"and {len(facts['ranges']) - _BANDS} bands more")
    col, row, width, height = facts["window"]
    columns, rows = facts["size"]
    return [*lines, f"{width}x{height} at {col},{row} of {columns}x{rows}, {facts['dtype']}"]


def _band(number: int, facts: Json) -> str:
    limits, missing = facts["ranges"][number], facts["missing"][number]
    said = "nothing is valid" if limits is None else f"{limits[0]:.6g} to {limits[1]:.6g}"
    share = f", {100 * missing:.3g} % nodata" if missing else ""
    return f"band {number + 1}  {said}{share}"


def captions(receipt: PreviewReceipt) -> list[str]:
    """Return captions of the picture, the most important first."""
    facts = receipt.facts
    if "ranges" in facts:  # of a step
        return range_lines(receipt)
    bands = facts["bands"]
    which = f"band {bands[0]}/{facts['count']}" if len(bands) == 1 else "bands 1,2,3 as RGB"
    lines = [f"{which} {facts['dtype']}"]
    if VALUE in receipt.marks:
        lines.append(f"p2-98 {min(facts['low']):.4g} to {max(facts['high']):.4g}")
    if facts["bad_blocks"]:
        lines.insert(0, f"? {figures.plural(facts['bad_blocks'], 'block')} unreadable")
    if NODATA in receipt.marks:
        lines.append(f"· nodata {facts['nodata']}" if facts["nodata"] else "· masked")
    if UNREAD in receipt.marks:
        lines.append("~ not read: no time")
    col, row, width, height = facts["window"]
    lines.append(f"{width}x{height} at {col},{row}")
    (columns, rows), (wide, high) = facts["size"], facts["block"]
    lines.append(f"of {columns}x{rows}, blocks {wide}x{high}")
    return lines


class Preview(Widget):
    """The picture, or the reason why there is none.

    Attributes:
        shows: the picture, features, the reason, or None while it is being read.
        least: lines of captions where there is little room.
        busy: what is said while it is being read.
    """

    ALLOW_SELECT: ClassVar[bool] = False
    BORDER_TITLE = "Window"
    least: ClassVar[int] = 2
    busy: ClassVar[str] = "reading the window"
    DEFAULT_CSS = """
    Preview {
        border: round $border-blurred;
        border-title-color: $foreground; border-title-style: bold;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.shows: Seen | Unseen | None = Unseen("no dead letter is chosen")
        self._lines: list[Content] | None = None

    def show(self, what: Seen | Unseen | None) -> None:
        self.shows = what
        self._lines = None
        self.refresh()

    def titles(self, found: FeaturesReceipt) -> list[str]:
        """Return what stands above features."""
        del found
        return []

    def captions(self, receipt: PreviewReceipt) -> list[str]:
        """Return captions of a picture, the most important first."""
        return captions(receipt)

    def on_resize(self) -> None:
        self._lines = None

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._lines = None

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self._lines is None:
            self._lines = self._build(width, self.size.height)
        content = self._lines[y] if y < len(self._lines) else Content("")
        return painted(self, content, width)

    def _build(self, width: int, height: int) -> list[Content]:
        if width < 1 or height < 1:
            return []
        if self.shows is None:
            return [Content.styled(self.busy, "$quiet")]
        if isinstance(self.shows, Unseen):
            return _reason(self.shows, width)
        if isinstance(self.shows, FeaturesReceipt):
            return self._features(self.shows, width, height)
        texts = self.captions(self.shows)
        if self.puts_beside(width, height):
            return self._beside(self.shows, texts, width, height)
        lines = self._picture(self.shows, width, self._room_above(texts, height))
        return lines + _captioned(texts[: height - len(lines)], width)

    def _room_above(self, texts: Sequence[str], height: int) -> int:
        """Return the lines of a picture above its captions."""
        return max(1, height - min(len(texts), self.least if height < 14 else len(texts)))

    def _features(self, found: FeaturesReceipt, width: int, height: int) -> list[Content]:
        """Return features as a picture above its captions, or beside a table where that is wide."""
        titles, picture = self.titles(found), found.picture
        if picture is not None and width >= 2 * CAPTION:
            drawn = dot_lines(picture, width // 3, height)
            left = width - max(map(len, drawn)) - 1
            table = feature_lines(found, left, height, titles)
            pairs = zip_longest(table, drawn, fillvalue=None)
            return [
                Content.assemble(
                    (text or Content("")).pad_right(left + 1 - _length(text)), dots or ""
                )
                for text, dots in pairs
            ]
        if picture is None or titles:
            return feature_lines(found, width, height, titles)
        texts = dot_captions(found)
        drawn = dot_lines(picture, width, self._room_above(texts, height))
        return [*map(Content, drawn), *_captioned(texts[: height - len(drawn)], width)]

    def puts_beside(self, width: int, height: int) -> bool:
        """Whether captions stand at the right of the picture, in a pane of such a size."""
        del width, height
        return False

    def _beside(
        self, receipt: PreviewReceipt, texts: Sequence[str], width: int, height: int
    ) -> list[Content]:
        lines = self._picture(receipt, width - CAPTION - 1, height)
        across = max((line.cell_length for line in lines), default=0)
        pairs = zip_longest(lines, texts[:height], fillvalue=None)
        return [
            Content.assemble(
                (line or Content("")).pad_right(across - _length(line)),
                (f" {fmt.fit(text or '', width - across - 1)}", "$quiet"),
            )
            for line, text in pairs
        ]

    def _picture(self, receipt: PreviewReceipt, width: int, height: int) -> list[Content]:
        """Return the lines of a picture, at most so many."""
        rows = fitted(receipt, width, 2 * height)
        colourless = self.app.ansi_color or self.app.current_theme.ansi
        line = glyph_line if colourless else colour_line
        return [line(upper, lower) for upper, lower in zip_longest(rows[::2], rows[1::2])]


def _captioned(texts: Sequence[str], width: int) -> list[Content]:
    """Return captions, those of damage in the colour of errors."""
    styles = ("$error" if text.startswith("?") else "$quiet" for text in texts)
    return [
        Content.styled(fmt.fit(harmless(text), width), style)
        for text, style in zip(texts, styles, strict=True)
    ]


def _length(line: Content | None) -> int:
    return 0 if line is None else line.cell_length


def _reason(unseen: Unseen, width: int) -> list[Content]:
    lines = [Content.styled(line, "$warning") for line in _wrapped(harmless(unseen.reason), width)]
    hints = _wrapped(harmless(unseen.hint), width)
    return lines + [Content.styled(line, "$quiet") for line in hints]


def _wrapped(text: str, width: int) -> list[str]:
    """Wrap text in lines of at most ``width`` cells."""
    lines = textwrap.wrap(text, max(4, width), break_long_words=True)
    if all(cell_len(line) <= width for line in lines):
        return lines
    return textwrap.wrap(text, max(2, width // 2), break_long_words=True)
