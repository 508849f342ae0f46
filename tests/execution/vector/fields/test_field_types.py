"""What formats hold of the attributes: kept, changed and told, or refused; never changed unsaid."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import vectorjobs

from geobatch_tui.errors import SchemaError

OGR = ("FlatGeobuf", "GPKG", "GeoJSON", "GeoJSONSeq")
JSON = ("GeoJSON", "GeoJSONSeq")
MOMENT = dt.datetime(2020, 7, 1, 1, 2, 3, 456000, tzinfo=dt.UTC)


def parquet(tmp_path, *columns, points=None):
    """A GeoParquet file with points, and these columns: k0, k1, ..."""
    count = len(columns[0])
    points = points or [shapely.Point(n, n) for n in range(count)]
    shapes = pa.array([shapely.to_wkb(point) for point in points], pa.binary())
    column = {"encoding": "WKB", "geometry_types": ["Point"]}
    geo = {"version": "1.1.0", "primary_column": "g", "columns": {"g": column}}
    names = {f"k{n}": column for n, column in enumerate(columns)}
    table = pa.table({"n": range(count), **names, "g": shapes})
    path = tmp_path / "s.parquet"
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


def attributes(path):
    """Rows of a file in the order of ``n``."""
    _, table = pyogrio.read_arrow(path)
    return table.sort_by("n")


FIRST = dt.datetime.min  # noqa: DTZ901 - FlatGeobuf has days without a zone
#: Values, how each format reads back, and what the plan says; "" where nothing is to be said.
KEPT = [
    (pa.array([0, 2**62 + 1, None], pa.uint64()), [0, 2**62 + 1, None], OGR, "int64"),
    (pa.array([1, 0.5, None], pa.float16()), [1, 0.5, None], OGR, ""),
    (pa.array([Decimal("1.10")], pa.decimal128(5, 2)), [1.1], OGR, "real number"),
    (pa.nulls(2), [None, None], ("FlatGeobuf", "GPKG"), "no values"),
    (pa.array(["a", None, "b", "a"]).dictionary_encode(), ["a", None, "b", "a"], OGR, ""),
    (pa.array([b"ab", None], pa.binary(2)), [b"ab", None], ("FlatGeobuf", "GPKG"), ""),
    (pa.array([b"\0a", None], pa.large_binary()), ["0061", None], JSON, "hexadecimal"),
    (pa.array([[1, 2], [], None], pa.large_list(pa.int32())), [[1, 2], [], None], JSON, ""),
    (
        pa.array([[1, 2], None], pa.list_(pa.int32(), 2)),
        ["[ 1, 2 ]", None],
        ("FlatGeobuf", "GPKG"),
        "text in JSON",
    ),
    (pa.array([dt.date(1, 1, 1)]), [FIRST], ("FlatGeobuf",), "midnight"),
    (pa.array([dt.date(9999, 12, 31)]), [dt.date(9999, 12, 31)], ("GPKG", *JSON), ""),
    (pa.array([dt.time(1, 2, 3)]), ["01:02:03"], ("FlatGeobuf", "GPKG"), "text"),
    (pa.array([dt.time(1, 2, 3)]), [dt.time(1, 2, 3)], JSON, "rounded"),
    (
        pa.array([MOMENT], pa.timestamp("ms", "Europe/Berlin")),
        [MOMENT],
        ("GPKG", *JSON),
        "in UTC",
    ),
    (pa.array([MOMENT], pa.timestamp("ms")), [MOMENT], ("GPKG",), "for UTC"),
]


@pytest.mark.parametrize(("values", "expected", "forms", "note"), KEPT)
def test_values_are_kept_or_the_plan_says_what_becomes_of_them(
    values, expected, forms, note, tmp_path
):
    """By every format in question."""
    source = parquet(tmp_path, values)
    for form in forms:
        done = vectorjobs.run("vector.convert", source, tmp_path / form, form=form)
        column = attributes(done.path).column("k0")
        column = pa.chunked_array(getattr(chunk, "storage", chunk) for chunk in column.chunks)
        assert column.to_pylist() == expected
        told = [line for line in done.plan.warnings if "'k0'" in line]
        assert bool(told) == bool(note)
        assert note in "".join(told)


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
@pytest.mark.parametrize("more", [{}, {"hour": [dt.time(1), dt.time(2)]}])
def test_text_that_is_said_to_be_json(more, suffix, tmp_path):
    """Stays so in a GeoPackage, written by geobatch or (with a time of day) by OGR; and in
    GeoParquet."""
    values = pa.array(['{"a": 1}', None], pa.string())
    fields = [pa.field(name, pa.string()) for name in ("plain", "notes")]
    fields[1] = fields[1].with_metadata({"ARROW:extension:name": "arrow.json"})
    if suffix == "geojson":  # OGR sees by their values what they are
        values = pa.array(['{"a": 1}', '{"a": 2}'], pa.string())
    shapes = pa.array([shapely.to_wkb(shapely.Point(1, 1))] * 2, pa.binary())
    kind = pa.field("g", pa.binary(), metadata={"ARROW:extension:name": "ogc.wkb"})
    hours = [pa.field(name, pa.time32("ms")) for name in more]
    columns = [
        pa.array([0, 1]),
        pa.array(["a", "b"]),
        values,
        *map(pa.array, more.values()),
        shapes,
    ]
    schema = pa.schema([pa.field("n", pa.int64()), *fields, *hours, kind])
    source = tmp_path / f"s.{suffix}"
    pyogrio.write_arrow(
        pa.table([pa.array(one) for one in columns], schema=schema), source,
        driver={"gpkg": "GPKG", "geojson": "GeoJSON"}[suffix], geometry_name="g",
        geometry_type="Point", crs="EPSG:4326",
    )  # fmt: skip
    said = dict(
        zip(*(pyogrio.read_info(source)[key] for key in ("fields", "ogr_subtypes")), strict=True)
    )
    assert said["notes"] == "OFSTJSON"
    done = vectorjobs.run("vector.convert", source, tmp_path / "a", form="GPKG")
    info = pyogrio.read_info(done.path)
    made = dict(zip(info["fields"], info["ogr_subtypes"], strict=True))
    assert (made["plain"], made["notes"]) == ("OFSTNone", "OFSTJSON")
    assert json.loads(attributes(done.path)["notes"][0].as_py()) == {"a": 1}
    done = vectorjobs.run("vector.convert", source, tmp_path / "b")
    assert json.loads(pq.read_table(done.path)["notes"][0].as_py()) == {"a": 1}
    assert json.loads(gpd.read_parquet(done.path).notes[0]) == {"a": 1}


@pytest.mark.parametrize(
    "values",
    [
        pa.array([{"a": 1}]),
        pa.array([1], pa.duration("s")),
        pa.array([[b"x"]], pa.list_(pa.binary())),
        pa.array([[[1]]], pa.list_(pa.list_(pa.int8()))),
        pa.array([Decimal(10) ** 20], pa.decimal128(38, 2)),
    ],
)
def test_types_that_ogr_has_none_for_are_refused(values, tmp_path):
    """By the plan, with a way out; GeoParquet keeps them."""
    source = parquet(tmp_path, values)
    for form in OGR:
        with pytest.raises(SchemaError, match=f"{form} cannot hold field 'k0'") as refused:
            vectorjobs.probe("vector.convert", source, form=form)
        assert "op.columns" in refused.value.hint
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert pq.read_table(done.path).column("k0").to_pylist() == values.to_pylist()


@pytest.mark.parametrize("form", OGR)
@pytest.mark.parametrize("unit", ["us", "ns"])
def test_no_minute_has_sixty_seconds(form, unit, tmp_path):
    """Moments and times of day are rounded to milliseconds, to the next minute, hour or year."""
    moments = [
        "2024-01-01T12:00:59.999600",
        "2024-12-31T23:59:59.999999",
        "1969-12-31T23:59:59.999500",
        "2024-01-01T12:00:59.999499",
    ]
    given = np.array(moments, f"datetime64[{unit}]")
    column = pa.concat_arrays(
        [pa.array(given).cast(pa.timestamp(unit, "UTC")), pa.nulls(1, pa.timestamp(unit, "UTC"))]
    )
    times = pa.array(
        [dt.time(12, 0, 59, 999600), dt.time(23, 59, 59, 999999), None, dt.time(1), dt.time(2)],
        pa.time64(unit),
    )
    made = vectorjobs.run(
        "vector.convert", parquet(tmp_path, column, times), tmp_path / "out", form=form
    )
    read = attributes(made.path)
    wanted = [
        "2024-01-01T12:01:00",
        "2025-01-01T00:00:00",
        "1970-01-01T00:00:00",
        "2024-01-01T12:00:59.999",
    ]
    found = read["k0"].cast(pa.timestamp("ms")).to_pylist()
    assert found == [*map(dt.datetime.fromisoformat, wanted), None]
    texts = ["12:01:00", "23:59:59.999", None, "01:00:00", "02:00:00"]
    assert [
        one and str(one)[: len(text)]
        for one, text in zip(read["k1"].to_pylist(), texts, strict=True)
    ] == texts
    assert b":60" not in made.path.read_bytes()


@pytest.mark.parametrize(
    ("kind", "listed"),
    [
        (pa.decimal128(15, 3), False),
        (pa.decimal32(9, 4), False),
        (pa.decimal64(15, 15), False),
        (pa.decimal128(15, 3), True),
    ],
)
def test_decimals_become_the_nearest_numbers(kind, listed, tmp_path):
    """Also in lists, where some are null, and in later batches of a file."""
    rng = np.random.default_rng(1)
    top = 10**kind.precision
    digits = [int(one) for one in rng.integers(-top + 1, top, 5000)]
    numbers = [Decimal(one).scaleb(-kind.scale) for one in digits]
    given = [None if n % 7 == 0 else one for n, one in enumerate(numbers)]
    wanted = [None if one is None else float(one) for one in given]
    column = (
        pa.array([[one or Decimal(0)] for one in given], pa.list_(kind))
        if listed
        else pa.array(given, kind)
    )
    source = parquet(tmp_path, column, points=[shapely.Point(1, 1)] * len(given))
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG")
    found = attributes(made.path)["k0"].to_pylist()
    assert [json.loads(one)[0] or None for one in found] == wanted if listed else found == wanted


@pytest.mark.parametrize("form", [*OGR, "GeoParquet"])
def test_text_with_a_character_of_zero(form, tmp_path):
    """Readers by OGR end the text there; GeoParquet keeps it."""
    given = ["nul\0inside", "fine", None, ""]
    lists = [["a"], ["b", "c\0"], None, []]
    source = parquet(tmp_path, pa.array(given), pa.array(lists))
    made = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    if form == "GeoParquet":
        assert pq.read_table(made.path).to_pydict()["k0"] == given
        return
    assert attributes(made.path)["n"].to_pylist() == [2, 3]
    reasons = [letter.reason for letter in made.letters]
    wanted = "the output cannot hold its field {!r}: it has a character of zero"
    assert reasons == [wanted.format("k0"), wanted.format("k1")]


def test_values_that_do_not_fit_are_set_aside(tmp_path):
    """The feature, not the item, and not another value; the quarantine file has them in full."""
    odd = -800_000
    columns = (
        pa.array([2**64 - 1, 1, 1, 1, 1], pa.uint64()),
        pa.array([1, odd, 1, 1, 1], pa.int32()).cast(pa.date32()),
        pa.array([1, 1, 253402300800000, 1, None], pa.int64()).cast(pa.timestamp("ms")),
        pa.array([[1], [1], [1], [None, 1], None], pa.list_(pa.int32())),
    )
    source = parquet(tmp_path, *columns)
    for form in OGR:
        done = vectorjobs.run("vector.convert", source, tmp_path / form, form=form)
        assert attributes(done.path).column("n").to_pylist() == [4]
        assert [letter.position for letter in done.letters] == [0, 1, 2, 3]
        fields = [letter.reason.split("'")[1] for letter in done.letters]
        assert fields == ["k0", "k1", "k2", "k3"]
        assert {letter.error_class for letter in done.letters} == {"SchemaError"}
    kept = gpd.read_file(done.receipt.facts["quarantine"])
    assert kept.k0[0] == str(2**64 - 1)
    assert kept.k2[2].startswith("10000-01-01")


def test_numbers_that_are_none(tmp_path):
    """NaN becomes null where the format has none, and is counted; GeoJSON has no infinity."""
    source = parquet(tmp_path, pa.array([1.0, np.nan, np.inf]))
    for form in OGR:
        done = vectorjobs.run("vector.convert", source, tmp_path / form, form=form)
        values = attributes(done.path).column("k0").to_pylist()
        facts = done.receipt.facts
        assert facts.get("nan_to_null", 0) == (form != "FlatGeobuf")
        if form in JSON:
            assert values == [1.0, None]
            assert "infinite" in done.letters[0].reason
        else:
            assert (values[0], values[2]) == (1.0, np.inf)


def test_a_quarantine_file_has_all_fields(tmp_path):
    """Also those of GeoParquet that a GeoPackage has no type for, as text; and names that differ in
    case alone."""
    source = parquet(
        tmp_path,
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array(["x", "y"]),
        points=[shapely.Point(1, 1), shapely.Point(np.nan, 1)],
    )
    table = pq.read_table(source)
    names = [name.replace("k1", "K0") for name in table.column_names]
    made = table.rename_columns(names).replace_schema_metadata(table.schema.metadata)
    pq.write_table(made, source)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    kept = gpd.read_file(done.receipt.facts["quarantine"])
    assert (kept.k0[0], kept.K0_[0], kept.geobatch_fid[0]) == ("{'a': 2}", "y", 1)


#: Moments before 1970, of which OGR writes another minute where they have second 59 and a fraction.
EARLY = {
    "1969-12-31T23:59:59.999": False,
    "1899-12-31T23:59:59.001": False,
    "1969-12-31T23:59:59.000": True,
    "1969-12-31T23:59:58.999": True,
    "1950-01-01T10:00:00.500": True,
    "1970-01-01T00:00:59.500": True,
}


@pytest.mark.parametrize("form", OGR)
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_fraction_of_the_last_second_of_a_minute_before_1970(form, unit, tmp_path):
    """It is kept, or set aside; the others are written as they are."""
    given = np.array(list(EARLY), f"datetime64[{unit}]")
    column = pa.concat_arrays(
        [pa.array(given).cast(pa.timestamp(unit, "UTC")), pa.nulls(1, pa.timestamp(unit, "UTC"))]
    )
    source = parquet(tmp_path, column)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form)
    kept = [text for text, fine in EARLY.items() if fine]
    assert len(done.letters) == len(EARLY) - len(kept)
    assert all("the last second of a minute" in letter.reason for letter in done.letters)
    made = attributes(done.path)["k0"].to_pylist()
    wanted = [dt.datetime.fromisoformat(text).replace(tzinfo=None) for text in kept]
    assert [one and one.replace(tzinfo=None) for one in made] == [*wanted, None]
