"""The header of FlatGeobuf: OGR makes it for one feature, and it is made to tell of all."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector import ogr, properties, wkb
from geobatch_tui.execution.vector.source import written_schema

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.execution.messages import ItemContext
    from geobatch_tui.execution.vector.collect import Summary
    from geobatch_tui.execution.vector.plan import VectorPlan

_MAGIC = 8
_U32, _U64, _BOX = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct("<4d")
#: Numbers of fields of the tables Header and Column.
_ENVELOPE, _COLUMNS, _COUNT, _NAME, _TYPE = 1, 7, 8, 0, 1


def header(
    item: ItemContext, plan: VectorPlan, summary: Summary, path: Path, *, indexed: bool
) -> bytearray:
    """Magic and header of the file.

    Raises SchemaError if OGR would keep a field otherwise, or for a mix that it cannot read back.
    """
    kind, _ = ogr.layer_type(summary.types, plan.geometry_type)
    deep = {each // 1000 % 2 == 1 for each in summary.types}
    if len(deep) > 1 or (deep == {True} and kind == "Unknown"):
        raise SchemaError(
            "FlatGeobuf with Z needs features of one type, all of them with Z; these are "
            + ", ".join(wkb.type_name(each) for each in summary.types),
            hint="write GeoParquet or GPKG, or choose features by op.where",
        )
    ogr.write_template(item, plan, summary, kind, path, SPATIAL_INDEX="YES" if indexed else "NO")
    data = path.read_bytes()
    header = bytearray(data[: _MAGIC + 4 + _U32.unpack_from(data, _MAGIC)[0]])
    table = Table(header, _MAGIC + 4 + _U32.unpack_from(header, _MAGIC + 4)[0])
    kept = []
    columns = table.follow(_COLUMNS)
    for n in range(_U32.unpack_from(header, columns)[0]):
        at = columns + 4 + 4 * n
        column = Table(header, at + _U32.unpack_from(header, at)[0])
        name = column.follow(_NAME)
        size = _U32.unpack_from(header, name)[0]
        place = column.place(_TYPE)
        kept.append((header[name + 4 : name + 4 + size].decode(), header[place] if place else 0))
    wanted = [(each.name, properties.TYPES[each.type]) for each in written_schema(plan)]
    if kept != wanted:
        raise SchemaError(f"FlatGeobuf keeps the fields as {kept}, not as {wanted}")
    _U64.pack_into(header, table.place(_COUNT), summary.out)
    if summary.bbox is not None:
        _BOX.pack_into(header, table.follow(_ENVELOPE) + 4, *summary.bbox)
    return header


class Table:
    """A table of a flatbuffer, whose offset to its vtable is at ``at``."""

    def __init__(self, data: bytearray, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]

    def place(self, number: int) -> int:
        """Where a field lies; 0: it is not there."""
        if 4 + 2 * number >= struct.unpack_from("<H", self._data, self._fields)[0]:
            return 0
        offset: int = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * number)[0]
        return self._at + offset if offset else 0

    def put(self, number: int, at: int) -> bool:
        """Let a field that is not there lie ``at``; whether there is room to say so."""
        entry = 4 + 2 * number
        has_room: bool = entry < struct.unpack_from("<H", self._data, self._fields)[0]
        if has_room:
            struct.pack_into("<H", self._data, self._fields + entry, at - self._at)
        return has_room

    def follow(self, number: int) -> int:
        """Where that lies which a field refers to."""
        at = self.place(number)
        offset: int = _U32.unpack_from(self._data, at)[0]
        return at + offset
