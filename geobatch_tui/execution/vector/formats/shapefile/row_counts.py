"""Rows and shapes of a Shapefile, which are to be as many.

OGR ends such a file at the last row that it can read, as if no features followed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.formats.shapefile import dbf_table
from geobatch_tui.execution.vector.ogr import archive

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.vector.formats.source_format import OpenLayer

#: Bytes of the head of an index of shapes, or of the shapes; and of an entry of the index, which
#: begins with the place of a shape.
HEAD, ENTRY = 100, 8
#: Where a head says how long its file is, in words of two bytes.
_LENGTH = slice(24, 28)
INDEX, TABLE, _SHAPES = (".shx", ".SHX"), (".dbf", ".DBF"), (".shp", ".SHP")


def refuse_uneven(layer: OpenLayer) -> None:
    """Raise CorruptSourceError where there are more of the one than of the other, by the head of a
    file or by its size, or a table is cut off."""
    shapes, rows = asked(layer, INDEX, _entries), asked(layer, TABLE, _rows)
    if shapes is not None and shapes[0] != shapes[1]:
        raise CorruptSourceError(
            f"the .shx file of {layer.path} says in its head that it has {shapes[0]} shapes, but "
            f"has {shapes[1]}",
            hint="remove it, and have it made again: ogr2ogr --config SHAPE_RESTORE_SHX YES",
        )
    if shapes is not None and rows is not None and shapes[0] != min(rows):
        raise CorruptSourceError(
            f"{layer.path} has {shapes[0]} shapes, but {min(rows)} rows of attributes",
            hint="repair it, or give it without its .dbf file, and so without attributes",
        )


def tell_of_rest(layer: OpenLayer, warnings: list[str]) -> None:
    """Warn where a file goes on behind the end that its index, or its head, says."""
    rows = asked(layer, TABLE, _rows)
    if rows is not None and rows[1] > rows[0]:
        warnings.append(f"the .dbf file has {rows[1]} rows, of which its head tells {rows[0]}")
    end = asked(layer, INDEX, _end)
    size = asked(layer, _SHAPES, lambda file: file.seek(0, os.SEEK_END))
    if end is not None and size is not None and size - end >= ENTRY:
        warnings.append(f"the .shp file goes on for {size - end} bytes after its last shape")


def asked[T](
    layer: OpenLayer, ends: tuple[str, ...], ask: Callable[[IO[bytes]], T | None]
) -> T | None:
    """Return what ``ask`` says of the file of a layer with one of the suffixes ``ends``; None: it
    has none."""
    for end in ends:
        other = str(Path(layer.place).with_suffix(end))
        path = layer.path if archive.is_inside(layer.place) else other
        try:
            with archive.opened(path, other) as file:
                return ask(file)
        except (FileNotFoundError, KeyError):
            continue
    return None


def _entries(file: IO[bytes]) -> tuple[int, int]:
    """Count the shapes of an index, by its head and by its size."""
    said = int.from_bytes(file.read(HEAD)[_LENGTH], "big") * 2
    size = file.seek(0, os.SEEK_END)
    return (said - HEAD) // ENTRY, (size - HEAD) // ENTRY


def _end(file: IO[bytes]) -> int | None:
    """Return the end of the last shape of an index in the file of shapes; None: it has none."""
    raw = file.read()[HEAD:]
    entries = np.frombuffer(raw[: len(raw) // ENTRY * ENTRY], ">u4").reshape(-1, 2)
    ends = (entries[:, 0].astype(np.int64) + entries[:, 1]) * 2 + ENTRY
    return int(ends.max()) if len(ends) else None


def _rows(file: IO[bytes]) -> tuple[int, int] | None:
    """Count the whole rows of a table, by its head and by its size; None: it is no table, as OGR
    will say."""
    head = file.read(dbf_table.HEAD)
    count, start, each = dbf_table.layout(head)
    if len(head) < dbf_table.HEAD or not each:
        return None
    return count, max(file.seek(0, os.SEEK_END) - start, 0) // each
