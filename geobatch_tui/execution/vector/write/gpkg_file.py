"""GeoPackage, put together from the records of chunks: pages of SQLite after those of OGR.

OGR makes an empty layer with all that belongs to it. Features are written as pages behind it, in
the order of the source, and so is the R-tree (see ``gpkg_rtree``); then the roots of these tables
lead to their pages.

Measured for 655,000 polygons (1.1 GB) on two cores: chunks 6.2 s, then 2.9 s from here to the
published file, with its digest and SQLite's own check. OGR, fed the same features in Arrow batches
with ``SYNCHRONOUS=OFF``, takes 3.3 s to write them before any of that, in one thread.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError, VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import disk_errors, write_all
from geobatch_tui.execution.io.part_file import new_file
from geobatch_tui.execution.io.write_behind import Written
from geobatch_tui.execution.vector.kernels import feature_loops
from geobatch_tui.execution.vector.kernels.sqlite_pages import PAGE
from geobatch_tui.execution.vector.spool import pieces, records
from geobatch_tui.execution.vector.write import gpkg_rtree, ogr_file
from geobatch_tui.execution.vector.write.gpkg_tables import Appended, RowIds, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.spool.records import Records
    from geobatch_tui.execution.vector.spool.segment import Finished

#: Where the head of an SQLite file says how many pages it has, and which version wrote it.
_PAGES, _VERSION = 28, slice(96, 100)


def write(done: Finished, path: Path, scratch: Path) -> Written:
    """Write the part file."""
    made, plan, summary = scratch / "template.gpkg", done.plan, done.summary
    _, multi = ogr_file.layer_kind(done)
    with disk_errors("cannot write", made):
        made.write_bytes(ogr_file.template(done))
    # Of the source; empty: features are numbered.
    ends = (plan.id_is_key and summary.ids) or []
    srs, roots = _prepare(made, done, max((ends or [summary.out])[-1], 0))
    base = bytearray(made.read_bytes())
    boxes = gpkg_rtree.Boxes(summary.bbox, scratch / "boxes")
    ids = RowIds(ends, summary.out, scratch / "ids")
    with boxes.rows, new_file(path, later=True) as fd, disk_errors("cannot write", path):
        with Appended(fd, len(base) // PAGE) as pages:
            table = Table(pages)
            for piece in pieces.pieces_of(done.contents(in_turn=True, last=True)):
                for block in records.blocks(memoryview(piece.data)):
                    numbers = ids.next_ids(block.ids, len(block.heads))
                    _add(table, block, numbers, srs, multi=multi)
                    boxes.add(block.boxes)
            first = {roots["features"]: table.finish()}
            first |= gpkg_rtree.write(pages, boxes, ids, roots)
            pages.wait()
        for number, page in first.items():
            base[(number - 1) * PAGE : number * PAGE] = page
        struct.pack_into(">I", base, _PAGES, pages.next - 1)
        os.lseek(fd, 0, os.SEEK_SET)
        write_all(fd, base)
    return Written((len(base),), (crc32(base), pages.crc))


def _add(table: Table, block: Records, ids: NDArray[np.int64], srs: int, *, multi: bool) -> None:
    lengths = np.diff(block.starts)
    kinds, heads = block.kinds.astype(np.int64), block.heads.astype(np.int64)
    columns = (ids, block.starts[:-1], lengths, kinds, heads, block.boxes)
    rest = (block.data, srs, multi, np.empty(4))
    table.add(feature_loops.features, int(lengths.max(initial=0)), columns, *rest)


def _prepare(path: Path, done: Finished, last: int) -> tuple[int, dict[str, int]]:
    """Enter in an empty layer what it will hold, up to the id ``last``; return its id of the CRS,
    and the pages that its tables begin with."""
    name, summary = done.plan.layer_name, done.summary
    box: list[float] | list[None] = summary.bbox or [None] * 4
    with _changed(path) as db:
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
        db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, last))
        _set_dimensions(db, name, summary.types)
        db.execute("COMMIT")
        srs, column = db.execute(
            "SELECT srs_id, column_name FROM gpkg_geometry_columns WHERE table_name = ?", (name,)
        ).fetchone()
        pages = dict(db.execute("SELECT name, rootpage FROM sqlite_schema"))
    tree = {use: pages[f"rtree_{name}_{column}_{use}"] for use in ("node", "rowid", "parent")}
    return srs, {"features": pages[name], **tree}


def set_dimensions(path: Path, done: Finished) -> None:
    """Enter in a GeoPackage of OGR's whether its geometries have Z and M: all, some or none. OGR
    says what the type of the layer has, not what the geometries have."""
    with _changed(path) as db:
        _set_dimensions(db, done.plan.layer_name, done.summary.types)


#: What a GeoPackage says of Z, and of M.
_PROHIBITED, _MANDATORY, _OPTIONAL = range(3)


def _set_dimensions(db: sqlite3.Connection, name: str, kinds: Sequence[int]) -> None:
    have_z, have_m = ({kind // step % 2 == 1 for kind in kinds} for step in (1000, 2000))
    # Of a layer of several types OGR makes one of type "3D Unknown", which pyogrio does not open.
    mixed = ogr_file.layer_type(kinds)[0].startswith("Unknown")
    marks = [
        _PROHIBITED if True not in have else _OPTIONAL if mixed or False in have else _MANDATORY
        for have in (have_z, have_m)
    ]
    db.execute("UPDATE gpkg_geometry_columns SET z = ?, m = ? WHERE table_name = ?", (*marks, name))


@contextmanager
def _changed(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a GeoPackage to change it: not on the disk when it is closed. It keeps the version of
    the SQLite that wrote it, which is OGR's."""
    with path.open("r+b") as file:
        before = file.read(_VERSION.stop)[_VERSION]
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = OFF")
            yield db
        file.seek(_VERSION.start)
        file.write(before)


def _opened(path: Path) -> sqlite3.Connection:
    """Open a GeoPackage that nobody changes."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


#: What a layer consists of beside its features.
_ENTRIES = (
    "SELECT type, name, tbl_name, sql FROM sqlite_schema",
    "SELECT table_name, column_name, extension_name FROM gpkg_extensions",
    "SELECT srs_id, definition FROM gpkg_spatial_ref_sys",
    "SELECT table_name, data_type, srs_id FROM gpkg_contents",
)


def compare(path: Path, template: bytes) -> None:
    """Raise VerifyError where tables, triggers and entries of a GeoPackage that OGR wrote to a disk
    differ from those of one that it wrote to memory: those that a disk refuses OGR leaves out, and
    reports success."""
    with closing(_opened(path)) as made, closing(sqlite3.connect(":memory:")) as wanted:
        wanted.deserialize(template)
        for what in _ENTRIES:
            found, expected = (set(db.execute(what)) for db in (made, wanted))
            if missing := sorted(map(str, expected ^ found)):
                raise VerifyError(
                    f"{path.name!r} is not complete: OGR could not write all of it "
                    f"({missing[0][:200]})"
                )


def check(path: Path) -> None:
    """Raise VerifyError where SQLite finds a fault in any page, or R-tree and features differ."""
    try:
        with closing(_opened(path)) as db:
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
