"""GeoParquet: opened by pyarrow, and read by whole row groups, but those outside of a rectangle, as
the statistics of the boxes in them say."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from geobatch_tui.execution.io.part_file import readable_name
from geobatch_tui.execution.vector.formats.source_format import SourceFormat

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from geobatch_tui.execution.stores.reading.object_stream import ObjectStream
    from geobatch_tui.execution.stores.store_client import Range, Version
    from geobatch_tui.execution.vector.formats.source_format import Bounds

_SIDES = ("xmin", "ymin", "xmax", "ymax")
#: Row groups of more raw bytes than this are not read by chunks that want a part of one.
_LARGE_GROUP = 256 * 2**20


class GeoParquet(SourceFormat):
    """GeoParquet, and Parquet with types for geometries."""

    is_arrow = True
    by_number = "rows"


def parquet_file(path: str | Path, *, memory_map: bool = False) -> pq.ParquetFile:
    """Open a Parquet file to read features from; checksums of its pages are checked."""
    with readable_name(path) as name:
        return pq.ParquetFile(name, memory_map=memory_map, page_checksum_verification=True)


class ParquetObject(pq.ParquetFile):  # type: ignore[misc]  # pyarrow says no types
    """A Parquet file in a store: its directory, and the columns of row groups that are asked
    for."""

    def __init__(self, stream: ObjectStream) -> None:
        # Not by requests of Arrow's own, which would not be those that are named beforehand.
        super().__init__(stream, pre_buffer=False, page_checksum_verification=True)
        self._stream = stream

    def expect(self, groups: Iterable[int], columns: Collection[str]) -> None:
        """Fetch these columns of row groups, which will be read next, a group behind the other."""
        self._stream.expect(_places_of(self.metadata, groups, columns))


@contextlib.contextmanager
def parquet_at(
    place: str, wanted: Version | None, *, memory_map: bool = False
) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, or the ``wanted`` version of an object, a URL, to read features from.
    Errors as the client's ``read``."""
    if wanted is None:
        with parquet_file(place, memory_map=memory_map) as file:
            yield file
        return
    from geobatch_tui.execution.stores.reading.object_stream import ObjectStream

    with ObjectStream(place, wanted) as stream, ParquetObject(stream) as file:
        yield file


def expect(file: pq.ParquetFile, groups: Iterable[int], columns: Collection[str]) -> None:
    """Prepare for columns of row groups to be read next."""
    if isinstance(file, ParquetObject):
        file.expect(groups, columns)


def _places_of(
    meta: pq.FileMetaData, groups: Iterable[int], columns: Collection[str]
) -> Iterator[Range]:
    """Yield where the chunks of columns, and of those within them, begin and end."""
    paths = [meta.schema.column(number).path for number in range(meta.num_columns)]
    within = tuple(f"{name}." for name in columns)
    wanted = [n for n, path in enumerate(paths) if path in columns or path.startswith(within)]
    for group in groups:
        row_group = meta.row_group(group)
        for number in wanted:
            column = row_group.column(number)
            start = column.data_page_offset
            if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
                start = column.dictionary_page_offset
            yield start, start + column.total_compressed_size


def geo_key(file: pq.ParquetFile) -> bytes | None:
    """Return the key ``geo`` of a file; None: it has none."""
    of_schema: bytes | None = (file.schema_arrow.metadata or {}).get(b"geo")
    return of_schema or (file.metadata.metadata or {}).get(b"geo")


def uniform_groups(meta: pq.FileMetaData) -> int:
    """Return the rows of each row group, if all but the last have the same and none is large; else
    0."""
    groups = [meta.row_group(index) for index in range(meta.num_row_groups)]
    sizes = [group.num_rows for group in groups]
    if any(group.total_byte_size > _LARGE_GROUP for group in groups):
        return 0
    if not sizes or len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]:
        return 0
    return int(sizes[0])


def outside(file: pq.ParquetFile, geometry: str, bounds: Bounds) -> frozenset[int]:
    """Find the row groups no feature of which has a box that touches ``bounds``. One with a feature
    that has no box is not outside: it is to be looked at."""
    places = _places(file, geometry)
    if not bounds or not places:
        return frozenset()
    minx, miny, maxx, maxy = bounds
    beyond = set()
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        sides = [group.column(place).statistics for place in places]
        if any(side is None or not side.has_min_max or side.null_count != 0 for side in sides):
            continue
        left, bottom = (_outwards(side.min, side, -np.inf) for side in sides[:2])
        right, top = (_outwards(side.max, side, np.inf) for side in sides[2:])
        if left > maxx or right < minx or bottom > maxy or top < miny:
            beyond.add(index)
    return frozenset(beyond)


def _outwards(side: float, statistics: pq.Statistics, towards: float) -> float:
    """Return ``side``, or the next number ``towards`` for short floats: nobody says that these were
    rounded outwards."""
    if statistics.physical_type != "FLOAT":
        return side
    return float(np.nextafter(np.float32(side), np.float32(towards)))


def _places(file: pq.ParquetFile, geometry: str) -> list[int]:
    """Number the columns with the sides of the boxes; none if there are no boxes."""
    column = json.loads(geo_key(file) or b"{}").get("columns", {}).get(geometry, {})
    box = column.get("covering", {}).get("bbox", {})
    if not all(side in box for side in _SIDES):
        return []
    meta = file.metadata
    numbers = {meta.schema.column(n).path: n for n in range(meta.num_columns)}
    columns = [numbers.get(".".join(box[side]), -1) for side in _SIDES]
    return columns if min(columns) >= 0 else []
