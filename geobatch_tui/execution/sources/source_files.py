"""The files of a source: one, several that belong together, or those of a directory."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError, SourceChangedError, SourceNotFoundError
from geobatch_tui.execution.sources import object_sources, vrt
from geobatch_tui.execution.sources.source_list import is_source_list, members_of
from geobatch_tui.execution.stores import request_pool
from geobatch_tui.execution.stores.object_url import is_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from geobatch_tui.execution.protocol.messages import SourceIdentity

#: Suffixes of directories that are read as one dataset: file geodatabases.
DIRECTORIES = frozenset({".gdb"})
#: Suffixes of files that belong to one of another suffix: attributes and their encoding, offsets of
#: shapes, the CRS, the georeference of a picture.
_BESIDE = {
    ".shp": (".dbf", ".DBF", ".shx", ".SHX", ".cpg", ".CPG", ".prj", ".PRJ"),
    ".tif": (".tfw", ".wld"),
    ".tiff": (".tfw", ".wld"),
    ".png": (".pgw", ".wld"),
    ".jpg": (".jgw", ".wld"),
    ".jpeg": (".jgw", ".wld"),
    ".img": (".hdr",),
}
#: The same, behind the whole name: the write-ahead log of SQLite, a mask.
_BEHIND = {".gpkg": ("-wal",), **dict.fromkeys((".tif", ".tiff", ".png", ".jpg"), (".msk",))}
#: Suffix of files that name others.
_NAMING = ".vrt"
#: Bytes of the largest VRT that is parsed: more than ten thousand names.
_PARSED = 16 * 2**20
#: Files that programs put into a directory while they have it open.
_LOCKS = (".lock",)


def is_dataset(path: str | Path) -> bool:
    """Whether ``path`` is a directory that is one dataset."""
    suffix = os.path.splitext(path)[1]  # noqa: PTH122 -- for each input of a plan
    return suffix.lower() in DIRECTORIES and Path(path).is_dir()


def files(path: str) -> list[Path]:
    """List the files of a source: of a directory all but locks, by name; else first the source.

    Of a group they are those of all its members. Raises OSError if it cannot be read.
    """
    if is_source_list(path):
        return [Path(one) for each in files_of_each(members_of(path)) for one in each]
    if not is_dataset(path):
        return [Path(path), *map(Path, filter(_content, _beside(path)))]
    with os.scandir(path) as entries:
        regular = [Path(one.path) for one in entries if one.is_file()]
    return sorted(one for one in regular if not one.name.endswith(_LOCKS))


def files_of_each(paths: Iterable[str]) -> Iterator[list[str]]:
    """Yield the names of the files of each source of one file, first the source, as
    :func:`files` does; of an object its URL alone. Each directory is listed but once. Raises
    OSError."""
    names: dict[str, frozenset[str]] = {}
    for path in paths:
        if is_url(path):
            yield [path]
            continue
        directory = os.path.dirname(path)  # noqa: PTH120 -- thousands of them
        there = names.get(directory)
        if there is None:
            there = names[directory] = frozenset(os.listdir(directory))  # noqa: PTH208
        cut = len(directory) + (not directory.endswith("/"))
        beside = (one for one in _beside(path) if one[cut:] in there)
        yield [path, *filter(_content, beside)]


@lru_cache(maxsize=16)
def _beside(path: str) -> tuple[str, ...]:
    """Name the files that may belong to a source of one file."""
    stem, suffix = os.path.splitext(path)  # noqa: PTH122 -- for each input of a plan
    kind = suffix.lower()
    return (
        *(stem + other for other in _BESIDE.get(kind, ())),
        *(path + ending for ending in _BEHIND.get(kind, ())),
    )


def named(path: str) -> list[Path]:
    """List the files that a VRT names, directly or through another VRT; none for other sources, and
    for a VRT that is too large. Files that are missing or forbidden are left out: whoever opens the
    VRT says what is wrong with them."""
    if not path.lower().endswith(_NAMING):
        return []
    sources: dict[Path, None] = {}
    newest = [Path(path)]
    for _ in range(vrt.MAX_DEPTH):
        newest = [other for one in newest for other in _named_in(one) if other not in sources]
        sources |= dict.fromkeys(newest)
    return list(filter(_content, sources))


def _named_in(path: Path) -> tuple[Path, ...]:
    if path.suffix.lower() != _NAMING:
        return ()
    try:
        now = path.stat()
        readable = stat.S_ISREG(now.st_mode) and now.st_size <= _PARSED
        return _parsed(path, now.st_size, now.st_mtime_ns) if readable else ()
    except (GeobatchError, OSError):
        return ()


@lru_cache(maxsize=16)
def _parsed(path: Path, size: int, mtime_ns: int) -> tuple[Path, ...]:
    """Parse the files that a VRT names, once for its size and time."""
    del size, mtime_ns
    return tuple(vrt.vrt_sources(path))


def _content(path: str | Path) -> os.stat_result | None:
    """Return the status of a file with content; None of others: readers of a GeoPackage may leave
    an empty write-ahead log."""
    if not os.access(path, os.F_OK):  # of most: an error takes longer than to look
        return None
    try:
        entry = os.stat(path)  # noqa: PTH116 -- for each input of a plan
    except OSError:
        return None
    return entry if entry.st_size else None


def status(path: str) -> tuple[int, int]:
    """Return size and time of last change (ns) of a source: the sum, and the latest, of its files.

    Raises OSError if it cannot be read.
    """
    if is_source_list(path):
        return total(status_of_each(members_of(path)))
    if is_dataset(path):
        statuses = [each.stat() for each in files(path)]
    else:
        statuses = [os.stat(path), *filter(None, map(_content, _beside(path)))]  # noqa: PTH116
        statuses += [each.stat() for each in named(path)]
    return total((one.st_size, one.st_mtime_ns) for one in statuses)


def status_of_each(paths: Iterable[str]) -> list[tuple[int, int]]:
    """Return size and time of each source of one file, as :func:`status` does, but not of files
    that a VRT names. Raises OSError if one cannot be read."""
    found = []
    paths = [*paths]
    objects = request_pool.in_order(object_sources.status_of, filter(is_url, paths))
    for each in files_of_each(paths):
        if is_url(each[0]):
            found.append(next(objects))
            continue
        now = [os.stat(one) for one in each]  # noqa: PTH116 -- thousands of them
        found.append(total((one.st_size, one.st_mtime_ns) for one in now))
    return found


def total(statuses: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the sum of sizes and the latest of times."""
    size, latest = 0, 0
    for each, mtime_ns in statuses:
        size, latest = size + each, max(latest, mtime_ns)
    return size, latest


def check_identity(path: str, expected: SourceIdentity) -> None:
    """Raises SourceChangedError if size or time of ``path`` are not ``expected`` any more. Objects
    of stores are not asked for: each read of them says which version it wants."""
    if is_url(path):
        return
    try:
        size, mtime_ns = status(path)
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"{path} is gone since the run was planned") from error
    if (size, mtime_ns) != (expected.size, expected.mtime_ns):
        raise SourceChangedError(
            f"{path} changed since the run was planned: it had {expected.size} bytes, it has "
            f"{size}, with another time"
            if size != expected.size
            else f"{path} changed since the run was planned: same size, another time"
        )
