"""Tags that many items share are those that each would have got for itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from assembling import make_plan
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.execution.raster.geotiff import tags

sizes = st.floats(1e-6, 1e6, allow_nan=False)
places = st.floats(-1e7, 1e7, allow_nan=False)
marks = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(sizes, places, sizes, places, marks)
def test_shared_tags_are_the_items_own(across, left, down, top, mark):
    """Byte for byte, wherever the item lies and whatever its fingerprint is."""
    plan = make_plan(100, 100, transform=(across, 0.0, left, 0.0, -down, top))
    shared, own = tags.make_template(plan, mark), tags._make(plan, mark)
    assert shared.tags == own.tags
    assert shared.overview_tags == own.overview_tags
    assert shared.identity == own.identity


@pytest.mark.parametrize(
    ("transform", "kind"),
    [((1.0, 0.1, 0.0, 0.1, -1.0, 9.0), "Area"), ((1.0, 0.0, 0.0, 0.0, -1.0, 9.0), "Point")],
)
def test_rotated_and_point_rasters_get_their_own(transform, kind):
    """What is not simply north-up is written by GDAL each time."""
    plan = replace(make_plan(100, 100, transform=transform), area_or_point=kind)
    assert tags.make_template(plan, "ab" * 16) == tags._make(plan, "ab" * 16)


def test_kinds_are_told_apart():
    """Another nodata value, type or description is another kind."""
    plan = make_plan(100, 100, transform=(1.0, 0.0, 0.0, 0.0, -1.0, 9.0))
    for other in (
        replace(plan, nodata=7.0),
        replace(plan, dtype="int16"),
        replace(plan, descriptions=("red",) * plan.count),
        replace(plan, tags={"A": "b"}),
    ):
        assert tags.make_template(other, "c" * 32).tags == tags._make(other, "c" * 32).tags
