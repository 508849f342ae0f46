"""The header of FlatGeobuf: OGR makes it for one feature, and it is changed to describe all."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.batch import flatgeobuf_properties, wkb_coordinates
from geobatch_tui.execution.vector.batch_schema import written_schema
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf_layout import Table
from geobatch_tui.execution.vector.write import ogr_file

if TYPE_CHECKING:
    from geobatch_tui.execution.vector.spool.contents import Finished

_MAGIC = 8
_U32, _U64, _BOX = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct("<4d")
#: Numbers of fields of the tables Header and Column.
_ENVELOPE, _COLUMNS, _COUNT, _NAME, _TYPE = 1, 7, 8, 0, 1


def header(done: Finished, *, indexed: bool) -> bytearray:
    """Make the magic and header of the file.

    Raises SchemaError if OGR would keep a field otherwise, or for a mix that it cannot read back.
    """
    plan, summary = done.plan, done.summary
    kind, _ = ogr_file.layer_type(summary.types, plan.geometry_type)
    deep = {each // 1000 % 2 == 1 for each in summary.types}
    if len(deep) > 1 or (deep == {True} and kind == "Unknown"):
        raise SchemaError(
            "FlatGeobuf with Z needs features of one type, all of them with Z; these are "
            + ", ".join(wkb_coordinates.type_name(each) for each in summary.types),
            hint="write GeoParquet or GPKG, or choose features by op.where",
        )
    # Of a layer without features the header says less.
    index = "YES" if indexed else "NO"
    data = ogr_file.template(done, kind, has_feature=True, SPATIAL_INDEX=index)
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
    wanted = [(each.name, flatgeobuf_properties.TYPES[each.type]) for each in written_schema(plan)]
    if kept != wanted:
        raise SchemaError(f"FlatGeobuf keeps the fields as {kept}, not as {wanted}")
    _U64.pack_into(header, table.place(_COUNT), summary.out)
    if summary.bbox is not None:
        _BOX.pack_into(header, table.follow(_ENVELOPE) + 4, *summary.bbox)
    return header
