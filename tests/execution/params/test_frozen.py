"""What a worker reads of parameters is what the engine's model says."""

from __future__ import annotations

import math

import pytest

from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.params.frozen import given, pixel_of

CASES = [
    ("raster.reproject", {"dst_crs": "EPSG:3857"}),
    ("raster.reproject", {"dst_crs": "x", "bounds": [0, 1, 2, 3], "size": [0, 7]}),
    ("raster.reproject", {"dst_crs": "x", "resolution": [30, 20], "src_nodata": "none"}),
    ("raster.reproject", {"dst_crs": "x", "resolution": 3, "warp_options": {"a": 1}}),
    ("raster.convert", {"dst_nodata": 2**63}),
    ("vector.convert", {"bounds": [0, 1, 2, 3], "columns": ["a", "b"]}),
    ("vector.convert", {"columns": []}),
    ("vector.reproject", {"dst_crs": "EPSG:3035", "max_bad_features": 3}),
]


@pytest.mark.parametrize(("name", "values"), CASES)
def test_as_the_model_has_it(name, values):
    """Each field, by value and type."""
    model = get_operation(name).params.model_validate(values)
    found = vars(given(model.model_dump(mode="json")))
    expected = dict(model)
    assert found == expected
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in expected.items()
    }


def test_nodata_that_is_no_number():
    """JSON has a text for it."""
    model = get_operation("raster.convert").params.model_validate({"dst_nodata": math.nan})
    assert math.isnan(given(model.model_dump(mode="json")).dst_nodata)


def test_a_pixel_has_two_sides():
    """Or nobody asked for one."""
    assert (pixel_of(30), pixel_of((30.0, 20.0)), pixel_of(None)) == (
        (30.0, 30.0),
        (30.0, 20.0),
        None,
    )
