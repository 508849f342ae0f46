"""Values of attributes in the types that an output format holds; a feature with one that does not
fit is set aside.

OGR writes most of these without a word, and other than they were: an unsigned number beyond its own
range, a year of five digits, a list with a null in it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.batch.arrow_arrays import (
    bits,
    flags,
    lists_with,
    offsets,
    raw_bytes,
    validity,
    whole_numbers,
)
from geobatch_tui.execution.vector.fields.field_types import kind_of
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip

if TYPE_CHECKING:
    from collections.abc import Buffer

    from geobatch_tui.execution.vector.batch.feature_batch import Bad
    from geobatch_tui.execution.vector.output_format import OutputFormat

_DAY = dt.timedelta(days=1)
_EPOCH = dt.date(1970, 1, 1)
#: First and last day with a year of four digits, counted from 1970.
_DAYS = ((dt.date.min - _EPOCH) // _DAY, (dt.date.max - _EPOCH) // _DAY)
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def readable(columns: list[pa.Array], names: list[str], bad: Bad) -> list[pa.Array]:
    """Return the values of a batch, with null for text that is not in UTF-8, which OGR hands on of
    a file whose encoding it takes for another; such rows go to ``bad``."""
    pairs = zip(columns, names, strict=True)
    return [_in_utf8(column, name, bad) for column, name in pairs]


def _in_utf8(column: pa.Array, name: str, bad: Bad) -> pa.Array:
    if _is_utf8(column):
        return column
    reason = (
        f"the text of its field {name!r} is not in UTF-8; recode the file, or say the encoding of "
        "a Shapefile by op.encoding"
    )
    # One value at a time: slices of lists share their text.
    wrong = [row for row in range(len(column)) if not _is_utf8(column.take(pa.array([row])))]
    bad |= {row: ("SchemaError", reason) for row in wrong if row not in bad}
    rows: list[int | None] = list(range(len(column)))
    for row in wrong:
        rows[row] = None
    return column.take(pa.array(rows, pa.int64()))


def _is_utf8(column: pa.Array) -> bool:
    """Whether all text in values is UTF-8: as JSON, or in a list, too."""
    kind = column.type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_nested(kind)
        or pa.types.is_dictionary(kind)
        or isinstance(kind, pa.BaseExtensionType)
    ):
        return True
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def fit(
    output: OutputFormat, columns: list[pa.Array], fields: pa.Schema, bad: Bad
) -> tuple[list[pa.Array], dict[str, int]]:
    """Return the values of a batch in the types of ``fields`` (see :func:`field_types.written`);
    and counts of what else became of them. Rows with a value that the format cannot hold go to
    ``bad``; what stands there then has no meaning."""
    if output.is_parquet:
        return columns, {}
    import pyarrow.compute as pc

    made, counts = [], {"nan_to_null": 0, "text_cut": 0}
    for given, field in zip(columns, fields, strict=True):
        column = _fitted(given, field, bad)
        _set_aside(_with_zeros(column), field.name, "has a character of zero", bad)
        if pa.types.is_floating(field.type) and not output.holds_nan:
            counts["nan_to_null"] += pc.is_nan(column).true_count
            if output.is_json:
                _set_aside(pc.is_inf(column), field.name, "is infinite", bad)
        if output.is_dbase:
            column = _in_table(column, field.name, bad, counts)
        made.append(column)
    return made, counts


def _fitted(column: pa.Array, field: pa.Field, bad: Bad) -> pa.Array:
    import pyarrow.compute as pc

    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    kind = column.type
    if pa.types.is_uint64(kind):
        over = pc.greater(column, pa.scalar(2**63 - 1, pa.uint64()))
        _set_aside(over, field.name, "is above 2^63 - 1", bad)
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        if field.type != kind and pa.types.is_timestamp(field.type):
            column = _in_milliseconds(column, field.type)
        _set_aside(_odd_years(column), field.name, "has no year from 1 to 9999", bad)
        _set_aside(_before_1970(column), field.name, _LAST_SECOND, bad)
    elif pa.types.is_decimal(kind):
        column = _nearest(column)
    elif pa.types.is_list(field.type):
        column = _list_of_nearest(column) if pa.types.is_decimal(kind.value_type) else column
        column = column.cast(field.type)
        _set_aside(_with_nulls(column), field.name, "has a null in its list", bad)
    elif pa.types.is_time64(kind):
        column = _in_milliseconds(column, field.type)
    return column if column.type == field.type else column.cast(field.type, safe=False)


def _nearest(column: pa.Array) -> pa.Array:
    """Return decimals as the nearest numbers of double precision, which Arrow's own cast misses.

    Up to 15 digits, and Parquet has no more behind the point, are such numbers, and so is the power
    of ten: a quotient of two is rounded once.
    """
    width = column.type.bit_width // 8
    words = np.frombuffer(column.buffers()[1], f"<i{min(width, 8)}")[:: max(width // 8, 1)]
    digits = words[column.offset :][: len(column)].astype(np.float64)
    return _with_nulls_of(column, digits / 10.0**column.type.scale, pa.float64())


def _list_of_nearest(column: pa.Array) -> pa.Array:
    lists = column.cast(pa.list_(column.type.value_type))
    kind, buffers = pa.list_(pa.float64()), lists.buffers()[:2]
    inner = [_nearest(lists.values)]
    return pa.Array.from_buffers(kind, len(lists), buffers, offset=lists.offset, children=inner)


def _with_nulls_of(column: pa.Array, found: Buffer, kind: pa.DataType) -> pa.Array:
    """Make an array of ``kind`` of these numbers or bits, and null where ``column`` is."""
    valid = bits(validity(column)) if column.null_count else None
    return pa.Array.from_buffers(kind, len(column), [valid, pa.py_buffer(found)])


#: Units finer than milliseconds, and how many of them make one.
_FINE = {"us": 1000, "ns": 1_000_000}
_LAST_OF_DAY = _PER_DAY["ms"] - 1


def _in_milliseconds(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Round moments or times of day: of 59.9996 seconds OGR makes 60. A time of day stays in its
    day."""
    step = _FINE.get(column.type.unit)
    if step is None:
        return column
    whole, rest = np.divmod(whole_numbers(column), step)
    whole += rest >= step // 2
    if pa.types.is_time(kind):
        whole = np.minimum(whole, _LAST_OF_DAY).astype(np.int32)
    return _with_nulls_of(column, whole, kind)


