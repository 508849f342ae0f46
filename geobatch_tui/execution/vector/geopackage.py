"""GeoPackage, put together from the records of chunks: pages of SQLite after those of OGR.

OGR makes an empty layer with all that belongs to it. Features are written as pages behind it, in
the order of the source, and so is the R-tree, full nodes along a curve of Hilbert; then the roots
of these tables lead to their pages.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError, VerifyError
from geobatch_tui.execution.crc import crc32
from geobatch_tui.execution.raster.disk import disk_errors, write_all
from geobatch_tui.execution.raster.part import new_file
from geobatch_tui.execution.vector import loops, ogr, pieces, records, spool
from geobatch_tui.execution.vector.sqlitepages import PAGE
from geobatch_tui.execution.vector.sqlitetree import Appended, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.messages import ItemContext, Segment
    from geobatch_tui.execution.vector.collect import Summary
    from geobatch_tui.execution.vector.plan import VectorPlan
    from geobatch_tui.execution.vector.records import Records

#: Entries of a node of the R-tree, with pages of 4096 bytes; a node and an entry, big-endian.
_ENTRIES, _NODE = 51, 1228
_ENTRY = np.dtype([("id", ">i8"), ("sides", ">f4", 4)])
#: Where the head of an SQLite file says how many pages it has, and which version wrote it.
_PAGES, _VERSION = 28, slice(96, 100)


@dataclass(slots=True)
class _Boxes:
    """Ids of the features with an extent, and minx, maxx, miny, maxy, rounded outwards."""

    ids: list[NDArray[np.int64]] = field(default_factory=list)
    sides: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, ids: NDArray[np.int64], boxes: NDArray[np.float64]) -> None:
        known = ~np.isnan(boxes[:, 0])
        low, high = boxes[known][:, [0, 1]], boxes[known][:, [2, 3]]
        small, large = low.astype(np.float32), high.astype(np.float32)
        small = np.where(small > low, np.nextafter(small, np.float32(-np.inf)), small)
        large = np.where(large < high, np.nextafter(large, np.float32(np.inf)), large)
        self.ids.append(ids[known])
        self.sides.append(np.stack([small[:, 0], large[:, 0], small[:, 1], large[:, 1]], axis=1))


def write(
    item: ItemContext,
    plan: VectorPlan,
    segments: Sequence[Segment],
    summary: Summary,
    path: Path,
    scratch: Path,
) -> tuple[int, int, int]:
    """Write the part file: where what was appended begins, CRC-32 of what lies before, and of it.

    ``scratch`` is a directory for a while.
    """
    made = scratch / "template.gpkg"
    kind, multi = ogr.layer_type(summary.types)
    ogr.write_template(item, plan, summary, kind, made)
    srs, roots = _prepare(made, plan, summary)
    base = bytearray(made.read_bytes())
    found = _Boxes()
    with new_file(path, later=True) as fd, disk_errors("cannot write", path):
        with Appended(fd, len(base) // PAGE) as pages:
            table = Table(pages)
            ident = 1
            for block in _blocks(spool.contents(item, segments, in_turn=True)):
                ids = np.arange(ident, ident + len(block.heads))
                _add(table, block, ids, srs, multi=multi)
                found.add(ids, block.boxes)
                ident += len(ids)
            first = {roots["features"]: table.finish()}
            first |= _index(pages, found, summary, roots)
            pages.wait()
        for number, page in first.items():
            base[(number - 1) * PAGE : number * PAGE] = page
        struct.pack_into(">I", base, _PAGES, pages.next - 1)
        os.lseek(fd, 0, os.SEEK_SET)
        write_all(fd, base)
    return len(base), crc32(base), pages.crc


def _prepare(path: Path, plan: VectorPlan, summary: Summary) -> tuple[int, dict[str, int]]:
    """Say in an empty layer what it will hold; its id of the CRS, and where its tables begin."""
    name = plan.layer_name
    before = path.read_bytes()[_VERSION]
    box: list[float] | list[None] = summary.bbox or [None] * 4
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        if (size := db.execute("PRAGMA page_size").fetchone()[0]) != PAGE:
            raise SchemaError(f"OGR makes GeoPackages with pages of {size} bytes, not of {PAGE}")
        db.execute("BEGIN")
        db.execute(
            "UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ? "
            "WHERE table_name = ?",
            (*box, name),
        )
        db.execute(
            "UPDATE gpkg_ogr_contents SET feature_count = ? WHERE table_name = ?",
            (summary.out, name),
        )
        db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, summary.out))
        db.execute("COMMIT")
        srs, column = db.execute(
            "SELECT srs_id, column_name FROM gpkg_geometry_columns WHERE table_name = ?", (name,)
        ).fetchone()
        index = f"rtree_{name}_{column}"
        tables = {
            "features": name,
            "node": f"{index}_node",
            "rowid": f"{index}_rowid",
            "parent": f"{index}_parent",
        }
        roots = {
            use: int(
                db.execute(
                    "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)
                ).fetchone()[0]
            )
            for use, table in tables.items()
        }
    with path.open("r+b") as file:
        file.seek(_VERSION.start)
        file.write(before)
    return int(srs), roots


def _blocks(parts: Iterator[spool.Content]) -> Iterator[Records]:
    for part in parts:
        for piece in pieces.pieces_of(part):
            yield from records.blocks(memoryview(piece.data))


def _add(table: Table, block: Records, ids: NDArray[np.int64], srs: int, *, multi: bool) -> None:
    lengths = np.diff(block.starts)
    kinds, heads = block.kinds.astype(np.int64), block.heads.astype(np.int64)
    columns = (ids, block.starts[:-1], lengths, kinds, heads, block.boxes)
    rest = (block.data, srs, multi, np.empty(4))
    table.add(loops.features, int(lengths.max(initial=0)), columns, *rest)


def check(path: Path) -> None:
    """Let SQLite look at every page, and at whether R-tree and features agree.

    Raises:
        VerifyError: it finds a fault.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as db:
            said = [db.execute("PRAGMA integrity_check(1)").fetchone()[0]]
            trees = db.execute(
                "SELECT 'rtree_' || table_name || '_' || column_name FROM gpkg_extensions "
                "WHERE extension_name = 'gpkg_rtree_index'"
            ).fetchall()
            said += [db.execute("SELECT rtreecheck(?)", tree).fetchone()[0] for tree in trees]
    except sqlite3.Error as error:
        raise VerifyError(f"{path.name!r} cannot be read back: {error}") from error
    if faults := [text for text in said if text != "ok"]:
        raise VerifyError(f"{path.name!r} is damaged: {faults[0][:300]}")


