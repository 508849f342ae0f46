"""`vector.filter` by a mask: as geopandas finds them, and only in the CRS of the source."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
import vectordata
import vectorjobs
from pydantic import ValidationError

from geobatch_tui.errors import CrsError, GeometryError, SchemaError, SourceChangedError
from geobatch_tui.execution.ops.vector.filter import FilterParams


@pytest.fixture
def areas(tmp_path):
    """Three areas, two of which overlap."""
    shapes = [shapely.box(6, 46, 8, 48), shapely.box(7, 47, 9, 49), shapely.Point(12, 52).buffer(1)]
    return vectordata.write(gpd.GeoDataFrame(geometry=shapes, crs=4326), tmp_path / "mask.gpkg")


@pytest.mark.parametrize("predicate", ["intersects", "within", "contains", "touches", "disjoint"])
def test_features_are_chosen_as_by_geopandas(predicate, areas, tmp_path):
    """Each once, however many areas it meets; and the counts add up."""
    frame = vectordata.layer(800)
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
    assert facts["features_out"] + facts["features_filtered"] == 800


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
    """In another CRS, with an invalid area, or with a layer too many."""
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
