"""Geometries that OGR cannot read, and gives as none without a word: each is set aside."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from contextlib import closing

import geopandas as gpd
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.formats.lost_geometries import NO_GEOMETRY
from geobatch_tui.execution.vector.formats.shapefile import shapefile

EMPTY = [shapely.Polygon(), None]


def _cut(tmp_path):
    """A Shapefile whose last shapes are not in the file; the first is null."""
    frame = vectordata.layer(20)[["whole", "geometry"]]
    frame.loc[0, "geometry"] = None
    source = vectordata.write(frame, tmp_path / "s.shp")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    return source


def _packed(source):
    """A file and those beside it, in an archive of their own."""
    packed = source.parent / "packed" / "s.zip"
    packed.parent.mkdir()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in source.parent.glob(f"{source.stem}.*"):
            archive.write(one, f"a folder/{one.name}")
    return packed


def _delete(source, number):
    table = source.with_suffix(".dbf")
    data = bytearray(table.read_bytes())
    start, length = int.from_bytes(data[8:10], "little"), int.from_bytes(data[10:12], "little")
    data[start + number * length] = ord("*")
    table.write_bytes(data)


@pytest.mark.parametrize("how", ["window", "deleted", "where", "bounds"])
def test_a_shapefile_that_is_cut_off(how, tmp_path):
    """Case 46: its attributes are all there, and were published without their shapes."""
    source = _cut(tmp_path)
    params = {
        "where": {"where": f"whole <> {2**40 + 1}"},
        "bounds": {"bounds": [-180, -90, 180, 90]},
    }
    if how == "deleted":
        _delete(source, 1)
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", params=params.get(how), features=6
    )
    assert done.plan.notes["access"] == ("drain" if how in {"deleted", "where"} else "window")
    here = list(range(14))
    if how in {"deleted", "where"}:
        here.remove(1)
    if how == "bounds":  # a feature without a shape touches nothing
        here.remove(0)
    fids = [letter.fid for letter in done.letters]
    assert {letter.reason for letter in done.letters} == {NO_GEOMETRY}
    made = vectordata.read(done.path)
    assert (made.whole - 2**40).tolist() == [n for n in here if n not in fids]
    assert fids == list(range(min(fids), 20))
    assert made.geometry.isna().tolist() == [
        n == 0 and how != "bounds" for n in here if n not in fids
    ]


def test_an_index_of_shapes_is_not_read_for_each_batch(tmp_path):
    """A few places of it are looked at, however long it is."""
    source = vectordata.write(vectordata.layer(20)[["whole", "geometry"]], tmp_path / "s.shp")
    with source.with_suffix(".shx").open("r+b") as index:
        index.truncate(2**40)
    found = shapefile.with_points(str(source), [3, 19, 2**30, 2**38])
    assert list(found) == [3, 19]


def test_empty_shapes_are_no_broken_ones(tmp_path):
    """Null and without points, of all kinds of shapes: as in the file."""
    for n, kind in enumerate([shapely.box(0, 0, 1, 1), shapely.MultiPoint([(1, 1)])]):
        frame = gpd.GeoDataFrame({"n": range(3)}, geometry=[kind, *EMPTY], crs=4326)
        (tmp_path / str(n)).mkdir()
        source = vectordata.write(frame, tmp_path / str(n) / "s.shp")
        done = vectorjobs.run("vector.convert", source, tmp_path / f"out{n}")
        assert done.receipt.facts["features_out"] == 3
        assert not done.letters


def _junk(tmp_path):
    """A GeoPackage with values that are no geometries: in features 3 and 11, 12 is empty."""
    frame = vectordata.layer(20)[["whole", "geometry"]]
    frame.loc[[5, 6], "geometry"] = EMPTY
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    with closing(sqlite3.connect(source)) as db:
        triggers = db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("UPDATE s SET geom = 'junk' WHERE fid = 3")
        db.execute("UPDATE s SET geom = x'00' WHERE fid = 11")
        db.execute("UPDATE s SET geom = x'' WHERE fid = 12")
        db.commit()
    return source


def _text(tmp_path):
    """GeoJSON whose second feature has junk for coordinates."""
    shapes = [{"type": "Point", "coordinates": each} for each in ([1, 2], [None, 0], [3, 4])]
    features = [{"type": "Feature", "properties": {"whole": 1}, "geometry": one} for one in shapes]
    source = tmp_path / "s.geojson"
    source.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return source


@pytest.mark.parametrize("suffix", [".shp", ".SHP"])
@pytest.mark.parametrize("where", ["", "whole > 0"])
def test_a_packed_shapefile_that_is_cut_off(where, suffix, tmp_path):
    """As one that is not packed, and nothing stays unpacked."""
    source = _cut(tmp_path)
    if suffix != source.suffix:
        for one in list(source.parent.glob("s.*")):
            one.rename(one.with_suffix(one.suffix.upper()))
        source = source.with_suffix(suffix)
    run = {"params": {"where": where}, "features": 6}
    plain = vectorjobs.run("vector.convert", source, tmp_path / "a", **run)
    done = vectorjobs.run("vector.convert", _packed(source), tmp_path / "b", **run)
    told = [(letter.fid, letter.reason) for letter in done.letters]
    assert told == [(letter.fid, letter.reason) for letter in plain.letters]
    assert told[-1] == (19, NO_GEOMETRY)
    assert done.path.read_bytes() == plain.path.read_bytes()
    assert not list(tmp_path.rglob("unpacked-*"))


@pytest.mark.parametrize("broken", [_junk, _text])
def test_packed_geometries_that_are_none(broken, tmp_path):
    """Each is set aside, as from the file itself."""
    source = broken(tmp_path)
    done = vectorjobs.run("vector.convert", _packed(source), tmp_path / "out", features=8)
    assert done.plan.notes["access"] == "drain"
    fids = {"s.gpkg": [3, 11], "s.geojson": [1]}[source.name]
    assert [(one.fid, one.reason) for one in done.letters] == [(fid, NO_GEOMETRY) for fid in fids]


def test_a_packed_text_that_goes_on_after_its_feature(tmp_path):
    """OGR reads the first value only: the others would be missing without a word."""
    source = tmp_path / "s.geojson"
    source.write_text('{"type":"Feature","properties":{},"geometry":null}\n["no feature"]\n')
    with pytest.raises(CorruptSourceError, match="goes on after its first feature"):
        vectorjobs.probe("vector.convert", _packed(source))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("broken", [_cut, _junk, _text])
def test_a_mask_that_is_broken_is_refused(broken, packed, tmp_path):
    """Features would be chosen by what is left of it."""
    mask = broken(tmp_path)
    mask = _packed(mask) if packed else mask
    source = vectordata.write(vectordata.layer(20), tmp_path / "t.gpkg")
    params = {"mask": str(mask), "predicate": "disjoint"}
    with pytest.raises(CorruptSourceError, match="cannot read all of its features"):
        vectorjobs.run("vector.filter", source, tmp_path / "out", params=params)


@pytest.mark.parametrize("where", ["", "whole > 0"])
def test_values_of_a_geopackage_that_are_no_geometries(where, tmp_path):
    """Case 46: what is neither null nor empty, and is no geometry; it can be put back."""
    source = _junk(tmp_path)
    params = {"where": where}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params, features=8)
    assert [(one.fid, one.reason) for one in done.letters] == [(3, NO_GEOMETRY), (11, NO_GEOMETRY)]
    assert done.receipt.facts["features_out"] == 18
    place = tmp_path / "again" / ".geobatch" / "replaced" / "s.parquet"
    place.mkdir(parents=True)
    mended = gpd.GeoDataFrame({"geobatch_fid": [3]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    vectordata.write(mended, place / "r.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "again", params=params, features=8)
    assert [one.fid for one in done.letters] == [11]


@pytest.mark.parametrize("spatialite", ["NO", "YES"])
def test_values_of_other_databases_that_are_no_geometries(spatialite, tmp_path):
    """Of plain SQLite, and as SpatiaLite writes it; empty ones are no broken ones."""
    frame = vectordata.layer(9)[["whole", "geometry"]]
    frame.loc[[5, 6], "geometry"] = EMPTY
    source = tmp_path / "s.sqlite"
    pyogrio.write_dataframe(
        frame, source, driver="SQLite", geometry_type="Unknown", SPATIALITE=spatialite
    )
    with closing(sqlite3.connect(source)) as db:
        for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("UPDATE s SET geometry = 'junk' WHERE ogc_fid = 3")
        db.execute("UPDATE s SET geometry = x'' WHERE ogc_fid = 4")
        db.commit()
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=2)
    assert done.plan.notes["driver"] == "SQLite"
    assert [(one.fid, one.reason) for one in done.letters] == [(3, NO_GEOMETRY)]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("columns", [None, [], ["n"]])
def test_text_of_a_csv_file_that_is_no_geometry(columns, packed, tmp_path):
    """Case 46: whichever columns are asked for."""
    source = tmp_path / "s.csv"
    source.write_text('WKT,n\n"POINT (1 2)",0\n"POINT (1 ",1\njunk,2\n,3\n"POINT EMPTY",4\n')
    options = {"src_crs": "EPSG:4326"}
    done = vectorjobs.run(
        "vector.convert",
        _packed(source) if packed else source,
        tmp_path / "out",
        params={"columns": columns},
        options=options,
        features=2,
    )
    assert [(one.position, one.reason) for one in done.letters] == [
        (1, NO_GEOMETRY),
        (2, NO_GEOMETRY),
    ]
    assert done.receipt.facts["features_out"] == 3


def test_a_shape_that_is_too_short_for_its_type(tmp_path):
    """Case 46: what stands behind it is another's."""
    frame = gpd.GeoDataFrame(geometry=shapely.points([(n, 0) for n in range(3)]), crs=4326)
    source = vectordata.write(frame, tmp_path / "s.shp")
    raw = bytearray(source.read_bytes())
    raw[108] = 3  # a line, of which a point is no more than the start
    source.write_bytes(raw)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert [(one.position, one.reason) for one in done.letters] == [(0, NO_GEOMETRY)]


@pytest.mark.parametrize("suffix", [".csv", ".CSV"])
def test_text_of_a_csv_file_whose_types_say_which_field_is_the_geometry(suffix, tmp_path):
    """Case 46: whatever its name."""
    source = tmp_path / f"s{suffix}"
    source.write_text('n,shape\n0,"POINT (1 2)"\n1,"POINT (1 "\n2,\n')
    source.with_suffix(".csvt").write_text("Integer,WKT\n")
    options = {"src_crs": "EPSG:4326"}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", options=options)
    assert [(one.position, one.reason) for one in done.letters] == [(1, NO_GEOMETRY)]
    assert done.receipt.facts["features_out"] == 2
