"""Shapefile: what it loses is said and must be allowed; the set of files is one archive."""

from __future__ import annotations

import zipfile

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.errors import PreflightError, SchemaError, VerifyError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.looking import InspectTask
from geobatch_tui.execution.protocol.messages import Chunking, ProbeTask
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip


def convert(source, out, **more):
    """The item of `vector.convert` to a Shapefile."""
    return vectorjobs.run("vector.convert", source, out, form="Shapefile", **more)


def test_what_would_be_lost_is_named_and_refused(tmp_path):
    """Case 51: by the plan, as a whole; where it is allowed, the plan lists it."""
    frame = vectordata.layer(9)
    frame["population_2020"], frame["population_2021"] = 1, 2
    frame["seen"] = pd.Timestamp("2020-01-01T01:02:03")
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    output = {"format": "Shapefile", "creation": {}}
    operation = get_operation("vector.convert")
    params = operation.params().model_dump(mode="json")
    task = ProbeTask(
        0, "s.shp.zip", str(source), {}, "vector.convert", params, output, Chunking(0, 0, 0, 0)
    )
    with pytest.raises(PreflightError) as refused:
        operation.probe(task, vectorjobs.stage)
    assert "allow_lossy" in refused.value.hint
    told = "; ".join(vectorjobs.probe("vector.convert", source, form="Shapefile").warnings)
    for text in (str(refused.value), told):
        assert "'population_2020' becomes 'population'" in text
        assert "'population_2021' becomes 'populati_1'" in text
        assert "254 bytes" in text
        assert "moments" in text
        assert "2 GB" in text
    made = pyogrio.read_dataframe(convert(source, tmp_path / "out").path)
    assert made.populati_1.tolist() == [2] * 9
    assert made.seen.tolist() == ["2020-01-01T01:02:03Z"] * 9


def test_the_files_of_a_set_are_one_archive(tmp_path):
    """The same bytes for any chunks; read back by OGR as what went in."""
    frame = vectordata.layer(300)
    frame.loc[3, "name"] = "x" * 253 + "ä"
    frame.loc[7, "geometry"] = None
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    one, other = (convert(source, tmp_path / str(n), features=n) for n in (0, 70))
    assert one.path.read_bytes() == other.path.read_bytes()
    assert one.path.name == "s.shp.zip"
    with zipfile.ZipFile(one.path) as archive:
        assert archive.namelist() == ["s.shp", "s.shx", "s.dbf", "s.prj", "s.cpg"]
    assert one.receipt.facts["text_cut"] == 1
    made = pyogrio.read_dataframe(one.path)
    assert made.name[3] == "x" * 253
    for name in ("whole", "day"):
        assert made[name].astype(str).tolist() == frame[name].astype(str).tolist()
    np.testing.assert_allclose(made.real, frame.real, atol=1e-15)
    there = frame.geometry.notna().to_numpy()
    assert (made.geometry.notna() == there).all()
    assert shapely.equals(made.geometry[there].to_numpy(), frame.geometry[there].to_numpy()).all()


def test_numbers_that_are_too_long_are_set_aside(tmp_path):
    """OGR cuts them at their end: 1e300 would become 1e23."""
    frame = vectordata.layer(6)[["geometry"]]
    frame["n"] = np.array([1, 10**18 - 1, 10**18, -(10**17) + 1, -(10**17), 5])
    frame["x"] = [1e300, 1e21, 1.0, -1e21, 1.0, np.nan]
    frame["t"] = ["a", "b", "c", "d", "e", "f"]
    source = vectordata.write(frame, tmp_path / "s.parquet")
    done = convert(source, tmp_path / "out")
    assert [letter.position for letter in done.letters] == [0, 2, 4]
    made = pyogrio.read_dataframe(done.path)
    assert made.n.tolist() == [10**18 - 1, -(10**17) + 1, 5]
    assert made.x.tolist()[:2] == [1e21, -1e21]
    assert np.isnan(made.x[2])
    with zipfile.ZipFile(done.path) as archive:
        assert b"nan" not in archive.read("s.dbf").lower()


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        (["POINT (1 1)", "POLYGON ((0 0, 1 0, 1 1, 0 0))"], "one type of geometry, not Point"),
        (["GEOMETRYCOLLECTION (POINT (1 1))"], "not GeometryCollection"),
        (["POINT (1 1)", "POINT Z (1 1 1)"], "heights"),
    ],
)
def test_geometries_that_it_cannot_hold(texts, match, tmp_path):
    """Are refused, with a way out; points and multipoints become one type."""
    shapes = gpd.GeoSeries.from_wkt(texts)
    frame = gpd.GeoDataFrame({"n": range(len(texts))}, geometry=shapes, crs=4326)
    source = vectordata.write(frame, tmp_path / "s.parquet")
    with pytest.raises(SchemaError, match=match):
        convert(source, tmp_path / "out")


def test_an_archive_is_verified(tmp_path):
    """Its fingerprint is found, and a damaged byte in any file of it."""
    source = vectordata.write(vectordata.layer(50), tmp_path / "s.gpkg")
    done = convert(source, tmp_path / "out")
    operation = get_operation("vector.convert")
    task = InspectTask(0, "vector.convert", str(done.path))
    receipt = operation.inspect(task, vectorjobs.stage)
    assert receipt.fingerprint == vectorjobs.FINGERPRINT
    data = bytearray(done.path.read_bytes())
    data[2000] ^= 1
    done.path.write_bytes(data)
    with pytest.raises(VerifyError):
        operation.inspect(task, vectorjobs.stage)


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    """Before it is published."""
    monkeypatch.setattr(shapefile_zip, "LARGEST", 5000)
    source = vectordata.write(vectordata.layer(50), tmp_path / "s.gpkg")
    with pytest.raises(SchemaError, match="5,000 at most"):
        convert(source, tmp_path / "out")
    wide = pa.schema([(f"f{n}", pa.int8()) for n in range(256)])
    with pytest.raises(SchemaError, match="256"):
        shapefile_zip.refuse(wide, allowed=True, warnings=[])


@given(st.lists(st.text(max_size=14), max_size=120, unique_by=str.casefold))
def test_names_fit_and_differ(fields):
    """Whatever they were; those that fit stay."""
    made = shapefile_zip.names(fields)
    assert all(len(name.encode()) <= shapefile_zip.NAME for name in made)
    assert len({name.casefold() for name in made}) == len(fields)
    if all(len(name.encode()) <= shapefile_zip.NAME for name in fields):
        assert made == fields
