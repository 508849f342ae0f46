"""Fields of GeoPackages and file geodatabases with a domain, which may have names for codes.

In its Arrow batches, OGR gives the names in place of whole numbers: a code without one is nothing
then. No format here has a place for both, so the codes are kept, as ogr2ogr keeps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Where OGR says the name of the domain of a field.
_NAME = b"GDAL:OGR:domain_name"


def coded(field: pa.Field) -> pa.Field:
    """A field as it is read: of codes with names, the codes; without notes on its origin."""
    kind = field.type
    return pa.field(field.name, kind.index_type if pa.types.is_dictionary(kind) else kind)


def codes(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """The codes of a column, if they are to be of the whole numbers ``kind``; else the column."""
    named = pa.types.is_dictionary(column.type) and pa.types.is_integer(kind)
    return column.indices if named else column


def tell(fields: Iterable[pa.Field], told: list[str]) -> None:
    """Say which ``fields``, as OGR gives them, have a domain."""
    domains = {one.name: (one.metadata or {}).get(_NAME, b"").decode() for one in fields}
    if named := [f"{field!r} ({domain!r})" for field, domain in domains.items() if domain]:
        told.append(
            "fields keep their values and codes; their domains, which may have names for them, "
            f"are not written: {', '.join(named)}"
        )
