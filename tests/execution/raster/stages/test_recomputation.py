"""A stage is stored where chunks would compute too much again for each other."""

from __future__ import annotations

import pytest
from chains import EXAMPLES, chain_item, raster

from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.stages import recomputation

SLOPE = EXAMPLES["slope"]


def wide(size):
    """A step that reads ``size // 2`` pixels beyond a chunk."""
    return {"name": "neighbors", "kernel": ["equal"], "size": size, "method": ["max"]}


@pytest.fixture
def small(monkeypatch):
    """Rasters of a few pixels are large enough."""
    monkeypatch.setattr(recomputation, "FEW", 0)


def planned(tmp_path, *steps, side=64, size=(320, 320)):
    path = raster(tmp_path / "a.tif", dtype="uint8", validity="none", size=size)
    output = {"creation": {"blocksize": 64}}
    return chain_item(path, list(steps), cols=side, rows=side, output=output).plan


def test_how_often_pixels_are_computed(tmp_path):
    """A halo of 12 round chunks of 64 makes 88 of them, but for the rims; halos add up."""
    plan = planned(tmp_path, SLOPE, wide(25), wide(5))
    chain = RasterPlan.from_json(plan.detail).chain
    found = dict(recomputation.computed_times(chain, plan.grid))
    assert list(found) == [2, 1]
    inner = [(64 + 2 * halo) for halo in (2, 14)]
    for number, side in zip((2, 1), inner, strict=True):
        least = (3 * side + 2 * (side + 64) / 2) ** 2 / 320**2  # 3 inner chunks, 2 at rims
        assert found[number] == pytest.approx(least, rel=0.05)
    assert not plan.stages  # too small to be worth a file


@pytest.mark.usefixtures("small")
def test_a_stage_is_added_in_front_of_a_wide_step(tmp_path):
    """And said, with the steps and the number; not where nothing is computed before it."""
    plan = planned(tmp_path, SLOPE, wide(41))
    (stage,) = plan.stages
    assert (stage.after, stage.steps, stage.grid.chunk_width) == (1, 1, 256)
    (told,) = [text for text in plan.warnings if "stored first" in text]
    assert told.startswith("step 2 (neighbors) reads so far beyond a chunk that each pixel of step")
    assert "step 1 (slope) would be computed 2." in told
    assert plan.notes["stages"][0]["behind_step"] == 1
    select = {"name": "select", "band": [1]}
    for steps in ([wide(41)], [select, wide(41)], [SLOPE, wide(5)], [wide(41), SLOPE]):
        assert not planned(tmp_path, *steps).stages
    assert not planned(tmp_path, SLOPE, wide(41), side=320).stages


@pytest.mark.usefixtures("small")
def test_the_chain_is_cut_as_often_as_it_takes(tmp_path):
    """Halos that are added up are those from one stage to the next."""
    steps = [wide(99), SLOPE, wide(99), SLOPE, wide(41)]
    assert [stage.steps for stage in planned(tmp_path, *steps, size=(1100, 600)).stages] == [2, 4]


@pytest.mark.usefixtures("small")
def test_a_stage_that_is_there_is_enough(tmp_path):
    store = {"name": "materialize"}
    plan = planned(tmp_path, SLOPE, store, wide(41))
    assert [stage.why.startswith("step 2 (materialize)") for stage in plan.stages] == [True]


@pytest.mark.usefixtures("small")
def test_nothing_is_added_where_a_later_step_reads_the_source(tmp_path):
    """Nor is anything said: nobody asked for it."""
    beside = {"input": "{source}", "steps": [{"name": "select", "band": [1]}]}
    blend = {"name": "blend", "overlay": beside, "operator": "multiply"}
    to_byte = {"name": "set-type", "output_data_type": "uint8"}
    plan = planned(tmp_path, SLOPE, wide(41), to_byte, blend)
    assert not plan.stages
    assert not [text for text in plan.warnings if "stored" in text]
