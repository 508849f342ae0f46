"""Opens a source as a stream of Arrow batches; what GDAL's own streams do wrong is kept out.

GDAL 3.12 loses its place in a batch of a FlatGeobuf file after a feature without geometry: those
behind it get bytes of others, or the process ends. Nor does it find any feature by a condition on
moments that it is to give as text. Its general way, feature by feature, does better. A file with a
spatial index has no features without geometry, and is read the quick way.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.sources.source_files import is_dataset
from geobatch_tui.execution.vector.ogr.archive import is_inside
from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.ogr_drivers import SEQUENCE
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_GENERAL = "OGR_FLATGEOBUF_STREAM_BASE_IMPL"
_MAGIC = b"fgb\x03"


@contextmanager
def opened(place: str, **how: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """``pyogrio.open_arrow`` of ``place``, what OGR opens, with pyarrow's batches."""
    by_text = how.get("where") and how.get("datetime_as_string")
    if by_text or _may_lose_its_place(place):
        # For good: another thread may be at such a file, and others are only read more slowly.
        pyogrio.set_gdal_config_options({_GENERAL: "YES"})
    with pyogrio.open_arrow(exact(place), use_pyarrow=True, **how) as stream:
        yield stream


def _may_lose_its_place(place: str) -> bool:
    if place.startswith(SEQUENCE):
        return False
    if is_inside(place) or is_dataset(place):
        flat = place.lower().endswith(".fgb")
    else:
        with open(place, "rb") as file:  # noqa: PTH123 - odd bytes in names
            flat = file.read(len(_MAGIC)) == _MAGIC
    return flat and not pyogrio.read_info(exact(place))["capabilities"]["fast_spatial_filter"]


_EXTENSION = b"ARROW:extension:name"


def each_once(names: Sequence[str]) -> list[str]:
    """Names of fields, in order; one that was there before gets a number."""
    made: list[str] = []
    for name in names:
        number, one = 1, name
        while one in made or (number > 1 and one in names):
            number += 1
            one = f"{name}_{number}"
        made.append(one)
    return made


def place_of(geometry: str, schema: pa.Schema) -> int:
    """Where the column ``geometry`` is in OGR's batches; a field may be called as it is."""
    found = [n for n, name in enumerate(schema.names) if name == geometry]
    marked = [n for n in found if _EXTENSION in (schema.field(n).metadata or {})]
    return (marked or found)[-1]


def refuse_overlaps(place: str, shapes: pa.Array) -> None:
    """Raises CorruptSourceError where values of a binary column lie over one another in memory, so
    that they cannot be those of the file."""
    offsets = np.frombuffer(shapes.buffers()[1], np.int32)[shapes.offset :][: len(shapes) + 1]
    if (np.diff(offsets) < 0).any():
        raise CorruptSourceError(
            f"GDAL reads geometries of {place} that overlap in memory",
            hint="copy the layer with ogr2ogr to another format, and give that",
        )


def apart(column: pa.Array) -> pa.Array:
    """A copy of a column. What GDAL gives at a time is freed together: as long as one of its
    columns is there, its geometries are, too."""
    return pa.concat_arrays([column, column.slice(0, 0)])
