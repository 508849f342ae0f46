"""GeoPackage that is put together here: SQLite finds no fault with it, OGR what was written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from io import BytesIO

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs
from geopandas.testing import assert_geodataframe_equal

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.vector.kernels import feature_loops, sqlite_pages
from geobatch_tui.execution.vector.spool import records
from geobatch_tui.execution.vector.write import gpkg_file, gpkg_rtree, ogr_file
from geobatch_tui.execution.vector.write.gpkg_tables import Appended, Table


def ask(path, *queries):
    """The first row of each query."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [db.execute(query).fetchone() for query in queries]


def convert(frame, tmp_path, **more):
    """``frame`` through `vector.convert` into a GeoPackage; the file."""
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    return vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG", **more).path


@pytest.mark.parametrize(
    ("count", "text"), [(1, ""), (51, ""), (52, ""), (53, ""), (3000, "x" * 1000)]
)
def test_sqlite_finds_no_fault(tmp_path, count, text):
    """Pages of a table, of one to three levels, as those of the R-tree; ids; a search finds what is
    there."""
    frame = vectordata.layer(count).assign(text=text)
    made = convert(frame, tmp_path, features=1700)
    whole, tree, extent, rows, noted = ask(
        made,
        "PRAGMA integrity_check",
        "SELECT rtreecheck('rtree_s_geom')",
        "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents",
        "SELECT min(fid), max(fid), count(*) FROM s",
        "SELECT feature_count, seq FROM gpkg_ogr_contents, sqlite_sequence",
    )
    assert (whole, tree) == (("ok",), ("ok",))
    assert extent == tuple(frame.total_bounds)
    assert rows == (1, count, count)
    assert noted == (count, count)
    source = tmp_path / "s.gpkg"
    assert_geodataframe_equal(pyogrio.read_dataframe(made), pyogrio.read_dataframe(source))
    for box in ((5, 45, 6, 46), (9.5, 49.5, 9.6, 49.6), (0, 0, 1, 1)):
        found = pyogrio.read_dataframe(made, bbox=box)
        there = frame[frame.intersects(shapely.box(*box))]
        assert sorted(found.whole) == sorted(there.whole)


@pytest.mark.parametrize("part", ["_nodes", "_add"])
def test_a_faulty_file_is_not_published(part, tmp_path, monkeypatch):
    """SQLite looks at what was written: a box too small in the R-tree, features out of order."""
    module = gpkg_rtree if part == "_nodes" else gpkg_file
    whole = getattr(module, part)

    def faulty(*given, **more):
        if part == "_add":
            return whole(*given[:2], given[2][::-1].copy(), *given[3:], **more)
        made = whole(*given, **more)
        made[0, 12:16] = made[0, 16:20]
        return made

    monkeypatch.setattr(module, part, faulty)
    with pytest.raises(VerifyError, match="is damaged"):
        convert(vectordata.layer(300), tmp_path)
    assert not list((tmp_path / "out").glob("*.gpkg"))


@pytest.mark.parametrize(
    "lost",
    [
        "DROP TRIGGER trigger_insert_feature_count_s",
        "DELETE FROM gpkg_extensions",
        "DELETE FROM gpkg_spatial_ref_sys WHERE srs_id = -1",
    ],
)
def test_what_ogr_leaves_out_is_missed(lost, tmp_path, monkeypatch):
    """Where the disk refuses a page, OGR goes on without what was to be there, and reports success:
    of a layer that OGR writes."""
    whole = gpkg_file.set_dimensions

    def losing(path, *more):
        whole(path, *more)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(lost)

    monkeypatch.setattr(records, "taken", lambda _: False)
    assert ask(convert(vectordata.layer(20), tmp_path), "SELECT count(*) FROM s") == [(20,)]
    monkeypatch.setattr(gpkg_file, "set_dimensions", losing)
    with pytest.raises(VerifyError, match="not complete"):
        convert(vectordata.layer(20), tmp_path)


@pytest.mark.parametrize("form", ["GPKG", "FlatGeobuf"])
def test_ogr_writes_an_empty_layer_to_memory(form, tmp_path, monkeypatch):
    """Of a disk that fails it would tell nobody."""
    targets = []
    whole = ogr_file.write_stream

    def watched(target, *given, **how):
        targets.append(target)
        whole(target, *given, **how)

    monkeypatch.setattr(ogr_file, "write_stream", watched)
    source = vectordata.write(vectordata.layer(20), tmp_path / "s.gpkg")
    vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    assert [type(target) for target in targets] == [BytesIO]


def test_the_same_layer_can_be_written_to(tmp_path):
    """By OGR: features are added, changed and taken away, and the index follows."""
    frame = vectordata.layer(200)
    made = convert(frame, tmp_path)
    pyogrio.write_dataframe(frame, made, layer="s", append=True)
    assert len(pyogrio.read_dataframe(made)) == 400
    assert len(pyogrio.read_dataframe(made, bbox=(5, 45, 15, 55))) == 400
    assert ask(made, "PRAGMA integrity_check", "SELECT rtreecheck('rtree_s_geom')") == [
        ("ok",),
        ("ok",),
    ]


