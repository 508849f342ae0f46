"""The encoding of the text of a Shapefile, where no file says it.

OGR hands on its bytes as they are then. They are UTF-8 if all of the table is; else the whole file
is taken for Windows-1252, which most of such files are in, if it can be that.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.formats.shapefile import row_counts
from geobatch_tui.execution.vector.formats.source_format import STRICT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ASCII, UTF8, WINDOWS, UNKNOWN = "ASCII", "UTF-8", "CP1252", "unknown"
#: Bytes without a character in Windows-1252.
_UNUSED = np.array([0x81, 0x8D, 0x8F, 0x90, 0x9D], np.uint8)
_HIGH = 0x80
_HEAD, _FIELD, _NAME, _KIND, _WIDTH = 32, 32, 11, 11, 16
#: Types of fields of other values than text.
_NO_TEXT = b"NFDL"
_BLOCK = 4 * 2**20


def warning(encoding: str, asked: str) -> str:
    """Return the warning about text of which no file says the encoding; empty: all is ASCII."""
    if asked == STRICT:
        return (
            "no file says the encoding of the text, which is taken for UTF-8; a feature with other "
            "text is set aside (op.encoding)"
        )
    return {
        ASCII: "",
        UTF8: "no file says the encoding of the text; all of it is UTF-8, and is read as that",
        WINDOWS: "no file says the encoding of the text, and not all of it is UTF-8: it is read as "
        "Windows-1252; if it is in another, say so by op.encoding",
        UNKNOWN: "no file says the encoding of the text, which is neither UTF-8 nor Windows-1252: "
        "features with text that is not UTF-8 are set aside; say the encoding by op.encoding",
    }[encoding]


def detect(path: str, place: str) -> str:
    """Return ``ASCII``, ``UTF8``, ``WINDOWS`` or ``UNKNOWN``, by all of the text in the table of
    what OGR opens at ``place``: the file ``path``, or one in that archive."""
    return row_counts.asked(path, place, row_counts.TABLE, _of_table) or ASCII


def _of_table(file: IO[bytes]) -> str:
    head = file.read(_HEAD)
    count, start, each = row_counts.table_layout(head)
    described = file.read(max(start - _HEAD, 0))
    if not each:
        return ASCII
    names, places = _fields(described)
    texts = _Candidates()
    for name in names:
        texts.look(np.frombuffer(name, np.uint8).reshape(1, -1))
    rows = max(_BLOCK // each, 1)
    while count > 0 and (data := file.read(min(rows, count) * each)):
        block = np.frombuffer(data[: len(data) // each * each], np.uint8).reshape(-1, each)
        count -= rows
        if len(block) and block.max() >= _HIGH:
            for one in places:
                texts.look(np.ascontiguousarray(block[:, one]))
        if not (texts.utf8 or texts.windows):
            break
    return texts.encoding()


def _fields(described: bytes) -> tuple[list[bytes], list[slice]]:
    """Return the names of all fields, and the places of those of text in a row."""
    names, places, at = [], [], 1
    for field in _descriptions(described):
        names.append(field[:_NAME].partition(b"\0")[0])
        if field[_KIND] not in _NO_TEXT:
            places.append(slice(at, at + field[_WIDTH]))
        at += field[_WIDTH]
    return [name for name in names if name], places


def _descriptions(described: bytes) -> Iterator[bytes]:
    for start in range(0, len(described) - _FIELD + 1, _FIELD):
        if described[start : start + 1] == b"\r":
            return
        yield described[start : start + _FIELD]


class _Candidates:
    """Encodings that all texts so far can be in."""

    def __init__(self) -> None:
        self.ascii = self.utf8 = self.windows = True

    def look(self, texts: NDArray[np.uint8]) -> None:
        """Take in texts of one width."""
        high = texts[(texts >= _HIGH).any(axis=1)]
        if not len(high):
            return
        self.ascii = False
        self.windows = self.windows and not np.isin(high, _UNUSED).any()
        self.utf8 = self.utf8 and (_are_utf8(high) or all(map(_is_cut, high)))

    def encoding(self) -> str:
        if self.ascii:
            return ASCII
        return UTF8 if self.utf8 else WINDOWS if self.windows else UNKNOWN


def _are_utf8(texts: NDArray[np.uint8]) -> bool:
    count, width = texts.shape
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(width)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(texts.tobytes())]
    try:
        pa.Array.from_buffers(pa.string(), count, buffers).validate(full=True)
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
