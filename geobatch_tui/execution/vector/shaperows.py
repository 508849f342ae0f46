"""Whether a Shapefile has as many rows of attributes as shapes.

OGR ends such a file at the last row that it can read, as if no features followed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector import archive

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes of the head of an index of shapes, and of an entry; of the head of a table.
_INDEX_HEAD, _INDEX_ENTRY, _TABLE_HEAD = 100, 8, 32


def refuse_uneven(path: str, place: str) -> None:
    """Raises CorruptSourceError where there are more of these or those, or a table is cut off.
    ``place``: what OGR opens, which is ``path`` or lies in it."""
    shapes = _asked(path, place, (".shx", ".SHX"), _entries)
    rows = _asked(path, place, (".dbf", ".DBF"), _rows)
    if shapes is not None and rows is not None and shapes != rows:
        raise CorruptSourceError(
            f"{path} has {shapes} shapes, but {rows} rows of attributes",
            hint="repair it, or give it without its .dbf file, and so without attributes",
        )


def _asked(
    path: str, place: str, ends: tuple[str, ...], ask: Callable[[IO[bytes]], int | None]
) -> int | None:
    for end in ends:
        other = str(Path(place).with_suffix(end))
        try:
            with archive.opened(path if archive.is_inside(place) else other, other) as file:
                return ask(file)
        except (FileNotFoundError, KeyError):
            continue
    return None


def _entries(file: IO[bytes]) -> int:
    return (file.seek(0, os.SEEK_END) - _INDEX_HEAD) // _INDEX_ENTRY


def _rows(file: IO[bytes]) -> int | None:
    """Rows that are whole; None: it is no table, as OGR will say."""
    head = file.read(_TABLE_HEAD)
    count, start, each = (
        int.from_bytes(head[a:b], "little") for a, b in ((4, 8), (8, 10), (10, 12))
    )
    if len(head) < _TABLE_HEAD or not each:
        return None
    return min(count, max(file.seek(0, os.SEEK_END) - start, 0) // each)
