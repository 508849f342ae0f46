"""FlatGeobuf that is put together here: the bytes of OGR's features, and an index that finds them."""

from __future__ import annotations

import itertools
import re
import struct

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
import vectordata
import vectorjobs
from geopandas.testing import assert_geodataframe_equal

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.kernels import feature_loops, flatbuffer
from geobatch_tui.execution.vector.spool import records
from geobatch_tui.execution.vector.write import ogr_file

SHAPES = {
    "Point": ["POINT (1 2)", "POINT EMPTY", None],
    "LineString": ["LINESTRING (0 0, 1 1, 2 0)", "LINESTRING EMPTY"],
    "Polygon": [
        "POLYGON ((0 0, 1 0, 1 1, 0 0))",
        "POLYGON ((0 0, 9 0, 9 9, 0 0), (5 1, 6 1, 6 2, 5 1), (7 1, 8 1, 8 2, 7 1))",
        "POLYGON EMPTY",
    ],
    "MultiPoint": ["MULTIPOINT (1 2)", "MULTIPOINT (1 2, 3 4)"],
    "MultiLineString": ["MULTILINESTRING ((0 0, 1 1))", "MULTILINESTRING ((0 0, 1 1), (2 2, 3 3))"],
    "MultiPolygon": [
        "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))",
        "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((0 0, 9 0, 9 9, 0 0), (5 1, 6 1, 6 2, 5 1)))",
    ],
    "GeometryCollection": [
        "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 1 1))",
        "GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (POINT (1 2), MULTIPOINT (1 1, 2 2)), POINT EMPTY)",
        "GEOMETRYCOLLECTION (POINT EMPTY)",
    ],
}
SHAPES["Unknown"] = [text for texts in SHAPES.values() for text in texts]


def attributes(count: int) -> dict[str, pa.Array]:
    """A column of each type that is encoded here, with nulls."""
    numbers = range(count)
    columns = {
        "yes": pa.array([n % 2 == 0 for n in numbers]),
        "short": pa.array([-n for n in numbers], pa.int16()),
        "int": pa.array([n - 2 for n in numbers], pa.int32()),
        "long": pa.array([2**40 + n for n in numbers]),
        "single": pa.array([n / 2 for n in numbers], pa.float32()),
        "double": pa.array([float("nan") if n == 1 else n / 3 for n in numbers]),
        "text": pa.array(["" if n == 2 else "ä" * n for n in numbers]),
        "day": pa.array([n * 1000 - 3000 for n in numbers], pa.date32()),
        "bytes": pa.array([bytes([n, 0]) for n in numbers], pa.binary()),
    }
    holes = pa.array([n % 3 != 2 for n in numbers])
    return {
        name: pa.compute.if_else(holes, column, pa.scalar(None, column.type))
        for name, column in columns.items()
    }


def by_ogr(path, columns, shapes, kind) -> list[bytes]:
    """Features as OGR writes them."""
    fields = [pa.field(name, column.type) for name, column in columns.items()]
    fields.append(pa.field("g", pa.binary(), metadata={"ARROW:extension:name": "ogc.wkb"}))
    table = pa.Table.from_arrays([*columns.values(), shapes], schema=pa.schema(fields))
    pyogrio.write_arrow(
        table,
        path,
        driver="FlatGeobuf",
        geometry_name="g",
        geometry_type=kind,
        crs="EPSG:4326",
        layer_options={"SPATIAL_INDEX": "NO"},
    )
    data = path.read_bytes()
    at, found = 12 + struct.unpack_from("<I", data, 8)[0], []
    while at < len(data):
        size = 4 + struct.unpack_from("<I", data, at)[0]
        found.append(data[at : at + size])
        at += size
    return found


def by_us(
    columns, shapes, *, typed: bool, multi: bool = False, measured: bool = False
) -> list[bytes]:
    """Features as chunks and the assembler make them."""
    data, offsets, heads = records.flatgeobuf_rows(list(columns.values()), shapes)
    lengths = np.diff(offsets)
    room = flatbuffer.room(int(lengths.max()))
    out, sizes = np.empty(room * len(lengths), np.uint8), np.zeros(len(lengths), np.int64)
    scratch = [np.empty(room, np.uint8), np.empty(room, np.uint8), np.empty(room, np.int64)]
    done, _ = feature_loops.write(
        out, data, offsets[:-1], lengths, heads.astype(np.int64), multi, typed, measured,
        *scratch, sizes, np.empty(flatbuffer.STATE, np.int64),
    )  # fmt: skip
    assert done == len(lengths)
    ends = np.cumsum(sizes)
    return [out[end - size : end].tobytes() for end, size in zip(ends, sizes, strict=True)]


