"""Parameters of raster operations are checked without opening anything."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from geobatch_tui.execution.params.raster_params import ConvertParams, ReprojectParams


def params(**values):
    return ReprojectParams(**{"dst_crs": "EPSG:3857", **values})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"dst_crs": " "}, "empty"),
        ({"resampling": "gauss"}, "nearest"),
        ({"bounds": [1, 2, 0, 3]}, "minx < maxx"),
        ({"bounds": [1, 2, math.nan, 3]}, "minx < maxx"),
        ({"bounds": [0, 0, 1, 1], "extent": "source"}, "exclude"),
        ({"bounds_crs": "EPSG:4326"}, "without bounds"),
        ({"resolution": 0}, "above 0"),
        ({"resolution": [10, -10]}, "above 0"),
        ({"size": [0, 0]}, "width and height"),
        ({"size": [10, 10], "resolution": 5}, "exclude"),
        ({"target_aligned_pixels": True}, "needs resolution"),
        ({"add_alpha": True, "dst_nodata": 0}, "exclude"),
        ({"error_threshold": 0.6}, "between 0"),
        ({"warp_options": {"num_threads": 4}}, "NUM_THREADS"),
        ({"transform_options": {"COORDINATE_OPERATION": "x"}}, "COORDINATE_OPERATION"),
        ({"src_nodata": math.inf}, "infinite"),
        ({"dst_nodata": True}, "number"),
        ({"resolutio": 5}, "Extra inputs"),
    ],
)
def test_contradictions_are_refused(values, says):
    """What cannot be meant is an error that says why."""
    with pytest.raises(ValidationError, match=says):
        params(**values)


def test_nodata_from_text():
    """Environment and command line give text; NaN survives the way through JSON."""
    assert params(src_nodata="-9999").src_nodata == -9999
    assert params(src_nodata="None").src_nodata == "none"
    assert math.isnan(params(dst_nodata="nan").dst_nodata)
    dumped = params(dst_nodata=math.nan).model_dump(mode="json")
    assert math.isnan(ReprojectParams.model_validate(dumped).dst_nodata)
    large = params(dst_nodata=2**63).model_dump(mode="json")
    assert ReprojectParams.model_validate(large).dst_nodata == 2**63


def test_options_are_folded_and_turned_into_text():
    """Names in upper case, numbers and booleans as GDAL writes them."""
    checked = params(warp_options={"sample_grid": True, "source_extra": 50})
    assert checked.warp_options == {"SAMPLE_GRID": "YES", "SOURCE_EXTRA": "50"}
    assert params(resolution=30).pixel == (30, 30)
    assert params(resolution=[30, 20]).pixel == (30, 20)


@pytest.mark.parametrize("model", [ReprojectParams, ConvertParams])
def test_every_field_says_what_it_is(model):
    """Help, unit and kind, for forms, docs and fingerprints."""
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.json_schema_extra["kind"] == "semantic", name
        assert "unit" in field.json_schema_extra, name
    assert model.model_config["frozen"]
