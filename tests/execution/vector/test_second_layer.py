"""`vector.filter` by a mask and `vector.clip` by polygons: as geopandas does, and only in the CRS of
the source."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import geopandas as gpd
import numpy as np
import pytest
import shapely
import vectordata
import vectorjobs
from pydantic import ValidationError

from geobatch_tui.errors import (
    CorruptSourceError,
    CrsError,
    GeometryError,
    SchemaError,
    SourceChangedError,
)
from geobatch_tui.execution.params.vector_params import ClipParams, FilterParams
from geobatch_tui.execution.vector import second_layer


@pytest.fixture
def areas(tmp_path):
    """Three areas, two of which overlap."""
    shapes = [shapely.box(6, 46, 8, 48), shapely.box(7, 47, 9, 49), shapely.Point(12, 52).buffer(1)]
    return vectordata.write(gpd.GeoDataFrame(geometry=shapes, crs=4326), tmp_path / "mask.gpkg")


@pytest.mark.parametrize("predicate", ["intersects", "within", "contains", "touches", "disjoint"])
def test_features_are_chosen_as_by_geopandas(predicate, areas, tmp_path):
    """Each once, however many areas it meets; and the counts add up."""
    frame = vectordata.layer(240)
    frame.loc[5, "geometry"] = shapely.box(5, 45, 15, 55)
    frame.loc[6, "geometry"] = shapely.box(8, 46, 8.5, 46.5)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    params = {"mask": str(areas), "predicate": predicate}
    done = vectorjobs.run("vector.filter", source, tmp_path / "out", params=params, features=90)
    mask = gpd.read_file(areas)
    if predicate == "disjoint":
        met = gpd.sjoin(frame, mask, predicate="intersects").index
        expected = frame.index.difference(met)
    else:
        expected = gpd.sjoin(frame, mask, predicate=predicate).index.unique()
    assert len(expected)
    made = vectordata.read(done.path)
    assert sorted(made.whole) == sorted(frame.whole[expected])
    facts = done.receipt.facts
    assert facts["features_out"] + facts["features_filtered"] == 240


def test_what_cannot_be_compared_goes_to_quarantine(areas, tmp_path):
    """A coordinate that is no number is neither in nor out."""
    frame = vectordata.layer(20)
    frame.loc[3, "geometry"] = shapely.Point(np.nan, 1)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.filter", source, tmp_path / "out", params={"mask": str(areas)})
    assert [letter.position for letter in done.letters] == [3]


def test_a_mask_is_known_by_its_content(areas, tmp_path):
    """Another content is another job; a file that changed under a run is refused."""
    source = vectordata.write(vectordata.layer(50), tmp_path / "s.gpkg")
    before = FilterParams(mask=str(areas))
    areas.write_bytes(areas.read_bytes() + b"\0")
    assert FilterParams(mask=str(areas)).mask_digest != before.mask_digest
    with pytest.raises(SourceChangedError):
        vectorjobs.run(
            "vector.filter", source, tmp_path / "out", params=before.model_dump(mode="json")
        )
    with pytest.raises(ValidationError, match="cannot be read"):
        FilterParams(mask=str(tmp_path / "absent.gpkg"))
    with pytest.raises(ValidationError, match="needs where, bounds or mask"):
        FilterParams()


def test_masks_that_are_refused(tmp_path):
    """A mask in another CRS, with an invalid area, or with one layer too many is refused."""
    source = vectordata.write(vectordata.layer(50), tmp_path / "s.gpkg")
    box = gpd.GeoDataFrame(geometry=[shapely.box(6, 46, 8, 48)], crs=4326)
    bow = gpd.GeoDataFrame(geometry=[shapely.from_wkt("POLYGON((0 0,1 1,1 0,0 1,0 0))")], crs=4326)
    mask = tmp_path / "m.gpkg"

    def refused(error, match):
        with pytest.raises(error, match=match):
            vectorjobs.run("vector.filter", source, tmp_path / "out", params={"mask": str(mask)})
        mask.unlink()

    vectordata.write(box.to_crs(3035), mask)
    refused(CrsError, "not in the CRS of the source")
    vectordata.write(bow, mask)
    refused(GeometryError, "invalid")
    vectordata.write(box, mask, layer="one")
    vectordata.write(box, mask, layer="two", append=True)
    refused(SchemaError, "'one', 'two'")


@pytest.mark.parametrize("features", [0, 90])
def test_features_are_cut_at_polygons(features, areas, tmp_path):
    """As geopandas cuts them; what lies inside keeps its bytes, though two polygons share it."""
    frame = vectordata.layer(600)
    frame.loc[5, "geometry"] = shapely.box(5, 45, 15, 55)
    frame.loc[6, "geometry"] = shapely.box(6.5, 47.2, 8.4, 47.8)
    apart = [shapely.box(6.1, 46.1, 6.2, 46.2), shapely.box(12, 52, 12.1, 52.1)]
    frame.loc[7, "geometry"] = shapely.multipolygons(apart)
    frame.loc[8, "geometry"] = shapely.box(9, 46, 9.5, 49)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    frame = vectordata.read(source)
    params = {"like": str(areas)}
    done = vectorjobs.run("vector.clip", source, tmp_path / "out", params=params, features=features)
    made = vectordata.read(done.path).set_index("whole").geometry
    area = gpd.read_file(areas).union_all()
    cut = frame.set_index("whole").geometry.intersection(area)
    cut = cut[shapely.area(cut.to_numpy()) > 0]
    assert made.index.tolist() == cut.index.tolist()
    assert set(made.geom_type) == {"Polygon", "MultiPolygon"}
    sizes = [shapely.area(shapes.to_numpy()) for shapes in (made, cut)]
    np.testing.assert_allclose(*sizes, rtol=1e-12)
    assert shapely.is_valid(made.to_numpy()).all()
    inside = frame[frame.covered_by(area)].set_index("whole").geometry
    assert len(inside) > 20
    assert frame.whole[[6, 7]].isin(inside.index).all()
    for number, shape in inside.items():
        assert shapely.to_wkb(made[number]) == shapely.to_wkb(shape)
    facts = done.receipt.facts
    assert facts["features_out"] + facts["features_filtered"] == 600
    assert facts["clipped"] == len(made) - len(inside)


def test_lines_and_points_stay_what_they_are(areas, tmp_path):
    """A line along the rim and a point on it are inside; one that only touches it is not."""
    texts = [
        "LINESTRING (5 47.5, 10 47.5)",
        "LINESTRING (6 46, 6 48)",
        "LINESTRING (5 46, 6 46)",
        "POINT (6 47)",
        "POINT (5 47)",
    ]
    frame = gpd.GeoDataFrame({"n": range(5)}, geometry=gpd.GeoSeries.from_wkt(texts), crs=4326)
    source = vectordata.write(frame, tmp_path / "s.parquet")
    done = vectorjobs.run("vector.clip", source, tmp_path / "out", params={"like": str(areas)})
    made = vectordata.read(done.path).set_index("n").geometry
    assert made.index.tolist() == [0, 1, 3]
    assert made.geom_type.tolist() == ["LineString", "LineString", "Point"]
    assert made[0].length == 3


def test_what_cannot_be_cut_goes_to_quarantine(areas, tmp_path):
    """An invalid polygon across the rim; a plane of lines encloses nothing to cut at."""
    frame = vectordata.layer(60)
    frame.loc[4, "geometry"] = shapely.from_wkt("POLYGON((5 45,8 48,8 45,5 48,5 45))")
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.clip", source, tmp_path / "out", params={"like": str(areas)})
    (letter,) = done.letters
    assert letter.position == 4
    assert "Self-intersection" in letter.reason
    assert "vector.make-valid" in letter.reason
    lines = gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (9, 60)])], crs=4326)
    params = {"like": str(vectordata.write(lines, tmp_path / "lines.gpkg"))}
    with pytest.raises(GeometryError, match="no polygons"):
        vectorjobs.run("vector.clip", source, tmp_path / "out", params=params)
    with pytest.raises(ValidationError, match="needs bounds or like, one of them"):
        ClipParams(like=str(areas), bounds=(0, 0, 1, 1))


def test_a_thread_has_a_mask_of_its_own(areas):
    """GEOS changes a prepared geometry as it is used; a thread reads the file once."""
    known = FilterParams(mask=str(areas)).mask_digest
    mine = second_layer.mask_of(str(areas), known, "", "")
    assert second_layer.mask_of(str(areas), known, "", "") is mine
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(second_layer.mask_of, str(areas), known, "", "").result() is not mine


_GOOD = (
    '{"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [6, 46]}}'
)
_NULL = '{"type": "Feature", "properties": {}, "geometry": null}'
_ODD = '{"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": ["a"]}}'


@pytest.mark.filterwarnings("ignore:OGRGeoJSON")
@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("\n".join([_GOOD, _GOOD, _GOOD[:40], _GOOD]), "3"),
        (f"{_GOOD}\nxyz\n{_GOOD}", "2"),
        (f"{_GOOD}\n{_NULL}\n{_ODD}", "3"),
        (f'{{"type": "FeatureCollection", "features": [{_NULL}, {_ODD}, {_GOOD}]}}', "2"),
        (f"{_GOOD}\n{_NULL}\n{_GOOD}", ""),
        (f"{_GOOD}\n{_GOOD}{_GOOD}\n", "2"),
        (f'{{"type": "FeatureCollection", "features": [{_NULL}, {_GOOD}]}}', ""),
    ],
)
def test_a_mask_that_is_read_in_part_is_refused(text, broken, tmp_path):
    """OGR leaves out areas that it cannot read, and features would be chosen by the others."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "s.gpkg")
    (tmp_path / "mask.geojson").write_text(text)
    params = {"mask": str(tmp_path / "mask.geojson"), "predicate": "disjoint"}
    if not broken:
        assert vectorjobs.run("vector.filter", source, tmp_path / "out", params=params)
        return
    with pytest.raises(CorruptSourceError, match=f"broken: {broken}$"):
        vectorjobs.run("vector.filter", source, tmp_path / "out", params=params)