def wkb(texts, dimensions: str = "") -> pa.Array:
    """Geometries with these ``dimensions`` beside x and y, whose values differ."""
    if dimensions:
        step = itertools.count()
        texts = [
            re.sub(
                r"\d \d",
                lambda found: " ".join([found[0], *(f"{next(step) / 2}" for _ in dimensions)]),
                re.sub(r"([A-Z]+) ", rf"\1 {dimensions} ", text),
            )
            for text in texts
        ]
    shapes = [None if text is None else shapely.from_wkt(text) for text in texts]
    values = [None if each is None else shapely.to_wkb(each, flavor="iso") for each in shapes]
    return pa.array(values, pa.binary())


@pytest.mark.parametrize("more", ["", "Z", "M", "ZM"])
@pytest.mark.parametrize("kind", SHAPES)
def test_features_are_those_of_ogr(tmp_path, kind, more):
    """Byte for byte, for every type of geometry and attribute, empty and null ones, 2D, Z and M."""
    if kind == "Unknown" and more:
        pytest.skip("OGR has no such layer")
    texts = [t for t in SHAPES[kind] if not more or (t and "EMPTY" not in t)]
    shapes = wkb(texts, more)
    columns = attributes(len(shapes))
    theirs = by_ogr(
        tmp_path / "t.fgb", columns, shapes, ogr_file.pyogrio_type(f"{kind} {more}".strip())
    )
    assert by_us(columns, shapes, typed=kind == "Unknown", measured="M" in more) == theirs


@pytest.mark.parametrize("kind", ["Point", "LineString", "Polygon"])
def test_single_geometries_become_multi_ones(tmp_path, kind):
    """As OGR writes them after `promoted`."""
    shapes = wkb([text for text in SHAPES[kind] if text and "EMPTY" not in text])
    multi = pa.array(
        [
            b"\1" + bytes([value.as_py()[1] + 3]) + bytes(3) + b"\1\0\0\0" + value.as_py()
            for value in shapes
        ]
    )
    columns = attributes(len(shapes))
    theirs = by_ogr(tmp_path / "t.fgb", columns, multi, f"Multi{kind}")
    assert by_us(columns, shapes, typed=False, multi=True) == theirs


@pytest.mark.parametrize("count", [1, 16, 17, 300, 4100])
def test_the_index_finds_what_is_there(tmp_path, count):
    """A tree of one to four levels; a search gives what a look at every box does; nothing else
    changed. The fids of a search are those of a read from the start."""
    frame = vectordata.layer(count).drop(columns="day")
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", form="FlatGeobuf", features=700
    )
    made = pyogrio.read_dataframe(done.path, fid_as_index=True)
    assert pyogrio.read_info(done.path)["capabilities"]["fast_spatial_filter"]
    assert tuple(pyogrio.read_info(done.path)["total_bounds"]) == tuple(frame.total_bounds)
    by_number = made.sort_values("whole").reset_index(drop=True)
    assert_geodataframe_equal(by_number, frame, check_less_precise=False, check_like=True)
    for box in ((5, 45, 6, 46), (9.5, 49.5, 9.6, 49.6), (0, 0, 1, 1)):
        found = pyogrio.read_dataframe(done.path, bbox=box, fid_as_index=True)
        expected = made[made.intersects(shapely.box(*box))]
        assert found.whole.tolist() == expected.whole.tolist()
        assert found.index.tolist() == expected.index.tolist()


@pytest.mark.parametrize(
    "texts",
    [["POINT Z (1 2 3)", "LINESTRING Z (0 0 5, 1 1 6)"], ["POINT Z (1 2 3)", "POINT (1 2)"]],
)
def test_a_mix_with_heights_is_refused(tmp_path, texts):
    """OGR cannot write or read such layers; a GeoPackage holds them."""
    shapes = [shapely.from_wkt(text) for text in texts]
    frame = gpd.GeoDataFrame({"n": [1, 2]}, geometry=shapes, crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg", geometry_type="Unknown")
    with pytest.raises(SchemaError, match="one type, all of them with Z"):
        vectorjobs.run("vector.convert", source, tmp_path / "out", form="FlatGeobuf")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form="GPKG")
    found = pyogrio.read_dataframe(done.path)
    assert [shape.wkt for shape in found.geometry] == [shape.wkt for shape in shapes]


def test_neighbours_lie_near_each_other(tmp_path):
    """Features follow a curve of Hilbert: most steps are short."""
    x, y = (side.ravel() for side in np.meshgrid(np.arange(64.0), np.arange(64.0)))
    order = np.random.default_rng(1).permutation(len(x))
    frame = gpd.GeoDataFrame(geometry=gpd.points_from_xy(x[order], y[order]), crs=3857)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form="FlatGeobuf")
    points = shapely.get_coordinates(pyogrio.read_dataframe(done.path).geometry)
    steps = np.abs(np.diff(points, axis=0)).sum(axis=1)
    assert len(steps) == 64 * 64 - 1
    assert (steps == 1).mean() > 0.95
