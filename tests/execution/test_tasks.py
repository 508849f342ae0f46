"""What is done before a task."""

from __future__ import annotations

import sys

import pytest

from geobatch_tui.execution.messages import InspectTask
from geobatch_tui.execution.tasks import needs_gdal


@pytest.mark.parametrize(
    ("op", "needs"),
    [("vector.reproject", False), ("raster.convert", True), ("of.others", True)],
)
def test_gdal_is_loaded_for_what_may_call_it(op, needs, monkeypatch):
    """Features are read and written by another GDAL."""
    monkeypatch.delitem(sys.modules, "rasterio", raising=False)
    assert needs_gdal(InspectTask(1, op, "x.tif")) is needs


def test_gdal_that_is_loaded_is_listened_to(monkeypatch):
    """By an operation of features, too: who knows what loaded it."""
    monkeypatch.setitem(sys.modules, "rasterio", sys)
    assert needs_gdal(InspectTask(1, "vector.reproject", "x.gpkg"))
