"""The table of a Shapefile: the encoding of its text, and texts that are no values of their fields.

Where no file says the encoding, OGR hands on the bytes as they are. They are UTF-8 if all of the
table is; else the whole file is taken for Windows-1252, which most of such files are in, if it can
be that.

OGR reads as much of a number as there is, to a zero byte at most, 0 where there is none, and some
day of what is no date, without a word. Blanks, asterisks and days of zeros are null, as it takes
them.
"""

from __future__ import annotations

import struct
from itertools import accumulate, pairwise
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.formats.lost_geometries import FIELD
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

#: Bytes of the head of a table; the rows, the offset of the first and the bytes of each, in it.
HEAD, _LAYOUT = 32, struct.Struct("<4xIHH")
#: Bytes of the description of a field, and where it has the name, the type and the width; the mark
#: behind the last one.
_FIELD, _NAME, _KIND, _WIDTH, _END = 32, 11, 11, 16, b"\r"
#: Where a field begins in a row: behind the mark of those that are deleted.
_FIRST = 1

ASCII, UTF8, WINDOWS, UNKNOWN = "ASCII", "UTF-8", "CP1252", "unknown"
#: Bytes without a character in Windows-1252.
_UNUSED = np.array([0x81, 0x8D, 0x8F, 0x90, 0x9D], np.uint8)
_HIGH = 0x80
#: Types of fields of other values than text.
_NO_TEXT = b"NFDL"
_BLOCK = 4 * 2**20
#: The warning about text that is read as UTF-8 as asked; and the warnings by what it was found to
#: be, where no file says it.
UNSAID = (
    "no file says the encoding of the text, which is taken for UTF-8; a feature with other text is "
    "set aside (op.encoding)"
)
WARNINGS = {
    ASCII: "",
    UTF8: "no file says the encoding of the text; all of it is UTF-8, and is read as that",
    WINDOWS: "no file says the encoding of the text, and not all of it is UTF-8: it is read as "
    "Windows-1252; if it is in another, say so by op.encoding",
    UNKNOWN: "no file says the encoding of the text, which is neither UTF-8 nor Windows-1252: "
    "features with text that is not UTF-8 are set aside; say the encoding by op.encoding",
}

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


def layout(head: bytes) -> tuple[int, int, int]:
    """Return the rows of a table, the offset of the first, and the bytes of each, by its head."""
    count, start, each = _LAYOUT.unpack_from(head.ljust(HEAD, b"\0"))
    return count, start, each


def _descriptions(described: bytes) -> Iterator[bytes]:
    """Give the description of each field, of the bytes between the head and the rows."""
    for start in range(0, len(described) - _FIELD + 1, _FIELD):
        if described[start : start + 1] == _END:
            return
        yield described[start : start + _FIELD]


def encoding_of(file: IO[bytes]) -> str:
    """Return ``ASCII``, ``UTF8``, ``WINDOWS`` or ``UNKNOWN``, by all of the text in a table."""
    is_utf8 = is_windows = True
    found = ASCII
    for texts in _texts(file):
        high = texts[(texts >= _HIGH).any(axis=1)]
        if not len(high):
            continue
        is_windows = is_windows and not np.isin(high, _UNUSED).any()
        is_utf8 = is_utf8 and (_are_utf8(high) or all(map(_is_cut, high)))
        found = UTF8 if is_utf8 else WINDOWS if is_windows else UNKNOWN
        if found == UNKNOWN:
            break
    return found


def _texts(file: IO[bytes]) -> Iterator[NDArray[np.uint8]]:
    """Give the names of fields, and columns of text that are not all ASCII, some rows at a time."""
    count, start, each = layout(file.read(HEAD))
    described = file.read(max(start - HEAD, 0))
    if not each:
        return
    places, at = [], _FIRST
    for field in _descriptions(described):
        yield np.frombuffer(field[:_NAME].partition(b"\0")[0], np.uint8).reshape(1, -1)
        if field[_KIND] not in _NO_TEXT:
            places.append(slice(at, at + field[_WIDTH]))
        at += field[_WIDTH]
    rows = max(_BLOCK // each, 1)
    while count > 0 and (data := file.read(min(rows, count) * each)):
        block = np.frombuffer(data[: len(data) // each * each], np.uint8).reshape(-1, each)
        count -= rows
        if len(block) and block.max() >= _HIGH:
            for one in places:
                yield np.ascontiguousarray(block[:, one])


def _are_utf8(texts: NDArray[np.uint8]) -> bool:
    try:
        _column(texts, pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _is_cut(text: NDArray[np.uint8]) -> bool:
    """Whether a text is UTF-8 but for its last character, which its field has no room for."""
    try:
        text.tobytes().decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


class Table:
    """The rows of a table, of which some fields are looked at."""

    def __init__(self, path: Path, names: list[str], schema: pa.Schema) -> None:
        """Map the table; ``names``: of its fields, in order, as OGR knows them."""
        raw = np.memmap(path, np.uint8, "r")
        count, start, each = layout(raw[:HEAD].tobytes())
        self._rows = raw[start : start + count * each].reshape(-1, each)
        described = _descriptions(raw[HEAD:start].tobytes())
        ends = accumulate((field[_WIDTH] for field in described), initial=_FIRST)
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
            texts = _column(column, pa.binary())
            fine = pc.match_substring_regex(texts, pattern)
            for row in np.flatnonzero(~fine.to_numpy(zero_copy_only=False)).tolist():
                text = texts[row].as_py().decode("utf-8", "replace").strip(" ").rstrip(" \0")
                reasons[row] = (
                    f"{FIELD} {name!r} has {text!r}, which is no {kind}: OGR reads another"
                )
        if not reasons:
            return others
        return pa.array([reasons.get(row, why) for row, why in enumerate(others.to_pylist())])


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


def _column(texts: NDArray[np.uint8], kind: pa.DataType) -> pa.Array:
    """Make a column of bytes or text, as ``kind`` says, of fields of one width."""
    count, width = texts.shape
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(width)
    return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(offsets), pa.py_buffer(texts)])


def opened(file: Plain, plan: VectorPlan, schema: pa.Schema) -> Table | None:
    """Open the table of a Shapefile; None: there is none, or none of its fields that ``schema`` has
    is looked at."""
    if not any(is_it(each.type) for each in schema for is_it, *_ in _KINDS):
        return None
    path = file.beside(".dbf", ".DBF")
    if path is None:
        return None
    info = pyogrio.read_info(exact(file.place), layer=plan.layer, encoding=plan.encoding or None)
    return Table(path, each_once([str(name) for name in info["fields"]]), schema)
