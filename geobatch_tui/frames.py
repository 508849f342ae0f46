"""A run's dead letters and outputs as GeoDataFrames, for notebooks.

A frame has one CRS. That of the rows is taken if they share one, else longitude and latitude. Where
a row has no place that is known, its geometry is None.

The module is loaded when one of its functions is first used, and geopandas with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import geopandas as gpd
import shapely

from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.state.published import AMOUNTS, COLUMNS
from geobatch_tui.orchestration.state.run_view import RunView, open_run
from geobatch_tui.orchestration.state.session import state_of_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.columns import Letter
    from geobatch_tui.ledger.schema.updates import ItemRow

LON_LAT: Final = "EPSG:4326"
#: Points along the longest side of a box, so that a box in another CRS keeps its outline.
_STEPS: Final = 32
_LETTER_FIELDS: Final = (
    "item",
    "chunk",
    "feature",
    "error_class",
    "error_message",
    "stage",
    "attempts",
    "reaction",
    "source",
    "suggestion",
    "reproduce",
    "traceback",
)
_WINDOW: Final = ("col_off", "row_off", "width", "height")
_LETTER_COLUMNS: Final = ("time", *_LETTER_FIELDS, *_WINDOW, "dismissed")


@dataclass(frozen=True, slots=True)
class _Place:
    """A geometry in a CRS of its own: WKT, a code, or "" if it is not known."""

    shape: shapely.Geometry | None = None
    crs: str = ""


def dead_letters_frame(
    run: RunView | str | Path, error_class: str | None = None, *, crs: str | None = None
) -> gpd.GeoDataFrame:
    """Return the dead letters of a run as a frame, oldest first.

    The geometry of a chunk of pixels is the outline of its window, that of a feature is its own. A
    feature of many vertices has none here: the ledger keeps its beginning only, and the quarantine
    file has it whole. An item that is dead as a whole has none either.

    Args:
        run: the run, or its output directory.
        error_class: only letters of this class.
        crs: of the frame, in any form that geopandas takes.
    """
    directory = run.directory if isinstance(run, RunView) else Path(run)
    with LedgerReader(state_of_run(directory).ledger) as reader:
        letters = [one for one in reader.all_letters() if error_class in {None, one.error_class}]
        items = {item.item_id: item for item in reader.items_of({one.item_id for one in letters})}
    places = [_place_of(letter, items.get(letter.item_id)) for letter in letters]
    return _frame([_row_of(letter) for letter in letters], _LETTER_COLUMNS, places, crs)


def outputs_frame(run: RunView | str | Path, *, crs: str | None = None) -> gpd.GeoDataFrame:
    """Return the published outputs of a run as a frame, with the box of each as its geometry.

    The column ``crs`` is that of the file.

    Args:
        run: the run, or its output directory.
        crs: of the frame, in any form that geopandas takes.
    """
    view = run if isinstance(run, RunView) else open_run(run)
    outputs = list(view.outputs())
    places = [
        _Place(shapely.box(*entry["bounds"]) if entry["bounds"] else None, entry["crs"] or "")
        for entry in outputs
    ]
    return _frame(outputs, (*COLUMNS, *AMOUNTS), places, crs)


def _row_of(letter: Letter) -> dict[str, object]:
    record = letter.record
    row: dict[str, object] = {name: record.get(name) for name in _LETTER_FIELDS}
    row |= zip(_WINDOW, record.get("window") or (), strict=False)
    note = record.get("dismissed") or {}
    time = datetime.fromtimestamp(letter.t, UTC)
    return row | {"time": time, "dismissed": note.get("note")}


def _place_of(letter: Letter, item: ItemRow | None) -> _Place:
    detail: Json = (item.plan.get("detail") or {}) if item else {}
    if letter.feature >= 0:
        return _feature(letter.record.get("evidence") or {}, str(detail.get("src_crs") or ""))
    return _window(letter.record.get("window"), detail)


def _feature(evidence: Json, crs: str) -> _Place:
    text = str(evidence.get("wkb") or "")
    if not text or len(text) != 2 * int(evidence.get("wkb_bytes") or 0):
        return _Place()
    return _Place(shapely.from_wkb(text, on_invalid="ignore"), crs)


def _window(window: Sequence[int] | None, detail: Json) -> _Place:
    """Place a window of pixels by the grid of its item's plan."""
    transform: Sequence[float] | None = detail.get("transform")
    if window is None or not transform:
        return _Place()
    a, b, c, d, e, f = transform[:6]
    col, row, width, height = window
    corners = ((0, 0), (width, 0), (width, height), (0, height))
    ring = [
        (a * (col + x) + b * (row + y) + c, d * (col + x) + e * (row + y) + f) for x, y in corners
    ]
    return _Place(shapely.Polygon(ring), str(detail.get("crs") or ""))


def _frame(
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[str],
    places: Sequence[_Place],
    crs: str | None,
) -> gpd.GeoDataFrame:
    systems = {place.crs for place in places if place.shape is not None}
    wanted = crs or (min(systems) if len(systems) == 1 else LON_LAT) or None
    shapes = _in_one(places, wanted) if systems - {wanted or ""} else [one.shape for one in places]
    table = gpd.GeoDataFrame(list(rows), columns=list(columns)).convert_dtypes()
    return gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(shapes, crs=wanted, index=table.index))


def _in_one(places: Sequence[_Place], wanted: str | None) -> list[shapely.Geometry | None]:
    """Transform geometries to one CRS; those without a CRS, or outside of the new one, are lost."""
    shapes: list[shapely.Geometry | None] = [None] * len(places)
    for crs in {place.crs for place in places} - {""}:
        numbers = [at for at, place in enumerate(places) if place.crs == crs and place.shape]
        series = gpd.GeoSeries([_dense(places[at].shape) for at in numbers], crs=crs)
        for at, shape in zip(numbers, series.to_crs(wanted), strict=True):
            shapes[at] = shape if all(map(math.isfinite, shape.bounds)) else None
    return shapes


def _dense(shape: shapely.Geometry) -> shapely.Geometry:
    """Add vertices to a polygon of few, as its edges are no straight lines in another CRS."""
    if shape.geom_type != "Polygon" or shapely.get_num_coordinates(shape) > _STEPS:
        return shape
    minx, miny, maxx, maxy = shape.bounds
    side = max(maxx - minx, maxy - miny)
    return shapely.segmentize(shape, side / _STEPS) if side > 0 else shape
