"""The key ``geo`` of GeoParquet: what a source says there of its geometries beside their CRS, and
what of it is true of an output.

A further geometry column is an attribute: no operation changes it. In GeoParquet it is described as
in the source; other formats hold its bytes, and no reader knows them for a geometry.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow.parquet as pq

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.vector.output_format import OutputFormat

#: Keys of a column, and how a warning words them.
_SAID = {
    "edges": "edges between vertices are {}",
    "epoch": "coordinates are of the epoch {}",
    "orientation": "rings of polygons are {}",
}
#: Defaults of these keys.
_USUAL = {"edges": "planar"}
#: Keys of a further column that are true of all features only, or of other columns.
_OF_THE_WHOLE = ("bbox", "covering")
#: Types of the keys of a column.
_MADE_OF: dict[str, tuple[type, ...]] = {
    "encoding": (str,),
    "geometry_types": (list, type(None)),
    "crs": (dict, str, type(None)),
    "covering": (dict,),
    "edges": (str, type(None)),
    "orientation": (str, type(None)),
    "epoch": (float, int, type(None)),
}
#: Parquet's own types of geometries, which need no key ``geo``; names of the primary column.
_NATIVE = frozenset({"GEOMETRY", "GEOGRAPHY"})
_FIRST = ("geometry", "geom")


def native(file: pq.ParquetFile) -> Json | None:
    """Describe columns as the key ``geo`` would, by their types; None: none of them is of
    geometries."""
    columns: dict[str, dict[str, object]] = {}
    for number in range(len(file.schema)):
        column = file.schema.column(number)
        if column.logical_type.type in _NATIVE and column.path in file.schema_arrow.names:
            said = json.loads(column.logical_type.to_json())
            columns[column.path] = {"encoding": "WKB", "crs": _crs(said.get("crs"), file)}
            if column.logical_type.type == "GEOGRAPHY":
                columns[column.path]["edges"] = said.get("algorithm", "spherical")
    if not columns:
        return None
    first = next((name for name in _FIRST if name in columns), next(iter(columns)))
    return {"primary_column": first, "columns": columns}


def fault(geo: object) -> str:
    """Say what is wrong with the key, so that it cannot be followed; empty: nothing."""
    if not isinstance(geo, dict) or not isinstance(geo.get("columns"), dict):
        return "it describes no columns"
    name = geo.get("primary_column")
    if not isinstance(name, str) or name not in geo["columns"]:
        return f"its primary column {name!r} is not described"
    for name, column in geo["columns"].items():
        if not isinstance(column, dict):
            return f"column {name!r} is not described by an object"
        for key, kinds in _MADE_OF.items():
            if not isinstance(column.get(key, kinds[0]()), kinds):
                return f"{key} of column {name!r} is {column[key]!r}"
    box = geo["columns"][geo["primary_column"]].get("covering", {}).get("bbox", {})
    named = isinstance(box, dict) and all(isinstance(one, list) and one for one in box.values())
    return "" if named else "covering names no columns"


def _crs(text: str | None, file: pq.ParquetFile) -> Json | str | None:
    """Return the CRS that a type of Parquet names; None: it is unknown, or a database's number."""
    if not text:
        return "OGC:CRS84"
    kind, _, key = text.partition(":")
    if kind == "projjson":
        text = ((file.metadata.metadata or {}).get(key.encode()) or b"null").decode()
    if text.startswith(("{", "null")):
        crs: Json | None = json.loads(text)
        return crs
    return None if kind == "srid" else text


def described(geo: Json, name: str, fields: Iterable[str]) -> Json:
    """Return what ``geo`` says of the column ``name`` (``own``), and of those of ``fields`` that
    are geometries (``others``); empty: nothing."""
    columns = geo["columns"]
    own = {
        key: columns[name][key]
        for key in _SAID
        if columns[name].get(key) not in {None, _USUAL.get(key)}
    }
    others = {
        field: {key: value for key, value in columns[field].items() if key not in _OF_THE_WHOLE}
        for field in fields
        if field in columns
    }
    return {"own": own, "others": others} if own or others else {}


def kept(
    geo: Json, output: OutputFormat, warnings: list[str], *, moved: bool, same_shapes: bool
) -> Json:
    """Return what of :func:`described` is true of an output; warn of what is not.

    ``moved``: coordinates go to another CRS; ``same_shapes``: geometries are those of the source,
    or no part of a polygon is new.
    """
    own = dict(geo.get("own", {}))
    for key, value in geo.get("own", {}).items():
        if not output.is_parquet or moved or (key == "orientation" and not same_shapes):
            del own[key]
            warnings.append(f"the source says that {_SAID[key].format(value)}; the output does not")
    if own.get("edges") and not same_shapes:
        warnings.append(f"the source has {own['edges']} edges: GEOS takes them for straight ones")
    for name, column in geo.get("others", {}).items():
        crs = column.get("crs", "OGC:CRS84")
        known = crs.get("name", "its own CRS") if isinstance(crs, dict) else crs
        what = (
            "it is kept as it is"
            if output.is_parquet
            else f"{output.name} holds one, so it becomes bytes of WKB"
        )
        shown = "no CRS" if crs is None else repr(known)
        warnings.append(f"{name!r} is a further geometry column, in {shown}: {what}")
    return {"own": own, "others": geo.get("others", {})} if geo else {}
