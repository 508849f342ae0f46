"""Which objects of features are read in ranges, and not from a copy on the disk.

Of GeoParquet that is large, or of which a part is asked for, columns and row groups are read. Of a
FlatGeobuf with ``bounds`` the features are that its index finds, if they are the lesser part of it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.protocol.messages import (
    ChunkTask,
    FinaliseTask,
    ProbeTask,
    ResultTask,
    SourceIdentity,
)
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.sources.staged_source import source_in_store
from geobatch_tui.execution.stores.network_faults import RangesRefusedError
from geobatch_tui.execution.stores.object_url import ObjectUrl
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf_layout import MAGIC

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ItemContext, Task
    from geobatch_tui.execution.stores.store_client import Version

    type Runs = tuple[tuple[int, int], ...]

#: Suffixes of GeoParquet files, and how each begins; the suffix of a FlatGeobuf.
_PARQUET, _PAR1, _FLATGEOBUF = frozenset({".parquet", ".geoparquet"}), b"PAR1", ".fgb"
#: Bytes of a file from which on it is read in ranges, and where a part is asked for.
_LARGE, _LARGE_IN_PART = 32 * 2**20, 2**20
#: Parameters that ask for a part of a GeoParquet file.
_PART = ("bounds", "where", "columns")
#: Largest share of the features of a FlatGeobuf, as far as nodes above the leaves tell: more of
#: them come sooner in a copy, by few long requests.
_SHARE = 0.5
#: Nodes of a level of an index of which a plan reads the next level.
_MOST_NODES = 1 << 16
#: Name of the access of chunks that are read so.
_INDEX = "index"


def version_in_ranges(task: Task) -> Version | None:
    """Return the version of the object that a task reads in ranges; None: it reads a file, or a
    copy of the object. Errors as the client's ``read``."""
    match task:
        case ChunkTask(item=item) | FinaliseTask(item=item):
            indexed = is_by_index(item)
            known, params = item.source_id, item.params
        case ResultTask(item=item) if is_by_index(item):
            indexed, known, params = True, item.source_id, item.params
        case ProbeTask(source_id=SourceIdentity() as known, params=params):
            indexed = bool(runs_in_bounds(task))
        case _:
            return None
    source = source_in_store(task)
    if not source:
        return None
    if indexed:
        return version_in(known)
    least = _LARGE_IN_PART if any(params.get(name) for name in _PART) else _LARGE
    if _suffix(source) not in _PARQUET or known.size < least:
        return None
    version = version_in(known)
    return version if _begins_with(_PAR1, source, version) else None


def _begins_with(magic: bytes, source: str, version: Version) -> bool:
    """Whether an object has parts, and begins so."""
    from geobatch_tui.execution.stores.reading import kept_heads

    try:
        head = kept_heads.head_of(ObjectUrl.of(source), version)
    except RangesRefusedError:
        return False
    return head.parts[0][1].startswith(magic)


def is_by_index(item: ItemContext) -> bool:
    """Whether the chunks of an item are read by the index of an object."""
    return bool(item.plan.detail.get("access") == _INDEX)


def runs_in_bounds(task: ProbeTask) -> Runs:
    """Return the features of a FlatGeobuf in a store that may touch ``bounds``, as runs of numbers
    (start, stop); none: it is not read by its index.

    It is not where all moments are to be read for the plan, where OGR evaluates a condition, or
    where the index is damaged: of a copy, all features are right that OGR finds without it. Raises
    CorruptSourceError for a header that is damaged, and as the client's ``read``.
    """
    source, known, params = source_in_store(task), task.source_id, task.params
    if not source or known is None or known.size < _LARGE_IN_PART:
        return ()
    if _suffix(source) != _FLATGEOBUF or not params.get("bounds") or params.get("where"):
        return ()
    version, columns = version_in(known), params.get("columns")
    if not _begins_with(MAGIC, source, version):
        return ()
    chosen = None if columns is None else tuple(columns)
    return _runs(source, version, tuple(params["bounds"]), chosen)


@lru_cache(maxsize=8)
def _runs(
    source: str, version: Version, bounds: tuple[float, ...], columns: tuple[str, ...] | None
) -> Runs:
    from geobatch_tui.execution.vector.formats.flatgeobuf.indexed_object import indexed_object

    with indexed_object(source, version) as opened:
        moments, index = opened.moments(), opened.index
        if index is None or (moments if columns is None else set(moments) & set(columns)):
            return ()
        try:
            runs = index.runs(opened.read, bounds, _MOST_NODES)
        except CorruptSourceError:
            return ()
    found = sum(stop - start for start, stop in runs)
    # An empty run stands for an index that is followed, and finds nothing.
    return (runs or ((0, 0),)) if found <= _SHARE * index.count else ()


def chunks_outside(task: ProbeTask, count: int, width: int) -> tuple[int, ...]:
    """Return the chunks, of ``count`` features in chunks of ``width``, in which no feature touches
    ``bounds``; errors as :func:`runs_in_bounds`."""
    touched: set[int] = set()
    for start, stop in runs_in_bounds(task):
        touched.update(range(start // width, -(-stop // width)))
    return tuple(chunk for chunk in range(-(-count // width)) if chunk not in touched)


def _suffix(source: str) -> str:
    return PurePosixPath(source).suffix.lower()
