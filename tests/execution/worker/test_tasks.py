"""What is done round a task."""

from __future__ import annotations

import sys

import pytest

from geobatch_tui.execution.ops import registry
from geobatch_tui.execution.protocol.looking import InspectTask
from geobatch_tui.execution.runtime.meter import ThreadMeter
from geobatch_tui.execution.runtime.recorder import Recorder
from geobatch_tui.execution.worker.tasks import needs_gdal, run_task


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


@pytest.mark.parametrize("answer", [None, {}, "done"])
def test_an_operation_that_answers_with_something_else_has_failed(answer, monkeypatch):
    """The engine takes an answer for what it says that it is."""

    class Odd:
        def inspect(self, task, stage):
            return answer

    monkeypatch.setattr(registry, "get_operation", lambda _name: Odd())
    outcome = run_task(InspectTask(1, "odd", "x.tif"), Recorder(), ThreadMeter(), None)
    assert outcome.receipt is None
    assert outcome.failure.error_class == "OperationError"
    assert f"answered {type(answer).__name__} where InspectReceipt" in outcome.failure.message
