"""Dead letters for other programs: GeoJSON for a GIS, CSV for a table."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Final, TextIO

from geobatch_tui.errors import ConfigError, OutputGoneError
from geobatch_tui.execution.io.disk import replacing
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json

    Letters = Iterable[Json]
    Writer = Callable[[Letters, TextIO], None]

_ON_GLOBE: Final = 180.0
_COLUMNS: Final = (
    "item",
    "chunk",
    "error_class",
    "error_message",
    "stage",
    "attempts",
    "source",
    "suggestion",
    "reproduce",
)
_PLACE: Final = (
    ("window", ("col_off", "row_off", "width", "height")),
    ("bounds_lonlat", ("west", "south", "east", "north")),
)


def write_letters(letters: Letters, path: Path) -> None:
    """Write dead letters to ``path``: GeoJSON for ``.geojson`` and ``.json``, CSV for ``.csv``.
    Raises ConfigError where its name has another ending, and as :func:`write_file` does."""
    writers: Mapping[str, Writer] = {
        ".geojson": stream_geojson,
        ".json": stream_geojson,
        ".csv": stream_csv,
    }
    write = writers.get(path.suffix.lower())
    if write is None:
        raise ConfigError(
            f"{safe(path.name)} says no format", hint="let its name end in .geojson or .csv"
        )
    write_file(write, letters, path)


def write_file(write: Writer, letters: Letters, path: Path) -> None:
    """Write ``letters`` with ``write`` to ``path``, completely or not at all. Raises
    OutputGoneError where it cannot be written."""
    try:
        with replacing(path) as file:
            text = io.TextIOWrapper(file, "utf-8", newline="")
            write(letters, text)
            text.detach()
    except OSError as error:
        raise OutputGoneError(
            f"cannot write {safe(str(path))}: {error.strerror}", hint="check the directory"
        ) from error


def stream_csv(letters: Letters, file: TextIO) -> None:
    """Write a table (RFC 4180), a letter in each row; see :func:`cell`."""
    writer = csv.writer(file)
    writer.writerow([*_COLUMNS, *(name for _, names in _PLACE for name in names)])
    for letter in letters:
        row = [cell(letter.get(name)) for name in _COLUMNS]
        for key, names in _PLACE:
            row += letter.get(key) or [""] * len(names)
        writer.writerow(row)


def cell(value: object) -> object:
    """Return a value for a table. A text that a spreadsheet would take for a formula gets an
    apostrophe before it."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")):
        return f"'{value}"
    return "" if value is None else value


def stream_geojson(letters: Letters, file: TextIO) -> None:
    """Write a FeatureCollection (RFC 7946), a feature in each line."""
    write_array('{"type": "FeatureCollection", "features": [', map(feature, letters), file)


def write_array(head: str, objects: Iterable[Json], file: TextIO) -> None:
    """Write ``head``, which opens an object and an array in it, and the array, a line for each."""
    file.write(head)
    separator = "\n"
    for each in objects:
        file.write(separator + json.dumps(each, allow_nan=False))
        separator = ",\n"
    file.write("\n]}\n")


def feature(letter: Json) -> dict[str, object]:
    """Make a GeoJSON feature of a dead letter: the outline of its window, or no geometry."""
    bounds = letter.get("bounds_lonlat")
    properties = {key: value for key, value in letter.items() if key != "bounds_lonlat"}
    return {
        "type": "Feature",
        "geometry": outline(bounds) if bounds else None,
        "properties": properties,
    }


def outline(bounds: Sequence[float]) -> dict[str, object]:
    """Make the rectangle of west, south, east, north in degrees, cut at the antimeridian
    (west > east), rings counter-clockwise: RFC 7946, 3.1.6 and 3.1.9."""
    west, south, east, north = bounds
    if west <= east:
        return {"type": "Polygon", "coordinates": [_ring(west, south, east, north)]}
    halves = [_ring(west, south, _ON_GLOBE, north), _ring(-_ON_GLOBE, south, east, north)]
    return {"type": "MultiPolygon", "coordinates": [[half] for half in halves]}


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]
