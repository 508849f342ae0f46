"""Maps of a report: pictures of the console's map as rectangles of SVG, over coasts and borders.

A picture has a bounded number of pixels, so 10^6 chunks make no larger page than 10^4.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.map import outline
from geobatch_tui.tui.map.picture.codes import MODES, Code
from geobatch_tui.tui.map.picture.ground import GroundScene
from geobatch_tui.tui.map.picture.pictures import Pictures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.tui.map.picture.place import GroundView
    from geobatch_tui.tui.run.store import RunStore

_SIZE: Final = (240, 160)  #: pixels
_NARROW: Final = (72, 48)  #: of the map in letters, which has two pixels a cell
_DURATION: Final = next(mode for mode in MODES if mode.name == "duration")
_GLYPHS: Final = {
    Code.ABSENT: " ",
    Code.WAIT: "·",
    Code.RUN: "▒",
    Code.RETRY: "▚",
    Code.DONE: "█",
    Code.DEAD: "✗",
}
_NAMES: Final = {
    Code.DONE: "done",
    Code.DEAD: "given up",
    Code.RETRY: "waits for another try",
    Code.RUN: "in work",
    Code.WAIT: "not done yet",
}


@dataclass(frozen=True, slots=True)
class Legend:
    """What a colour means: ``look`` is its class on the page."""

    look: str
    text: str


@dataclass(frozen=True, slots=True)
class MapPicture:
    """A map as SVG, and what its colours mean."""

    svg: str
    legend: tuple[Legend, ...]


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps of a run: its states, how long chunks took (None: no chunk is done), and states in
    letters. ``unplaced``: items whose place is not known. ``place``: of the whole map."""

    states: MapPicture
    durations: MapPicture | None
    letters: str
    unplaced: int
    place: str


def maps_of(store: RunStore, seconds: Sequence[float]) -> Maps | None:
    """Draw the maps of a run, ``seconds`` by chunk; None: nothing is planned yet."""
    pictures = Pictures(store)
    if not store.items:
        return None
    pictures.load()
    letters = _letters(pictures)
    pictures.resize(*_SIZE)
    states = MapPicture(_svg(pictures), tuple(_states(pictures)))
    return Maps(
        states, _durations(pictures, seconds), letters, len(pictures.unplaced), _place(pictures)
    )


def _place(pictures: Pictures) -> str:
    if isinstance(pictures.top, GroundScene):
        west, south, east, north = pictures.top.view.bounds
        south, north = max(south, -90.0), min(north, 90.0)
        return f"longitude {west:.2f} to {east:.2f}, latitude {south:.2f} to {north:.2f}"
    if pictures.opened is not None:
        return f"{pictures.opened.columns} x {pictures.opened.rows} chunks"
    return "chunks in their order"


def _states(pictures: Pictures) -> Iterator[Legend]:
    counts = pictures.planes.counts([(0, len(pictures.planes.flags))])
    for code, name in _NAMES.items():
        if code in counts:
            yield Legend(f"c{code.value}", f"{name} {counts[code]:,}")


def _durations(pictures: Pictures, values: Sequence[float]) -> MapPicture | None:
    """Draw the map of durations; a place shows the longest of its chunks."""
    if not any(values):
        return None
    scale = _DURATION.scale(values, pictures.top.shared())
    pictures.planes.show(_DURATION, scale, _DURATION.steps(values, scale))
    pictures.paint()
    bounds = (scale.low, *scale.edges, scale.high)
    legend = tuple(
        Legend(f"c{Code.RAMP_1.value + step}", f"from {_DURATION.text(bounds[step])}")
        for step in range(len(bounds) - 1)
    )
    return MapPicture(_svg(pictures), legend)


def _letters(pictures: Pictures) -> str:
    """Return the map in glyphs, a cell for two pixels of which the worse one counts."""
    pictures.resize(*_NARROW)
    rows = pictures.top.picture
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        pairs = zip(upper, lower, strict=True)
        lines.append("".join(_GLYPHS.get(_worse(*pair), " ") for pair in pairs).rstrip())
    return "\n".join(line for line in lines if line)


def _worse(first: int, second: int) -> Code:
    order = (Code.DEAD, Code.RETRY, Code.RUN, Code.WAIT, Code.DONE)
    return next((code for code in order if code in (first, second)), Code.ABSENT)


def _svg(pictures: Pictures) -> str:
    scene = pictures.top
    width, height = scene.width, scene.height
    shapes = [
        f'<path class="c{code}" d="{"".join(parts)}"/>'
        for code, parts in sorted(_shapes(scene.picture).items())
    ]
    if isinstance(scene, GroundScene):
        shapes.insert(0, f'<path class="coast" d="{"".join(_coasts(scene.view))}"/>')
    return f'<svg class="map" viewBox="0 0 {width} {height}" role="img">{"".join(shapes)}</svg>'


def _shapes(picture: Sequence[bytes | bytearray]) -> dict[int, list[str]]:
    """Return rectangles of pixels of one code, by their codes: runs of a row, together with those
    that lie just below."""
    shapes: dict[int, list[str]] = {}
    open_runs: dict[tuple[int, int, int], int] = {}
    for y, row in enumerate([*picture, b""]):
        runs = {*_runs(row)}
        for run in [run for run in open_runs if run not in runs]:
            code, x, width = run
            top = open_runs.pop(run)
            shapes.setdefault(code, []).append(f"M{x} {top}h{width}v{y - top}h-{width}z")
        for run in runs:
            open_runs.setdefault(run, y)
    return shapes


def _runs(row: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield code, place and width of the runs of a row, without those of no chunk."""
    x = 0
    for code, members in groupby(row):
        width = sum(1 for _ in members)
        if code != Code.ABSENT:
            yield code, x, width
        x += width


def _coasts(view: GroundView) -> Iterator[str]:
    """Yield coasts and borders in view; SVG cuts off what is outside."""
    west, south, east, north = view.bounds
    for line in outline.world():
        left, bottom, right, top = line.bounds
        if top < south or bottom > north:
            continue
        for turn in (-360, 0, 360):
            if left + turn <= east and right + turn >= west:
                yield from _strokes([(lon + turn, lat) for lon, lat in line.points], view)


def _strokes(points: Sequence[tuple[float, float]], view: GroundView) -> Iterator[str]:
    """Yield the parts of a line whose pieces may be in view."""
    west, south, east, north = view.bounds
    pen = None
    for here, there in pairwise(points):
        across = min(here[0], there[0]) <= east and max(here[0], there[0]) >= west
        if across and min(here[1], there[1]) <= north and max(here[1], there[1]) >= south:
            if pen != here:
                yield f"M{view.x(here[0]):.1f} {view.y(here[1]):.1f}"
            yield f"L{view.x(there[0]):.1f} {view.y(there[1]):.1f}"
            pen = there