# --- the R-tree --------------------------------------------------------------------------------


def _index(
    pages: Appended, found: _Boxes, summary: Summary, roots: dict[str, int]
) -> dict[int, bytes]:
    """Write the tables of the R-tree; the pages that they begin with, by number."""
    ids, sides = np.concatenate(found.ids), np.concatenate(found.sides)
    found.ids.clear()
    found.sides.clear()
    if not len(ids):
        return {}
    keys = np.empty(len(ids), np.uint32)
    extent = np.array(summary.bbox, np.float64)
    middles = np.ascontiguousarray(sides[:, [0, 2, 1, 3]], np.float64)
    loops.hilbert(middles, extent, keys)
    order = np.argsort(keys, kind="stable")
    ids, sides = ids[order], sides[order]
    levels = [len(ids)]
    while levels[-1] > 1 or len(levels) == 1:
        levels.append(-(-levels[-1] // _ENTRIES))
    nodes, parents, entries = Table(pages), Table(pages), Table(pages)
    # Nodes are numbered from the root down, so that those of a level follow one another.
    first = np.concatenate([[0], np.cumsum(levels[:0:-1])]) + 1
    below, made = ids, []
    for height, count in enumerate(levels[1:]):
        start = int(first[len(levels) - 2 - height])
        made.append(_nodes(below, sides, height if count == 1 else 0))
        cuts = np.arange(0, len(below), _ENTRIES)
        low = np.minimum.reduceat(sides[:, [0, 2]], cuts)
        high = np.maximum.reduceat(sides[:, [1, 3]], cuts)
        sides = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)
        below = np.arange(start, start + count)
    number = 1
    for level in reversed(made):
        numbers = np.arange(number, number + len(level))
        nodes.add(loops.blobs, _NODE + 8, (numbers, level))
        number += len(level)
    leaf = first[len(levels) - 2] + np.arange(len(ids)) // _ENTRIES
    by_id = np.argsort(ids, kind="stable")
    entries.add(loops.pairs, 8, (ids[by_id], leaf[by_id]))
    above = [
        first[depth] + np.arange(levels[len(levels) - 2 - depth]) // _ENTRIES
        for depth in range(len(levels) - 2)
    ]
    if above:
        leads = np.concatenate(above)
        parents.add(loops.pairs, 8, (np.arange(2, 2 + len(leads)), leads))
    return {
        roots["node"]: nodes.finish(),
        roots["rowid"]: entries.finish(),
        roots["parent"]: parents.finish(),
    }


def _nodes(ids: NDArray[np.int64], sides: NDArray[np.float32], depth: int) -> NDArray[np.uint8]:
    """Full nodes of these entries, the last with what is left; the root says its ``depth``."""
    count = -(-len(ids) // _ENTRIES)
    nodes = np.zeros((count, _NODE), np.uint8)
    filled = np.full(count, _ENTRIES, ">u2")
    filled[-1] = len(ids) - (count - 1) * _ENTRIES
    nodes[:, 1] = depth
    nodes[:, 2:4] = filled.view(np.uint8).reshape(count, 2)
    entries = np.zeros(count * _ENTRIES, _ENTRY)
    entries["id"][: len(ids)] = ids
    entries["sides"][: len(ids)] = sides
    nodes[:, 4 : 4 + _ENTRIES * _ENTRY.itemsize] = entries.view(np.uint8).reshape(count, -1)
    return nodes
