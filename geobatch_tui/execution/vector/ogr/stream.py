"""Opens a source as a stream of Arrow batches; what GDAL's own streams do wrong is kept out.

GDAL 3.12 loses its place in a batch of a FlatGeobuf file after a feature without geometry: those
behind it get bytes of others, or the process ends. Nor does it find any feature by a condition on
moments that it is to give as text. Its general way, feature by feature, does better. A file with a
spatial index has no features without geometry, and is read the quick way.

Fields of GeoPackages and file geodatabases may have a domain, with names for codes. OGR gives the
names in place of whole numbers: a code without one is nothing then. No format here has a place for
both, so the codes are kept, as ogr2ogr keeps them.

Where a format does not say once that all moments of a field have one zone, OGR gives them without:
what is 10:00+02:00 in the file is 10:00 then. Its text has the zone.
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

_GENERAL = "OGR_FLATGEOBUF_STREAM_BASE_IMPL"
_MAGIC = b"fgb\x03"
_EXTENSION = b"ARROW:extension:name"
#: Where OGR says the name of the domain of a field.
_DOMAIN = b"GDAL:OGR:domain_name"
_ZONE = r"T.*(Z|[+-]\d\d(:?\d\d)?)$"
#: What stands behind text of file geodatabases.
_ENDS = "\0"


@contextmanager
def opened(place: str, **how: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Open ``place`` as :func:`pyogrio.open_arrow` does; give its metadata and a reader."""
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
    named = [n for n, name in enumerate(schema.names) if name == geometry]
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


def zoned(
    place: str, layer: str, fields: pa.Schema, warnings: list[str], *, namesakes: bool
) -> pa.Schema | None:
    """Return ``fields`` with moments in UTC where any has a zone in the source; None: none has.
    Warn of fields in which other moments have none. ``namesakes``: fields that have one name get
    numbers.

    Reads all moments, but only where OGR gives them without a zone.
    """
    names = [each.name for each in fields if pa.types.is_timestamp(each.type) and not each.type.tz]
    if not names:
        return None
    counts = _counts(place, layer, names, namesakes=namesakes)
    in_utc = {name for name, (with_one, _) in counts.items() if with_one}
    if not in_utc:
        return None
    for name, (with_one, without) in counts.items():
        if with_one and without:
            warnings.append(f"field {name!r}: {without} moments without a zone are taken for UTC")
    return pa.schema(
        each.with_type(pa.timestamp(each.type.unit, "UTC")) if each.name in in_utc else each
        for each in fields
    )


def _counts(
    place: str, layer: str, names: Sequence[str], *, namesakes: bool
) -> dict[str, tuple[int, int]]:
    """Count the moments of each field with a zone, and without."""
    import pyarrow.compute as pc

    found = dict.fromkeys(names, (0, 0))
    with pyogrio.open_arrow(
        exact(place),
        layer=layer,
        columns=None if namesakes else list(names),
        read_geometry=False,
        datetime_as_string=True,
        use_pyarrow=True,
    ) as (_, reader):
        called = each_once(reader.schema.names)
        for given in reader:
            batch = given.rename_columns(called)
            for name in names:
                has = pc.match_substring_regex(_trimmed(batch.column(name)), _ZONE)
                one, none = found[name]
                found[name] = one + has.true_count, none + has.false_count
    return found


def _trimmed(column: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.utf8_rtrim(column, _ENDS)


def parsed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Parse text of moments as the type ``kind``; without a zone they are taken for UTC.

    Raises:
        pa.ArrowInvalid: one is no moment of that type.
    """
    import pyarrow.compute as pc

    column = _trimmed(column)
    if kind.tz is None:
        return column.cast(kind)
    has = pc.match_substring_regex(column, _ZONE)
    return pc.if_else(has, column, pc.binary_join_element_wise(column, "Z", "")).cast(kind)