def test_rows_of_all_sizes(tmp_path):
    """Within a leaf, just over it, and over many pages; each number in its least width."""
    sizes = [0, 1, 3800, 3900, *range(3960, 4070), 4090, 4500, 8000, 8190, 12_300, 1_000_000, 5]
    powers = [1, 7, 8, 15, 16, 23, 24, 31, 32, 47, 48, 62]
    numbers = [0, -1, *(s * (2**p + d) for p in powers for s in (1, -1) for d in (-1, 0))]
    count = len(sizes)
    frame = gpd.GeoDataFrame(
        {
            "text": ["x" * size for size in sizes],
            "number": np.resize(np.array(numbers, np.int64), count),
            "real": np.linspace(-1e9, 1e9, count),
            "yes": np.arange(count) % 2 == 0,
        },
        geometry=gpd.points_from_xy(np.arange(count), np.arange(count)),
        crs=3857,
    )
    frame.loc[3, "text"] = None
    made = convert(frame, tmp_path, features=500)
    assert ask(made, "PRAGMA integrity_check") == [("ok",)]
    assert_geodataframe_equal(pyogrio.read_dataframe(made), frame)


def test_geometries_of_all_kinds(tmp_path):
    """Null, empty, with Z, of several types: as they were, and as OGR writes them."""
    texts = [
        "POINT (1 2)",
        "POINT EMPTY",
        "LINESTRING (0 0, 1 1)",
        "POLYGON EMPTY",
        "MULTIPOINT (1 1, 2 2)",
        "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 3 3))",
        "POLYGON Z ((0 0 1, 1 0 2, 1 1 3, 0 0 1))",
        "POINT Z (1 2 3)",
    ]
    shapes = [*(shapely.from_wkt(text) for text in texts), None]
    frame = gpd.GeoDataFrame({"n": np.arange(len(shapes))}, geometry=shapes, crs=4326)
    source = tmp_path / "s.gpkg"
    pyogrio.write_dataframe(frame, source, geometry_type="Unknown")
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG").path
    assert ask(made, "PRAGMA integrity_check") == [("ok",)]
    found = pyogrio.read_dataframe(made)
    assert [shape and shape.wkt for shape in found.geometry] == [
        shape and shape.wkt for shape in pyogrio.read_dataframe(source).geometry
    ]
    with closing(sqlite3.connect(source)) as theirs, closing(sqlite3.connect(made)) as ours:
        query = "SELECT n, geom FROM s ORDER BY n"
        for (n, one), (_, other) in zip(theirs.execute(query), ours.execute(query), strict=True):
            flat = n != 6  # OGR keeps the range of heights, too
            assert one == other if flat else (one[8:40], one[-80:]) == (other[8:40], other[-80:])


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["POINT (1 2)", "POINT (5 5)"], ("POINT", 0, 0)),
        (["POINT Z (1 2 3)", "POINT Z (5 5 5)"], ("POINT", 1, 0)),
        (["POINT Z (1 2 3)", "POINT (5 5)"], ("POINT", 2, 0)),
        (["POINT Z (1 2 3)", "LINESTRING (0 0, 1 1)"], ("GEOMETRY", 2, 0)),
        (["POINT Z (1 2 3)", "LINESTRING Z (0 0 1, 1 1 2)"], ("GEOMETRY", 2, 0)),
    ],
)
@pytest.mark.parametrize("field", ["number", "moment"])
def test_whether_geometries_have_z_is_told(texts, told, field, tmp_path):
    """Of all, of none or of some of them; also where OGR writes the features."""
    values = {"number": [1, 2], "moment": pd.to_datetime(["2024-01-01", "2025-02-02"], utc=True)}
    frame = gpd.GeoDataFrame(
        {field: values[field]}, geometry=[shapely.from_wkt(text) for text in texts], crs=4326
    )
    source = tmp_path / "s.parquet"
    frame.to_parquet(source)
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG").path
    query = "SELECT geometry_type_name, z, m FROM gpkg_geometry_columns"
    assert ask(made, query, "PRAGMA integrity_check") == [told, ("ok",)]
    assert [one.wkt for one in pyogrio.read_dataframe(made).geometry] == texts


def test_single_and_multi_polygons(tmp_path):
    """All become multi polygons, as the layer says."""
    frame = vectordata.layer(100)
    frame.loc[50:, "geometry"] = [shapely.multipolygons([s]) for s in frame.geometry[50:]]
    source = vectordata.write(frame, tmp_path / "s.fgb", geometry_type="Unknown")
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG").path
    found = pyogrio.read_dataframe(made).sort_values("whole")
    assert pyogrio.read_info(made)["geometry_type"] == "MultiPolygon"
    assert set(found.geom_type) == {"MultiPolygon"}
    assert ask(made, "PRAGMA integrity_check") == [("ok",)]
    areas = shapely.area(frame.sort_values("whole").geometry.to_numpy())
    assert np.array_equal(shapely.area(found.geometry.to_numpy()), areas)


def test_a_table_over_the_page_that_sqlite_locks(tmp_path, monkeypatch):
    """The page at 1 GiB stays empty, in leaves and in the pages of a long row. The file is sparse."""
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA page_size = 4096")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data)")
    before = sqlite_pages.LOCKED - 4
    base = bytearray(path.read_bytes())
    with path.open("r+b") as file:
        with Appended(file.fileno(), before) as pages:
            table = Table(pages)
            values = np.arange(10 * 900, dtype=np.uint8).reshape(10, 900)
            table.add(feature_loops.blobs, 908, (np.arange(1, 11), values))
            long = np.arange(9000, dtype=np.uint8).reshape(1, 9000)
            table.add(feature_loops.blobs, 9008, (np.array([11]), long))
            base[4096:8192] = table.finish()
            pages.wait()
        base[28:32] = (pages.next - 1).to_bytes(4, "big")
        file.seek(0)
        file.write(base)
    assert pages.next > sqlite_pages.LOCKED + 2
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT id, data FROM t ORDER BY id").fetchall()
    assert [row[0] for row in rows] == list(range(1, 12))
    assert rows[9][1] == values[9].tobytes()
    assert rows[10][1] == long.tobytes()
