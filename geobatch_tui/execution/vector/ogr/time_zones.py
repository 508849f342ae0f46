"""Moments with a zone that OGR's Arrow batches leave out, so that they are read as text.

Where a format does not say once that all moments of a field have one zone, OGR gives them without:
what is 10:00+02:00 in the file is 10:00 then. Its text has the zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio
from geobatch_tui.execution.vector.ogr.stream import each_once

if TYPE_CHECKING:
    from collections.abc import Sequence

_ZONE = r"T.*(Z|[+-]\d\d(:?\d\d)?)$"
#: What stands behind text of file geodatabases.
_ENDS = "\0"


def zoned(
    place: str, layer: str, fields: pa.Schema, warnings: list[str], *, namesakes: bool
) -> pa.Schema | None:
    """Return ``fields`` with moments in UTC where any has a zone in the source; None: none has.
    Warn of those in which others have none. ``namesakes``: fields of one name get numbers.

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
                has = pc.match_substring_regex(_text(batch.column(name)), _ZONE)
                one, none = found[name]
                found[name] = one + has.true_count, none + has.false_count
    return found


def _text(column: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.utf8_rtrim(column, _ENDS)


def parsed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Parse text of moments as the type ``kind``; without a zone they are taken for UTC. Raises
    ArrowInvalid where one is no moment of that type."""
    import pyarrow.compute as pc

    column = _text(column)
    if kind.tz is None:
        return column.cast(kind)
    has = pc.match_substring_regex(column, _ZONE)
    return pc.if_else(has, column, pc.binary_join_element_wise(column, "Z", "")).cast(kind)
