"""Texts in the table of a Shapefile that are no values of their fields: OGR makes some of them.

It reads as much of a number as there is, to a zero byte at most, 0 where there is none, and some
day of what is no date, without a word. Blanks, asterisks and days of zeros are null, as it takes
them.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.formats.lost_geometries import FIELD
from geobatch_tui.execution.vector.formats.shapefile.row_counts import table_layout
from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio
from geobatch_tui.execution.vector.ogr.stream import each_once
from geobatch_tui.execution.vector.plan import FID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Bytes of the head of a table, and of the description of a field; the mark behind the last one.
_HEAD, _FIELD, _END = 32, 32, b"\r"
#: Where a field begins in a row: behind the mark of those that are deleted.
_FIRST = 1
#: A text ends at the first zero byte, as in C; only zeros and blanks may follow.
_WHOLE_TEXT = r"(?is)\A *(?:%s)? *(?:\x00[\x00 ]*)?\z"
_REAL = (
    r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)"
    r"|[+-]?1\.#(?:inf|ind|qnan|snan)\d*"
)
_DAY = (
    r"\d{4}(?:(?:0[13578]|1[02])(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)(?:0[1-9]|[12]\d|30)"
    r"|02(?:0[1-9]|1\d|2[0-8]))"
    r"|(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)0229"
    r"|(?:0[1-9]|1[0-2])/(?:0[1-9]|[12]\d|3[01])/\d{4}"
)
#: Types as OGR reads them, the pattern of their texts, and what messages call them.
_KINDS: tuple[tuple[Callable[[pa.DataType], bool], str, str], ...] = (
    (pa.types.is_integer, r"[+-]?\d+(?:\.0*)?|\*.*", "whole number"),
    (pa.types.is_floating, rf"{_REAL}|\*.*", "number"),
    (pa.types.is_date32, rf"{_DAY}|0|0{{8}}", "day"),
    (pa.types.is_boolean, r"[tfyn0?*]", "yes or no"),
)
#: Points that a plain number of each kind may have.
_PLAIN = {"whole number": 0, "number": 1}


#: Classes of bytes in the order of a plain number: blanks, a sign, digits and a point; others.
_BLANK, _SIGN, _DIGIT, _OTHER = range(4)
_POINT = ord(".")
_OF = {
    **dict.fromkeys(b" ", _BLANK),
    **dict.fromkeys(b"+-", _SIGN),
    **dict.fromkeys(b"0123456789.", _DIGIT),
}
_ORDER = bytes(_OF.get(one, _OTHER) for one in range(256))


class Table:
    """The rows of a table, of which some fields are looked at."""

    def __init__(self, path: Path, names: list[str], schema: pa.Schema) -> None:
        """Map the table; ``names``: of its fields, in order, as OGR knows them."""
        raw = np.memmap(path, np.uint8, "r")
        count, start, each = table_layout(raw[:_HEAD].tobytes())
        self._rows = raw[start : start + count * each].reshape(-1, each)
        ends = accumulate(_widths(raw[_HEAD:start].tobytes()), initial=_FIRST)
        self._fields = [
            (name, slice(*place), _WHOLE_TEXT % pattern, kind)
            for name, place in zip(names, pairwise(ends), strict=True)
            if name in schema.names
            for is_it, pattern, kind in _KINDS
            if is_it(schema.field(name).type)
        ]

    def reasons(self, found: pa.RecordBatch, others: pa.Array) -> pa.Array:
        """Give for each feature what is wrong with its values, or what the ``others`` say; null:
        nothing."""
        import pyarrow.compute as pc

        ids = found.column(FID).to_numpy()
        if not len(ids):
            return others
        one_by_one = ids[-1] - ids[0] == len(ids) - 1
        rows = self._rows[ids[0] : ids[-1] + 1] if one_by_one else self._rows[ids]
        reasons: dict[int, str] = {}
        for name, place, pattern, kind in self._fields:
            column = np.ascontiguousarray(rows[:, place])
            if kind in _PLAIN and _are_plain(column, _PLAIN[kind]):
                continue
            texts = _binary(column)
            fine = pc.match_substring_regex(texts, pattern)
            for row in np.flatnonzero(~fine.to_numpy(zero_copy_only=False)).tolist():
                text = texts[row].as_py().decode("utf-8", "replace").strip(" ").rstrip(" \0")
                reasons[row] = (
                    f"{FIELD} {name!r} has {text!r}, which is no {kind}: OGR reads another"
                )
        if not reasons:
            return others
        return pa.array([reasons.get(row, why) for row, why in enumerate(others.to_pylist())])


def _widths(fields: bytes) -> Iterator[int]:
    for start in range(0, len(fields) - _FIELD + 1, _FIELD):
        if fields[start : start + 1] == _END:
            return
        yield fields[start + 16]


def _are_plain(column: NDArray[np.uint8], points: int) -> bool:
    """Whether all texts are blank, or numbers on the right of their field, as most tables have
    them: with a sign and some ``points`` at most. It is a quick look; others may be right, too."""
    read = column.tobytes().translate(_ORDER)
    order = np.frombuffer(read, np.uint8).reshape(column.shape)
    left, right, last = order[:, :-1], order[:, 1:], order[:, -1:]
    if (right < left).any() or ((left == _SIGN) & (right == _SIGN)).any():
        return False
    if (last == _SIGN).any() or (last == _OTHER).any():
        return False
    point = column == _POINT
    return not point[:, -1:].any() and bool((point.sum(axis=1, dtype=np.uint8) <= points).all())


def _binary(column: NDArray[np.uint8]) -> pa.Array:
    """Make a binary column of fields of one width."""
    count, width = column.shape
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(width)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(column)]
    return pa.Array.from_buffers(pa.binary(), count, buffers)


def opened(file: Plain, place: str, plan: VectorPlan, schema: pa.Schema) -> Table | None:
    """Open the table of the Shapefile that OGR opens at ``place``; None: there is none, or none of
    its fields that ``schema`` has is looked at."""
    if not any(is_it(each.type) for each in schema for is_it, *_ in _KINDS):
        return None
    path = file.beside(".dbf", ".DBF")
    if path is None:
        return None
    info = pyogrio.read_info(exact(place), layer=plan.layer, encoding=plan.encoding or None)
    return Table(path, each_once([str(name) for name in info["fields"]]), schema)
