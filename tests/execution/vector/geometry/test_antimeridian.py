"""Case 34: what lies across the antimeridian is told, or cut there, and nothing else is touched."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
import vectordata
import vectorjobs
from pyproj import Transformer
from shapely import box

from geobatch_tui.execution.vector.geometry import antimeridian
from geobatch_tui.execution.vector.geometry.geos import InvalidShapeError
from geobatch_tui.execution.vector.geometry.transform import in_degrees

#: Mercator round 150 degrees: both sides of the antimeridian are side by side.
PACIFIC = "EPSG:3832"
HOLE = shapely.Polygon(box(172, -20, 188, 0).exterior, [box(182, -12, 186, -8).exterior])
SHAPES = {
    "polygon": box(172, -20, 188, 0),
    "hole": HOLE,
    "line": shapely.LineString([(175, 0, 5), (185, 10, 15)]),
    "multi": shapely.MultiPolygon([box(160, 0, 165, 5), box(178, 0, 182, 5)]),
    "near": box(172, -20, 179, 0),
    "side": box(181, 0, 182, 5),
    "point": shapely.Point(181, 3),
}


def _rolled(shape):
    """Longitudes from -180 to 180."""

    def roll(at):
        at = at.copy()
        at[:, 0] = (at[:, 0] + 180) % 360 - 180
        return at

    return shapely.transform(shape, roll, include_z=shape.has_z)


def _run(tmp_path, shapes, *, wrap, form="GeoParquet"):
    frame = gpd.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs=4326)
    source = tmp_path / "s.gpkg"
    vectordata.write(frame.to_crs(PACIFIC), source, geometry_type="Unknown")
    params = {"dst_crs": "EPSG:4326", "wrapdateline": wrap}
    return vectorjobs.run(
        "vector.reproject", source, tmp_path / "out", params=params, features=3, form=form
    )


@pytest.mark.filterwarnings("ignore:A geometry of type")
@pytest.mark.parametrize("form", ["GeoParquet", "GeoJSON"])
def test_features_are_cut_at_the_antimeridian(form, tmp_path):
    """Each covers the ground that it covered, in degrees from -180 to 180; areas stay."""
    flat = {name: shape for name, shape in SHAPES.items() if not shape.has_z}
    done = _run(tmp_path, flat, wrap=True, form=form)
    assert done.receipt.facts["across_antimeridian"] == 3
    made = vectordata.read(done.path).set_index("name").geometry
    assert made.is_valid.all()
    for name, shape in flat.items():
        west, _, east, _ = made[name].bounds
        assert -180 <= west <= east <= 180
        assert made[name].area == pytest.approx(shape.area)
        for part in shapely.get_parts(made[name]):
            assert part.bounds[2] - part.bounds[0] < 10
    parts = shapely.get_parts(made["polygon"])
    assert sorted(part.bounds[0] for part in parts) == pytest.approx([-180, 172])


def test_lines_keep_their_heights(tmp_path):
    """They are interpolated at the cut."""
    made = vectordata.read(_run(tmp_path, {"line": SHAPES["line"]}, wrap=True).path).geometry[0]
    at = shapely.get_coordinates(made, include_z=True)
    assert np.sort(at[:, 2]) == pytest.approx([5, 10, 10, 15], abs=0.01)
    assert sorted(at[:, 0]) == pytest.approx([-180, -175, 175, 180])


def test_without_the_option_they_are_told(tmp_path):
    """As GDAL leaves them; how many there are is a fact of the output."""
    done = _run(tmp_path, {"polygon": SHAPES["polygon"], "near": SHAPES["near"]}, wrap=False)
    assert done.receipt.facts["across_antimeridian"] == 1
    west, _, east, _ = vectordata.read(done.path).geometry[0].bounds
    assert (west, east) == pytest.approx((-172, 172))


@pytest.mark.parametrize(
    "shape",
    [
        box(-180, -85, 180, 85),
        box(-160, 0, 160, 10),
        shapely.MultiPolygon([box(175, 0, 180, 5), box(-180, 0, -175, 5)]),
        shapely.LineString([(-179, 0), (0, 0), (179, 0)]),
        shapely.MultiPoint([(-179, 0), (179, 0)]),
    ],
)
def test_wide_features_are_left_alone(shape):
    """The whole world, what was cut already, and what goes the long way round."""
    assert not antimeridian.across(shapely.get_parts(shape)).any()
    assert antimeridian.cut(shape).equals(shape)


def test_a_ring_round_a_pole_is_set_aside(tmp_path):
    """It has no two sides; the others are published."""
    x = np.arange(-175, 180, 10)
    ring = shapely.Polygon(np.stack([x, np.full(len(x), -70.0)], axis=1))
    with pytest.raises(InvalidShapeError, match="round a pole"):
        antimeridian.cut(ring)
    frame = gpd.GeoDataFrame({"n": [0, 1]}, geometry=[ring, box(0, -80, 1, -79)], crs=4326)
    source = vectordata.write(frame.to_crs(3031), tmp_path / "s.gpkg")
    params = {"dst_crs": "EPSG:4326", "wrapdateline": True}
    done = vectorjobs.run("vector.reproject", source, tmp_path / "out", params=params)
    assert [letter.reason for letter in done.letters] == [
        "goes round a pole: it cannot be cut at the antimeridian"
    ]


@pytest.mark.parametrize("vertex", [180.0, -180.0])
def test_a_vertex_on_the_antimeridian(vertex):
    """It may be written as either side."""
    ring = [(172, 0), (vertex, 0), (-172, 0), (-172, 10), (-vertex, 10), (172, 10), (172, 0)]
    made = antimeridian.cut(shapely.Polygon(ring))
    assert made.area == pytest.approx(160)
    assert made.is_valid


def test_in_degrees_alone():
    """Metres have no antimeridian that is known."""
    from pyproj import CRS

    assert in_degrees(CRS.from_epsg(4326).to_wkt())
    assert not in_degrees(CRS.from_epsg(3857).to_wkt())
    assert not in_degrees("")


#: In a Mercator projection round 150 degrees: the steps that end far from the antimeridian.
FAR = {
    "LINESTRING (0 0,6000000 0)": "MULTILINESTRING ((150 0,180 0),(-180 0,-156.1 0))",
    "LINESTRING (6000000 0,0 0)": "MULTILINESTRING ((150 0,180 0),(-180 0,-156.1 0))",
    "POLYGON ((2000000 0,5000000 0,5000000 1000000,2000000 1000000,2000000 0))":
        "MULTIPOLYGON (((168 0,180 0,180 9,168 9,168 0)),"
        "((-180 0,-165.1 0,-165.1 9,-180 9,-180 0)))",
    "LINESTRING (-16000000 0,0 0)": "LINESTRING (6.27 0,150 0)",
}  # fmt: skip


@pytest.mark.parametrize("wrap", [True, False])
def test_steps_that_end_far_from_the_antimeridian(wrap, tmp_path):
    """Their way in their projection leads across it; without the option they are told."""
    source = tmp_path / "s.csv"
    source.write_text("n,WKT\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(FAR)))
    params = {"dst_crs": "EPSG:4326", "wrapdateline": wrap}
    done = vectorjobs.run(
        "vector.reproject",
        source,
        tmp_path / "out",
        params=params,
        features=2,
        options={"src_crs": PACIFIC},
    )
    assert not done.letters
    assert done.receipt.facts["across_antimeridian"] == 3
    if wrap:
        for made, wanted in zip(vectordata.read(done.path).geometry, FAR.values(), strict=True):
            assert shapely.hausdorff_distance(made, shapely.from_wkt(wanted)) < 0.1


def test_the_long_way_in_a_projection_is_not_across(tmp_path):
    """A map of most of the world, as Mercator has it round Greenwich, and a line over it."""
    shapes = [box(-1.8e7, -1e7, 1.8e7, 1e7), shapely.LineString([(-1.8e7, 0), (1.8e7, 0)])]
    source = vectordata.write(
        gpd.GeoDataFrame({"n": [0, 1]}, geometry=shapes, crs=3857), tmp_path / "s.gpkg"
    )
    params = {"dst_crs": "EPSG:4326", "wrapdateline": True}
    done = vectorjobs.run("vector.reproject", source, tmp_path / "out", params=params)
    assert [shape.geom_type for shape in vectordata.read(done.path).geometry] == [
        "Polygon", "LineString",
    ]  # fmt: skip


@pytest.mark.parametrize("source_crs", [PACIFIC, "EPSG:4326"])
@pytest.mark.parametrize("wrap", [True, False])
def test_a_ring_that_is_not_closed_costs_itself_alone(wrap, source_crs, tmp_path):
    """GEOS does not read it, so it cannot be cut; the cut of another is of that one."""
    wide = [(172, 0), (-172, 0), (-172, 5), (172, 5)]
    there = Transformer.from_crs(4326, source_crs, always_xy=True)
    closed, more = [*wide, wide[0]], [(175, 0), (-175, 0), (-175, 5), (175, 5), (175, 0)]
    rings = [
        vectordata.ring(*(there.transform(*at) for at in places)) for places in (closed, wide, more)
    ]
    source = vectordata.raw(tmp_path / "s.parquet", rings, source_crs)
    params = {"dst_crs": "EPSG:4326", "wrapdateline": wrap}
    done = vectorjobs.run("vector.reproject", source, tmp_path / "out", params=params)
    assert done.receipt.facts["across_antimeridian"] == 2
    assert [letter.position for letter in done.letters] == ([1] if wrap else [])
    assert all("closed linestring" in letter.reason for letter in done.letters)
    if wrap:
        made = vectordata.read(done.path).geometry
        wanted = [
            shapely.union(box(west, 0, 180, 5), box(-180, 0, -west, 5)) for west in (172, 175)
        ]
        assert [
            shapely.symmetric_difference(one, other).area < 0.01
            for one, other in zip(made, wanted, strict=True)
        ] == [True, True]
