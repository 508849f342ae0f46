"""The compiled loops over features, with the types of what they take; see the same of rasters.

What the arguments mean is told where the loops are.
"""

from __future__ import annotations

from geobatch_tui.execution.native.loop import Loop


def _loop(place: str, arguments: str, results: int = 0) -> Loop:
    return Loop.of(place, arguments, package="vector", results=results)


#: Coordinates, where those of each geometry begin, and which geometries are meant.
_CHOSEN = "float64:1 float64:1 int64:1 uint8:1"
#: Where the ground begins, the side of its cells, what is known of each.
_GROUND = "float float float uint8:2"

gather = _loop(
    "wkb_loops.gather",
    "uint8:1 int32:1 uint8:1 uint64:1 uint64:1 uint32:1 int64:1 uint8:1 int64:1 int64:1",
    1,
)
scatter = _loop("wkb_loops.scatter", "uint8:1 uint64:1 uint64:1 uint32:1")
boxes = _loop("wkb_loops.boxes", "float64:1 float64:1 int64:1 float64:2")
visit = _loop("wkb_loops.visit", f"{_CHOSEN} {_GROUND} uint8:2")
sparse = _loop("wkb_loops.sparse", f"{_CHOSEN} float {_GROUND} int64:1", 1)

fetch = _loop("flatbuffer.fetch", "int32:1 int64:1 int64:1 int64:1 int64:1 uint8:1", 1)
write = _loop(
    "flatbuffer.write",
    "uint8:1 uint8:1 int64:1 int64:1 int64:1 bool bool bool "
    "uint8:1 uint8:1 int64:1 int64:1 int64:1",
    2,
)
hilbert = _loop("flatbuffer.hilbert", "float64:2 float64:1 uint32:1")
put = _loop("attribute_loops.put_property", "uint8:1 int64:1 int uint8:1 uint8:1 int int64:1")
join = _loop("attribute_loops.append_value", "uint8:1 int64:1 uint8:1 uint8:1 int64:1")

#: Room for pages, the leaf at work, the state of the table, its full leaves, the ids of rows.
_TABLE = "uint8:1 uint8:1 int64:1 int64:2 int64:1"
seal = _loop("sqlite_pages.seal", "uint8:1 int64:1")
close = _loop("sqlite_pages.close", "uint8:1 int uint8:1 int64:1 int64:2", 1)
inner = _loop("sqlite_pages.inner", "uint8:1 int64:1 int64:1")
features = _loop(
    "sqlite_pages.features",
    f"{_TABLE} int64:1 int64:1 int64:1 int64:1 float64:2 uint8:1 int bool float64:1 uint8:1",
    2,
)
pairs = _loop("sqlite_pages.pairs", f"{_TABLE} int64:1 uint8:1", 2)
blobs = _loop("sqlite_pages.blobs", f"{_TABLE} uint8:2 uint8:1", 2)
measure = _loop("attribute_loops.measure", "int uint8:1 int64:1 int64:1 int64:1 int64:1")
write_values = _loop(
    "attribute_loops.write", "uint8:1 int64:1 int64:1 int uint8:1 int64:1 int64:1 uint8:1"
)
