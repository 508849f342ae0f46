"""Tables of attributes without geometry: a GeoPackage holds them, and plain Parquet."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector import feature_chunks
from geobatch_tui.execution.vector.write import parquet_file, published_file

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = ("gpkg", "gdb", "csv")


def table(path: Path, count: int = 60) -> Path:
    """Names and numbers; a name has the marks of SQL and of CSV, one is null."""
    frame = pd.DataFrame({"n": range(count), "name": [f'ä "{n}", \'' for n in range(count)]})
    frame.loc[3, "name"] = None
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        how = {"driver": vectordata.DRIVERS[path.suffix[1:]]}
        if path.suffix == ".gdb":
            how["TARGET_ARCGIS_VERSION"] = "ARCGIS_PRO_3_2_OR_LATER"
        pyogrio.write_dataframe(frame, path, layer="t", **how)
    return path


def rows(path: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        (name,) = db.execute("SELECT table_name FROM gpkg_contents").fetchone()
        return db.execute(f'SELECT rowid, n, name FROM "{name}" ORDER BY rowid').fetchall()  # noqa: S608


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("where", ["", "n >= 40"])
def test_a_table_becomes_one(suffix: str, where: str, tmp_path: Path) -> None:
    source = table(tmp_path / f"s.{suffix}")
    if suffix == "csv":
        where = where and "CAST(n AS integer) >= 40"
    done = [
        vectorjobs.run(
            op, source, tmp_path / f"{op}-{features}", form="GPKG", features=features,
            params={"where": where},
        )
        for op in ("vector.convert", "vector.filter")[: 2 if where else 1]
        for features in (17, 100)
    ]  # fmt: skip
    first = done[0]
    with contextlib.closing(sqlite3.connect(first.path)) as db:
        assert db.execute("SELECT data_type FROM gpkg_contents").fetchall() == [("attributes",)]
        assert db.execute("SELECT count(*) FROM gpkg_geometry_columns").fetchone() == (0,)
    found = rows(first.path)
    wanted = range(40, 60) if where else range(60)
    assert [int(n) for _, n, _ in found] == list(wanted)
    names = [name or None for _, _, name in found]
    assert names == [None if n == 3 else f'ä "{n}", \'' for n in wanted]
    assert first.receipt.facts["features_out"] == len(wanted)
    assert first.receipt.facts["bounds"] is None
    assert "empty" not in first.receipt.facts
    assert {one.path.read_bytes() for one in done} == {first.path.read_bytes()}
    assert published_file.inspect_by_ogr(str(first.path)) == (
        vectorjobs.FINGERPRINT,
        {"features_out": len(wanted), "bounds": None},
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("where", ["", "n >= 40", "n < 0"])
def test_a_table_becomes_plain_parquet(suffix: str, where: str, tmp_path: Path) -> None:
    source = table(tmp_path / f"s.{suffix}")
    if suffix == "csv":
        where = where.replace("n ", "CAST(n AS integer) ")
    done = [
        vectorjobs.run(
            "vector.convert", source, tmp_path / f"{features}", features=features,
            params={"where": where},
        )
        for features in (17, 100)
    ]  # fmt: skip
    first = done[0]
    assert {one.path.read_bytes() for one in done} == {first.path.read_bytes()}
    told = pq.read_metadata(first.path).metadata
    assert b"geo" not in told
    assert told[parquet_file.KEY.encode()].decode() == vectorjobs.FINGERPRINT
    found = pq.read_table(first.path).to_pydict()
    wanted = [n for n in range(60) if not where or (n < 0 if "<" in where else n >= 40)]
    keys = [] if suffix == "csv" else [{"gpkg": "fid", "gdb": "OBJECTID"}[suffix]]
    assert list(found) == [*keys, "n", "name"]
    assert list(map(int, found["n"])) == wanted
    assert [name or None for name in found["name"]] == [
        None if n == 3 else f'ä "{n}", \'' for n in wanted
    ]
    for key in keys:
        assert found[key] == [n + 1 for n in wanted]
    assert len(pd.read_parquet(first.path)) == len(wanted)
    assert first.receipt.facts["features_out"] == len(wanted)
    assert parquet_file.inspect(str(first.path)) == (
        vectorjobs.FINGERPRINT,
        {"features_out": len(wanted), "bounds": None},
    )


@pytest.mark.parametrize("sort", ["YES", "NO"])
def test_row_groups_of_a_table_are_filled_from_several_cells(
    sort: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_chunks, "row_group", lambda each: 10)
    source = table(tmp_path / "s.gpkg", 100)
    with contextlib.closing(sqlite3.connect(source)) as db, db:
        db.execute("UPDATE t SET name = CAST(x'ff41' AS TEXT) WHERE n % 10 >= 4")
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", features=20, creation={"sort_by_bbox": sort}
    )
    with pq.ParquetFile(done.path) as file:
        groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        assert groups == ([10] * 4 if sort == "YES" else [8] * 5)
        assert file.read().column("n").to_pylist() == [n for n in range(100) if n % 10 < 4]


def test_keys_of_a_table_are_kept(tmp_path: Path) -> None:
    source = table(tmp_path / "s.gpkg", 9)
    with contextlib.closing(sqlite3.connect(source)) as db, db:
        db.execute("DELETE FROM t WHERE n = 4")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG", features=3)
    assert rows(done.path) == rows(source)


def test_a_row_that_cannot_be_kept_is_set_aside(tmp_path: Path) -> None:
    source = table(tmp_path / "s.gpkg", 9)
    with contextlib.closing(sqlite3.connect(source)) as db, db:
        db.execute("UPDATE t SET name = CAST(x'ff41' AS TEXT) WHERE n = 4")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG", features=3)
    assert [n for _, n, _ in rows(done.path)] == [0, 1, 2, 3, 5, 6, 7, 8]
    (letter,) = done.letters
    assert letter.position == 4
    assert pyogrio.read_dataframe(done.receipt.facts["quarantine"]).n.tolist() == [4]


def test_a_table_of_no_rows(tmp_path: Path) -> None:
    source = table(tmp_path / "s.gpkg")
    done = vectorjobs.run(
        "vector.filter", source, tmp_path / "out", form="GPKG", params={"where": "n < 0"}
    )
    assert rows(done.path) == []
    with contextlib.closing(sqlite3.connect(done.path)) as db:
        assert db.execute("SELECT data_type FROM gpkg_contents").fetchall() == [("attributes",)]


@pytest.mark.parametrize(
    ("op", "form", "params", "told"),
    [
        ("vector.convert", "FlatGeobuf", {}, "FlatGeobuf is for features with one"),
        ("vector.convert", "GeoJSON", {}, "GeoJSON is for features with one"),
        ("vector.convert", "Shapefile", {}, "Shapefile is for features with one"),
        ("vector.convert", "GPKG", {"bounds": [0, 0, 1, 1]}, "which op.bounds is about"),
        ("vector.convert", "GPKG", {"geometry_kind": "points"}, "which op.geometry_kind is about"),
        ("vector.convert", "GeoParquet", {"columns": []}, "no field of it is left"),
        ("vector.make-valid", "GeoParquet", {}, "which vector.make-valid is about"),
        ("vector.reproject", "GPKG", {"dst_crs": "EPSG:3857"}, "which vector.reproject is about"),
    ],
)
def test_what_a_table_is_not_for(
    op: str, form: str, params: dict[str, Any], told: str, tmp_path: Path
) -> None:
    source = table(tmp_path / "s.gpkg", 5)
    with pytest.raises(SchemaError, match=f"layer 't' of .* has no geometry, .*{told}") as refused:
        vectorjobs.probe(op, source, form=form, params=params)
    assert refused.value.hint
