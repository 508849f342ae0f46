"""Types of attributes that output formats hold: others are refused, or become the nearest one, and
the plan warns of it. See ``values`` for values that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geobatch_tui.execution.vector.output_format import OutputFormat

#: Decimal digits that double precision keeps of any number.
_DIGITS = 15
#: The key of the width of a text field, for OGR.
WIDTH = "GDAL:OGR:width"
_HINT = "leave it out by op.columns, or write GeoParquet"


def written(
    output: OutputFormat, fields: pa.Schema, warnings: list[str], widths: Mapping[str, int]
) -> pa.Schema:
    """Return the attributes ``fields`` as a format holds them; warn of what is lost. ``widths``:
    most characters of text fields, as the source declares them.

    Raises:
        SchemaError: it holds no such type, or takes two names for one.
    """
    if output.is_parquet:
        return fields
    _refuse_like_names(output.name, fields.names)
    made = []
    names = shapefile_zip.names(fields.names) if output.is_dbase else fields.names
    for field, name in zip(fields, names, strict=True):
        kind = kind_of(field.type)
        if kind is None or (output.is_dbase and _is_any(kind, _NOT_IN_TABLES)):
            raise SchemaError(
                f"{output.name} cannot hold field {field.name!r} of type {field.type}", hint=_HINT
            )
        if lost := _note(output, field.type, kind):
            warnings.append(f"field {field.name!r} ({field.type}): {lost}")
        width = widths.get(field.name)
        note = {WIDTH: str(width)} if width and output.holds_widths else None
        note = _MARK if output.marks_json and _is_json(field.type) else note
        made.append(pa.field(name, kind, nullable=True, metadata=note))
    return pa.schema(made)


#: Metadata of a text field that holds JSON: ours, and that for OGR.
_MARK = {"geobatch": "json"}
_TOLD = {"ARROW:extension:name": "arrow.json"}


def _is_json(kind: pa.DataType) -> bool:
    return getattr(kind, "extension_name", "") == "arrow.json"


def for_ogr(fields: pa.Schema) -> pa.Schema:
    """Mark fields of JSON for OGR among ``fields``, as :func:`written` made them."""
    wanted = {key.encode(): value.encode() for key, value in _MARK.items()}
    return pa.schema(
        each.with_metadata(_TOLD) if each.metadata == wanted else each for each in fields
    )


def _refuse_like_names(form: str, names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other is not name:
            raise SchemaError(
                f"{form} takes fields {other!r} and {name!r} for one: "
                "case does not tell them apart",
                hint="leave one out by op.columns, or write GeoParquet",
            )


#: Types that become another that OGR writes.
_NEAREST: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
    (pa.types.is_uint64, pa.int64()),
    (pa.types.is_float16, pa.float32()),
    (pa.types.is_date64, pa.date32()),
    (pa.types.is_time64, pa.time32("ms")),
    (pa.types.is_null, pa.string()),
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_string_view, pa.string()),
    (pa.types.is_large_binary, pa.binary()),
    (pa.types.is_binary_view, pa.binary()),
    (pa.types.is_fixed_size_binary, pa.binary()),
)
_LISTED = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_string)
_KEPT = (*_LISTED, pa.types.is_binary, pa.types.is_date32, pa.types.is_time)
#: Types that a Shapefile cannot hold, not even as text of use.
_NOT_IN_TABLES = (pa.types.is_binary, pa.types.is_list)


def _is_any(kind: pa.DataType, asked: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    return any(ask(kind) for ask in asked)


def kind_of(kind: pa.DataType) -> pa.DataType | None:
    """Return the type in which values of ``kind`` are given to OGR; None: there is none."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind_of(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = kind_of(kind.value_type)
        return pa.list_(inner) if inner and _is_any(inner, _LISTED) else None
    if pa.types.is_timestamp(kind):
        # Of finer units OGR makes others, as 60 seconds.
        return pa.timestamp("s" if kind.unit == "s" else "ms", "UTC" if kind.tz else None)
    if pa.types.is_decimal(kind) and kind.precision <= _DIGITS:
        return pa.float64()
    kept = kind if _is_any(kind, _KEPT) else None
    return next((nearest for ask, nearest in _NEAREST if ask(kind)), kept)


def _note(output: OutputFormat, kind: pa.DataType, made: pa.DataType) -> str:
    """Say what a format does to values of ``kind``, given as ``made``; empty: it keeps them."""
    json = output.is_json
    days, times = pa.types.is_date32(made), pa.types.is_time(made)
    moments = pa.types.is_timestamp(made)
    fine = (moments or times) and kind.unit in {"us", "ns"}
    notes = (
        (
            pa.types.is_uint64(kind),
            "written as int64; a feature with a greater number is set aside",
        ),
        (pa.types.is_decimal(kind), "becomes a real number"),
        (pa.types.is_null(kind), "has no values; becomes text"),
        (pa.types.is_binary(made) and json, "becomes text in hexadecimal digits"),
        (pa.types.is_list(made) and not json, "becomes text in JSON"),
        (days and not output.holds_days, "a day becomes its midnight"),
        (times and not json, "a time of day becomes text"),
        (moments and kind.tz not in (None, "UTC"), "moments are written in UTC"),
        (
            moments and not kind.tz and output.takes_utc,
            f"{output.name} takes moments without a zone for UTC",
        ),
        (fine, "rounded to milliseconds"),
    )
    return "; ".join(note for holds, note in notes if holds)
