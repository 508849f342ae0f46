"""``where`` for GeoParquet: SQLite's answer, and OGR's."""

from __future__ import annotations

import contextlib
import datetime as dt
import shlex
import shutil
import subprocess
from decimal import Decimal

import pyarrow as pa
import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.vector.batch.where import Condition

CONDITIONS = [
    "real > 0",
    "name LIKE 'näme 1%' AND NOT whole % 2",
    "name IS NULL OR day < '2020-01-05'",
    "real > 5 OR 1 = 1",
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A layer in both formats."""
    folder, frame = tmp_path_factory.mktemp("where"), vectordata.layer(120)
    return {
        suffix: vectordata.write(frame, folder / f"s.{suffix}") for suffix in ("gpkg", "parquet")
    }


@pytest.mark.parametrize("where", CONDITIONS)
@pytest.mark.parametrize("columns", [None, ["whole"]])
def test_it_chooses_as_for_a_geopackage(where, columns, sources, tmp_path):
    """The same features of the same layer, with their own ids."""
    params = {"where": where, "columns": columns}
    made = []
    for suffix, source in sources.items():
        done = vectorjobs.run(
            "vector.convert", source, tmp_path / suffix, params=params, form="GPKG", features=40
        )
        made.append(vectordata.read(done.path).whole.tolist())
        assert done.receipt.facts["features_in"] == len(made[-1])
    assert made[0] == made[1] != []


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("code = 1", [0]),
        ("code > 2", [2, 3]),
        ("code IN (1, '03')", [0, 2]),
        ("n = '2'", [2]),
        ("half = '0.5'", [1]),
        ("flag = '1'", [0, 2]),
    ],
)
def test_numbers_are_compared_with_text_as_in_a_geopackage(where, wanted, tmp_path):
    """Else a condition would hold for none, or all, of the same features in another format."""
    values = {"code": ["1", "2", "3", "40"], "n": range(4), "half": [0, 0.5, 1, 1.5]}
    values["code"][2] = "03" if "03" in where else "3"
    frame = vectordata.layer(4)[["geometry"]].assign(**values, flag=[True, False] * 2)
    for suffix in ("gpkg", "parquet"):
        source = vectordata.write(frame, tmp_path / f"s.{suffix}")
        done = vectorjobs.run(
            "vector.convert", source, tmp_path / suffix, params={"where": where}, features=3
        )
        assert vectordata.read(done.path).n.tolist() == wanted, suffix


def test_values_of_every_type():
    """As numbers, text, ISO 8601 or JSON; names that SQLite would take for its own."""
    columns = {
        "select": pa.array([1, None]),
        'a "b"': pa.array(["x", None]),
        "moment": pa.array([dt.datetime(2020, 1, 2, 3, tzinfo=dt.UTC), None]),
        "hour": pa.array([dt.time(1, 2), None]),
        "list": pa.array([[1, 2], None]),
        "sum": pa.array([Decimal("1.5"), None]),
        "raw": pa.array([b"ab", None]),
        "flag": pa.array([True, None]),
        "took": pa.array([dt.timedelta(1), None]),
        "unused": pa.array([{"a": 1}, None]),
    }
    batch = pa.record_batch(columns)
    for where in (
        '"select" = 1',
        '"a ""b""" = \'x\'',
        "moment = '2020-01-02T03:00:00+00:00'",
        "hour = '01:02:00'",
        "json_extract(list, '$[1]') = 2",
        '"sum" > 1.25',
        "raw = x'6162'",
        "flag",
        "took IS NOT NULL",
    ):
        assert Condition(where, columns).holds(batch).tolist() == [True, False], where
    assert Condition("flag", columns).names == ["flag"]


def test_values_beyond_those_of_python_and_of_sqlite():
    """They are compared, too, and end no chunk."""
    columns = {
        "large": pa.array([2**63 + 2**60, 1, None], pa.uint64()),
        "moment": pa.array([10**12, 1, None], pa.timestamp("s")),
        "fine": pa.array([1_000_000_001, 1, None], pa.timestamp("ns")),
        "day": pa.array([10**7, 1, None], pa.date32()),
    }
    batch = pa.record_batch(columns)
    for where in (
        "large > 9e18",
        "moment LIKE '33658-09-27T01:46:40%'",
        "fine > '1970-01-01T00:00:01'",
        "day LIKE '29349-__-__'",
    ):
        assert Condition(where, columns).holds(batch).tolist() == [True, False, False], where


@pytest.mark.parametrize("suffix", ["gpkg", "parquet"])
@pytest.mark.parametrize("where", ['"whloe" > 3', 'whole > 3 OR name = "x"'])
def test_a_name_with_a_slip_in_it_is_not_text(where, suffix, sources):
    """SQLite takes it for text if it is in double quotes: the condition then holds for all."""
    with pytest.raises(SchemaError, match="no such column") as caught:
        vectorjobs.probe("vector.convert", sources[suffix], params={"where": where})
    assert "single" in (caught.value.hint or "")


def test_a_comment_is_none_for_ogr(tmp_path):
    """Nor would a GeoPackage be to blame for what it does to OGR's own words."""
    for suffix in ("gpkg", "parquet"):
        source = vectordata.write(vectordata.layer(10), tmp_path / f"s.{suffix}")
        wanted = pytest.raises(SchemaError, match="incomplete input")
        with wanted if suffix == "gpkg" else contextlib.nullcontext():
            vectorjobs.probe("vector.convert", source, params={"where": "real > 0 -- so"})


@pytest.mark.parametrize(
    "where", ['"fid" > 3', 'rowid > 3 AND "geom" IS NOT NULL', 'm."whole" > 3', "ST_IsEmpty(geom)"]
)
def test_what_ogr_knows_of_a_geopackage_may_be_named(where, sources):
    plan = vectorjobs.probe("vector.convert", sources["gpkg"], params={"where": where})
    assert plan.grid.width


def test_numbers_of_rows_are_no_attributes(tmp_path):
    """They would be those of a batch, so that other features were chosen by other chunks."""
    source = vectordata.write(vectordata.layer(10), tmp_path / "s.parquet")
    with pytest.raises(SchemaError, match="no such column: rowid"):
        vectorjobs.probe("vector.convert", source, params={"where": "rowid < 3"})


@pytest.mark.parametrize("suffix", ["gpkg", "parquet"])
@pytest.mark.parametrize(
    "where",
    [
        "nofield = 1",
        "real >",
        "1) UNION SELECT 1 --",
        "group = 2",
        "name ILIKE 'a'",
        "nofunction(name)",
        "count(*) > 1",
        "real > 0; DROP TABLE t",
    ],
)
def test_what_is_no_condition_is_refused(where, suffix, sources):
    """When the run is planned; the source is not to blame."""
    with pytest.raises(SchemaError) as caught:
        vectorjobs.probe("vector.convert", sources[suffix], params={"where": where})
    assert "check where" in (caught.value.hint or "")


@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed")
@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_the_command_of_a_chosen_feature_finds_it(suffix, tmp_path):
    """Also in a source without ids: its place is that among those that satisfy ``where``."""
    source = vectordata.write(vectordata.layer(60), tmp_path / f"s.{suffix}")
    params = {"where": "real > 0"}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", params=params, features=10)
    made = vectordata.read(done.path)
    command = get_operation("vector.convert").reproduce(done.item, Window(17, 0, 1, 1))
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)
    found = vectordata.read(tmp_path / "chunk.gpkg")
    assert found.whole.tolist() == [made.whole[17]]