def legible(column: pa.Array, name: str, *, as_text: bool = False) -> pa.Array:
    """Return the values as a GeoPackage holds them; as text where it does not, or if so asked."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if not _is_utf8(column):
        return _escaped(column)
    bad: Bad
    kind, bad = kind_of(column.type), {}
    if kind is not None and not pa.types.is_decimal(column.type) and not as_text:
        fitted = _fitted(column, pa.field(name, kind), bad)
        if not bad:
            return fitted
    try:
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError:
        texts = [str(value.as_py()) if value.is_valid else None for value in column]
        return pa.array(texts, pa.string())


def _escaped(column: pa.Array) -> pa.StringArray:
    """Return text, or lists of it, with escapes for bytes that are not UTF-8; null for other
    values."""
    if pa.types.is_string(column.type):
        raw = column.cast(pa.binary()).to_pylist()
        return pa.array(
            [one and one.decode("utf-8", "backslashreplace") for one in raw], pa.string()
        )
    if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
        raw = column.cast(pa.list_(pa.binary())).to_pylist()
        return pa.array([one if one is None else str(one) for one in raw], pa.string())
    return legible(_in_utf8(column, "", {}), "", as_text=True)


#: Numbers that OGR writes into a table as they are: with up to 18 characters, or 24.
_WHOLE, _REAL = (-(10**17), 10**18), 1e22


def _in_table(column: pa.Array, name: str, bad: Bad, counts: dict[str, int]) -> pa.Array:
    """Return values as a table of dBASE takes them: OGR cuts the end off numbers that are too
    long."""
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_int64(kind):
        over = pc.or_(pc.less_equal(column, _WHOLE[0]), pc.greater_equal(column, _WHOLE[1]))
        _set_aside(over, name, "has more than 18 characters", bad)
    elif pa.types.is_floating(kind):
        _set_aside(pc.greater_equal(pc.abs(column), _REAL), name, f"is {_REAL:g} or more", bad)
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    elif pa.types.is_string(kind):
        long = pc.greater(pc.binary_length(column), shapefile_zip.TEXT)
        counts["text_cut"] += long.true_count
        if long.true_count:
            texts = column.to_pylist()
            column = pa.array(
                [text and shapefile_zip.cut(text, shapefile_zip.TEXT) for text in texts]
            )
    return column


def _set_aside(rows: pa.Array | None, name: str, why: str, bad: Bad) -> None:
    if rows is None or not rows.true_count:
        return
    for row in np.flatnonzero(rows.fill_null(False).to_numpy(zero_copy_only=False)).tolist():
        bad.setdefault(row, ("SchemaError", f"the output cannot hold its field {name!r}: it {why}"))


def _odd_years(column: pa.Array) -> pa.Array | None:
    import pyarrow.compute as pc

    kind = column.type
    wide = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    unit = 1 if pa.types.is_date32(kind) else _PER_DAY[getattr(kind, "unit", "ms")]
    low, high = _DAYS[0] * unit, (_DAYS[1] + 1) * unit - 1
    limits = np.iinfo(wide.to_pandas_dtype())
    if low <= limits.min and high >= limits.max:  # nanoseconds end long before
        return None
    numbers = column.view(wide)
    return pc.or_(
        pc.less(numbers, pa.scalar(max(low, limits.min), wide)),
        pc.greater(numbers, pa.scalar(min(high, limits.max), wide)),
    )


#: OGR counts seconds towards 1970, and then takes away their fraction: from those of 0, it cannot.
_LAST_SECOND = (
    "is before 1970, in the last second of a minute and with a fraction of it, and OGR writes the "
    "minute that follows; GeoParquet holds it"
)


def _before_1970(column: pa.Array) -> pa.Array | None:
    """Mark moments that OGR would write as others."""
    second = _PER_DAY.get(getattr(column.type, "unit", "s"), 0) // _PER_DAY["s"]
    if second < 2:
        return None
    raw = whole_numbers(column)
    if not (raw < 0).any():
        return None
    wrong = (raw < 0) & (raw % (60 * second) > 59 * second)
    return _with_nulls_of(column, bits(wrong), pa.bool_())


def _with_zeros(column: pa.Array) -> pa.Array | None:
    """Mark texts, or lists of them, with a character of zero, where OGR ends what it writes or
    reads; None: none has one."""
    is_list = pa.types.is_list(column.type)
    texts = column.flatten() if is_list else column
    if not pa.types.is_string(texts.type) or not len(texts):
        return None
    ends = offsets(texts)
    data = raw_bytes(texts.buffers()[2])[ends[0] : ends[-1]]
    if not len(data) or data.min():
        return None
    import pyarrow.compute as pc

    found = pc.match_substring(texts, "\0")
    return flags(lists_with(column, found.fill_null(False))) if is_list else found


def _with_nulls(column: pa.ListArray) -> pa.Array | None:
    values = column.flatten()
    return flags(lists_with(column, values.is_null())) if values.null_count else None
