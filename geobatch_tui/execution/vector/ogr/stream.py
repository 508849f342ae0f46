"""Opens a source as a stream of Arrow batches; what GDAL's own streams do wrong is kept out.

GDAL 3.12 loses its place in a batch of a FlatGeobuf file after a feature without geometry: those
behind it get bytes of others, or the process ends. Nor does it find any feature by a condition on
moments that it is to give as text. Its general way, feature by feature, does better. A file with a
spatial index has no features without geometry, and is read the quick way.

Fields of GeoPackages and file geodatabases may have a domain, with names for codes. OGR gives the
names in place of whole numbers: a code without one is nothing then. No format here has a place for
both, so the codes are kept, as ogr2ogr keeps them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.sources.source_files import is_dataset
from geobatch_tui.execution.vector.batch.arrow_arrays import offsets
from geobatch_tui.execution.vector.ogr.archive import is_inside
from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.ogr_drivers import SEQUENCE
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: OGR's name of geometries without a name, in its batches.
UNNAMED = "wkb_geometry"
_GENERAL = "OGR_FLATGEOBUF_STREAM_BASE_IMPL"
_MAGIC = b"fgb\x03"
_EXTENSION = b"ARROW:extension:name"
#: Where OGR says the name of the domain of a field.
_DOMAIN = b"GDAL:OGR:domain_name"


@contextmanager
def opened(place: str, **how: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Open ``place`` as ``pyogrio.open_arrow`` does; give its metadata and a reader."""
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


def coded_field(field: pa.Field) -> pa.Field:
    """Return a field as it is read: of a domain, the codes; without notes on its origin."""
    kind = field.type
    return pa.field(field.name, kind.index_type if pa.types.is_dictionary(kind) else kind)


def codes(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the codes of a column, if they are to be whole numbers ``kind``; else the column."""
    named = pa.types.is_dictionary(column.type) and pa.types.is_integer(kind)
    return column.indices if named else column


def warn_of_domains(fields: Iterable[pa.Field], warnings: list[str]) -> None:
    """Warn of the ``fields``, as OGR gives them, that have a domain."""
    domains = {one.name: (one.metadata or {}).get(_DOMAIN, b"").decode() for one in fields}
    if named := [f"{field!r} ({domain!r})" for field, domain in domains.items() if domain]:
        warnings.append(
            "fields keep their values and codes; their domains, which may have names for them, "
            f"are not written: {', '.join(named)}"
        )


def each_once(names: Sequence[str]) -> list[str]:
    """Return the names of fields, in order; one that was there before gets a number."""
    unique: list[str] = []
    for name in names:
        number, one = 1, name
        while one in unique or (number > 1 and one in names):
            number += 1
            one = f"{name}_{number}"
        unique.append(one)
    return unique


def place_of(geometry: str, schema: pa.Schema) -> int:
    """Return the place of the column ``geometry`` in OGR's batches; a field may have its name."""
    named = [n for n, name in enumerate(schema.names) if name == (geometry or UNNAMED)]
    marked = [n for n in named if _EXTENSION in (schema.field(n).metadata or {})]
    return (marked or named)[-1]


def refuse_overlaps(place: str, shapes: pa.Array) -> None:
    """Raise CorruptSourceError where values of a binary column lie over one another in memory, so
    that they cannot be those of the file."""
    if (np.diff(offsets(shapes)) < 0).any():
        raise CorruptSourceError(
            f"GDAL reads geometries of {place} that overlap in memory",
            hint="copy the layer with ogr2ogr to another format, and give that",
        )


def apart(column: pa.Array) -> pa.Array:
    """Copy a column. What GDAL gives at a time is freed together: as long as one of its columns is
    there, its geometries are, too."""
    return pa.concat_arrays([column, column.slice(0, 0)])
