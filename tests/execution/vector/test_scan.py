"""Features read from the pages of a GeoPackage are those that OGR reads."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
import vectorjobs

from geobatch_tui.execution.vector import scan, source
from geobatch_tui.execution.vector.plan import FID, WKB, VectorPlan

MOST = 100, 20_000


def shapes(count, rng):
    """Of all sizes: some longer than a page, some than a batch; empty ones, with Z, and none."""
    made = []
    for n in range(count):
        center = rng.uniform(-80, 80, 2)
        if n % 50 == 7:
            made.append(None)
        elif n % 50 == 8:
            made.append(shapely.Polygon())
        elif n % 3 == 0:
            made.append(shapely.Point(*center, *([5] if n % 2 else [])))
        else:
            made.append(shapely.Point(center).buffer(1, quad_segs=int(rng.choice([1, 30, 400]))))
    return made


def write(path, count=400, *, page=4096):
    """A layer with whole numbers of all widths, real ones, texts, and nulls in all of them."""
    rng = np.random.default_rng(page + count)
    wide = rng.integers(-(2**62), 2**62, count) >> rng.integers(0, 62, count)
    frame = gpd.GeoDataFrame(
        {
            "wide": with_nulls(wide, rng),
            "whole": np.where(rng.random(count) < 0.5, 3.0, rng.normal(size=count)),
            "text": [None if n % 9 == 0 else "é\u6f22x" * (n % 40) for n in range(count)],
            "small": (wide % 30_000).astype("int32"),
        },
        geometry=shapes(count, rng),
        crs=4326,
    )
    frame.to_file(path, driver="GPKG", layer="it's", engine="pyogrio", SPATIAL_INDEX="NO")
    change(path, f"PRAGMA page_size = {page}", "PRAGMA journal_mode = DELETE", "VACUUM")
    return path


def with_nulls(values, rng):
    return pd.array([None if rng.random() < 0.1 else int(value) for value in values], "Int64")


def change(path, *commands):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for command in commands:
            db.execute(command)


def planned(path):
    return VectorPlan.from_json(vectorjobs.probe("vector.convert", path).detail)


def both(path, low=0, high=10_000):
    """Rows by this way, and by OGR's; and from where on this way left them to OGR."""
    plan = planned(path)
    schema = source.schema_of(plan)
    table = scan.table_of(str(path), plan, schema)
    if table is None:
        return None, None, low
    found, reading = [], scan.batches(str(path), table, schema, (low, high), MOST)
    while True:
        try:
            found.append(next(reading))
        except StopIteration as stop:
            where = source._fid_range(plan, low, high)
            rest = list(source.open_stream(str(path), plan, where=where))
            full = schema.append(pa.field(FID, pa.int64())).append(pa.field(WKB, pa.binary()))
            for batch in found:
                assert batch.num_rows == 1 or batch.column(WKB).nbytes < 2 * MOST[1]
            return (
                pa.Table.from_batches(found, full), pa.Table.from_batches(rest, full), stop.value
            )  # fmt: skip


@pytest.mark.parametrize("page", [512, 1024, 4096, 65536])
def test_pages_of_any_size(tmp_path, page):
    ours, theirs, end = both(write(tmp_path / "a.gpkg", page=page))
    ours.validate(full=True)
    assert ours.equals(theirs)
    assert ours.num_rows == 400
    assert end == 10_000


@pytest.mark.parametrize(("low", "high"), [(1, 2), (57, 311), (390, 900), (401, 500), (0, 1)])
def test_ranges(tmp_path, low, high):
    ours, theirs, end = both(write(tmp_path / "a.gpkg"), low, high)
    assert ours.equals(theirs)
    assert end == high


def test_what_others_have_done_to_a_table(tmp_path):
    """Rows deleted, changed and with other ids; columns added: rows from before have none."""
    path = write(tmp_path / "a.gpkg")
    change(
        path,
        'DELETE FROM "it\'s" WHERE fid % 7 = 3 OR fid BETWEEN 100 AND 220',
        'UPDATE "it\'s" SET text = text || text WHERE fid % 5 = 1',
        'ALTER TABLE "it\'s" ADD COLUMN late INTEGER',
        'UPDATE "it\'s" SET late = fid WHERE fid > 300',
    )
    ours, theirs, end = both(path)
    assert ours.equals(theirs)
    assert 0 < ours["late"].null_count < ours.num_rows
    assert end == 10_000


ODD = {
    "a text in a column of numbers": "UPDATE \"it's\" SET wide = 'seven' WHERE fid = 50",
    "too large a number": 'UPDATE "it\'s" SET small = 4000000000 WHERE fid = 50',
    "bytes that are no text": "UPDATE \"it's\" SET text = CAST(x'ff' AS TEXT) WHERE fid = 50",
    "a zero in a text": "UPDATE \"it's\" SET text = CAST(x'610062' AS TEXT) WHERE fid = 50",
    "a geometry of another kind": "UPDATE \"it's\" SET geom = x'0001020304050607' WHERE fid = 50",
}


@pytest.mark.parametrize("command", ODD.values(), ids=ODD)
def test_from_an_odd_row_on_it_is_left_to_ogr(tmp_path, command):
    path = write(tmp_path / "a.gpkg")
    change(path, command)
    ours, theirs, end = both(path)
    assert end <= 50
    assert ours.equals(theirs.slice(0, ours.num_rows))
    assert (ours[FID].to_numpy() < end).all()


UNSUITED = {
    "defaults": 'ALTER TABLE "it\'s" ADD COLUMN late INTEGER DEFAULT 7',
    "computed": 'ALTER TABLE "it\'s" ADD COLUMN late INTEGER AS (fid + 1)',
    "dates": 'ALTER TABLE "it\'s" ADD COLUMN day DATE',
}


@pytest.mark.parametrize("command", UNSUITED.values(), ids=UNSUITED)
def test_tables_that_are_left_to_ogr(tmp_path, command):
    path = write(tmp_path / "a.gpkg")
    change(path, command)
    plan = planned(path)
    assert scan.table_of(str(path), plan, source.schema_of(plan)) is None


def test_what_is_still_in_a_log_is_left_to_sqlite(tmp_path):
    path = write(tmp_path / "a.gpkg")
    plan = planned(path)
    schema = source.schema_of(plan)
    assert scan.table_of(str(path), plan, schema) is not None
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("UPDATE \"it's\" SET text = 'new' WHERE fid = 1")
    assert scan.table_of(str(path), plan, schema) is None
    db.close()
    assert scan.table_of(str(path), plan, schema) is not None


def test_damaged_pages_end_the_reading(tmp_path):
    """Whatever the bytes are: no read beyond a buffer, no endless loop, no invalid array."""
    path = write(tmp_path / "a.gpkg", 120, page=1024)
    plan = planned(path)
    schema = source.schema_of(plan)
    table = scan.table_of(str(path), plan, schema)
    whole, rng = path.read_bytes(), np.random.default_rng(5)
    copy = tmp_path / "b.gpkg"
    shutil.copyfile(path, copy)
    ended = 0
    for turn in range(300):
        data = bytearray(whole)
        at = rng.integers(1024, len(data), 400)
        if turn % 2:
            # Heads of pages and cells are what leads astray.
            at += rng.integers(0, 24, 400) - at % 1024
        for place in at.tolist():
            data[place] = int(rng.integers(256))
        copy.write_bytes(data)
        reading = scan.batches(str(copy), table, schema, (0, 10_000), MOST)
        try:
            while True:
                next(reading).validate(full=True)
        except StopIteration as stop:
            ended += stop.value < 10_000
    assert ended > 100
