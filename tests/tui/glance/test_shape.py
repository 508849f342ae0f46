"""Panels are as high as what they hold, and never higher than the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.tui.glance.shape import Wanted, shape_of

COUNTS = st.integers(0, 70)


def left_over(heights, names):
    """Lines for the panels that take what is left."""
    return sum(heights[name] or 0 for name in names)


@given(
    st.builds(Wanted, workers=COUNTS, items=st.integers(0, 8), causes=COUNTS, advice=COUNTS),
    st.integers(60, 250),
    st.integers(24, 80),
)
def test_everything_fits(wanted, width, height):
    """There is room for the map and the log, and no panel is only a frame."""
    heights = shape_of(wanted, width, height).heights
    assert all(rows is None or rows in {0, 1} or rows > 2 for rows in heights.values())
    body = height - 5
    if width < 100:
        assert body - heights["left"] - heights["causes"] >= 3
    else:
        assert body - left_over(heights, ("what-now", "workers", "items")) >= 8
        assert body - left_over(heights, ("throughput", "causes")) >= 5
    ended = wanted.advice > 0
    assert (heights["what-now"] != 0) is ended
    assert (heights["workers"] != 0) is not ended


@pytest.mark.parametrize("width", [80, 120, 160])
def test_two_workers_take_two_lines(width):
    """One item has no list, and no cause leaves its title, where there is room for one."""
    heights = shape_of(Wanted(workers=2), width, 48).heights
    assert heights["items"] == heights["what-now"] == 0
    assert heights["workers"] in {None, 4, 5}
    assert heights["causes"] == (0 if width == 80 else 1)
