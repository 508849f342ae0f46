"""The file of the features in quarantine: made bit by bit, the same as if made at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import shapely
import vectorjobs

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.fields import values
from geobatch_tui.execution.vector.write import ogr_file


@pytest.fixture
def source(tmp_path):
    """Sixty lines, half of them with a place that is no number; of ``big``, one of these cannot be
    written as a number."""
    shapes = [shapely.from_wkt(f"LINESTRING (0 {n}, 1 {n})") for n in range(60)]
    with np.errstate(invalid="ignore"):
        for n in range(0, 60, 2):
            shapes[n] = shapely.LineString([(0, n), (np.nan, n)])
    big = np.arange(60, dtype=np.uint64)
    big[58] = 2**64 - 1
    frame = gpd.GeoDataFrame({"n": range(60), "big": big}, geometry=shapes, crs=4326)
    frame.to_parquet(tmp_path / "s.parquet")
    return tmp_path / "s.parquet"


def made(source, out, features=0):
    done = vectorjobs.run("vector.convert", source, out, features=features)
    assert done.receipt.facts["features_quarantined"] == 30
    assert not list(out.rglob("*.arrow"))
    return Path(done.receipt.facts["quarantine"])


@pytest.mark.filterwarnings("ignore:invalid value")
def test_chunks_make_no_difference(source, tmp_path):
    """The file is the same for any chunks, also where a value cannot be written in its type."""
    whole = made(source, tmp_path / "whole")
    assert made(source, tmp_path / "parts", features=7).read_bytes() == whole.read_bytes()
    with closing(sqlite3.connect(whole)) as database:
        rows = database.execute("SELECT geobatch_fid, n, big FROM quarantine").fetchall()
    assert rows[:2] == [(0, 0, "0"), (2, 2, "2")]
    assert rows[-1] == (58, 58, str(2**64 - 1))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_few_features_are_in_memory_at_a_time(source, tmp_path, monkeypatch):
    """OGR is given features in batches of one size."""
    write, sizes = ogr_file.write_stream, []

    def watched(path, reader, **how):
        def told():
            for batch in reader:
                sizes.append(batch.num_rows)
                yield batch

        write(path, pa.RecordBatchReader.from_batches(reader.schema, told()), **how)

    monkeypatch.setattr(ogr_file, "write_stream", watched)
    monkeypatch.setattr(ogr_file, "ROWS", 8)
    kept = gpd.read_file(made(source, tmp_path / "out", features=20))
    assert sizes == [8, 8, 8, 6]
    assert kept.geobatch_fid.tolist() == list(range(0, 60, 2))


OWN = ("geobatch_fid", "geobatch_error", "geobatch_reason", "geobatch_wkb")


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_quarantine_file_as_a_source(source, tmp_path):
    """What it tells of its features stays, by other names: ``retry --replace`` goes by these."""
    frame = gpd.read_parquet(source).assign(**dict.fromkeys(OWN, "was"))
    frame.to_parquet(tmp_path / "own.parquet")
    kept = gpd.read_file(made(tmp_path / "own.parquet", tmp_path / "out"))
    assert kept.geobatch_fid.tolist() == list(range(0, 60, 2))
    assert set(kept.geobatch_error) == {"GeometryError"}
    assert [set(kept[f"{name}_"]) for name in OWN] == [{"was"}] * 4


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", ["__unread", "__fid", "__bbox"])
def test_a_field_with_a_name_of_our_own_is_refused(name, source, tmp_path):
    """Its values would be taken for ours."""
    gpd.read_parquet(source).assign(**{name: "x"}).to_parquet(tmp_path / "s2.parquet")
    with pytest.raises(SchemaError, match=f"has a field '{name}'"):
        vectorjobs.probe("vector.convert", tmp_path / "s2.parquet")
    vectorjobs.probe("vector.convert", tmp_path / "s2.parquet", params={"columns": ["n"]})


def test_text_that_is_not_utf8_is_text(tmp_path):
    """Bytes that are no UTF-8 are written as text, beside empty text, too."""
    raw = pa.array([b"", b"\xff", b"a", None], pa.binary())
    column = pa.Array.from_buffers(pa.string(), 4, raw.buffers())
    assert values.legible(column, "name").to_pylist() == ["", "\\xff", "a", None]
