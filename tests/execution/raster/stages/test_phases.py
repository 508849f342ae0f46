"""Chunks of stages and behind them: the pixels are those of the chain in one pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from chains import EXAMPLES, VALIDITIES, chain_item, raster, whole_of
from planning import no_stage

from geobatch_tui.errors import SchemaError, VerifyError
from geobatch_tui.execution.protocol.messages import ChunkTask
from geobatch_tui.execution.raster import chunk
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.stages import phases
from geobatch_tui.execution.raster.steps import chain, reproject_step

STORE = {"name": "materialize"}
#: Modes and extremes are GDAL's warper's alone.
EXACT = {"name": "reproject", "output_crs": "EPSG:3035", "resampling": "max"}
SIZE = (300, 280)


def staged(path, steps, side=256, **how):
    """An item whose stages have their fingerprints."""
    output = {"creation": {"blocksize": 256}}
    item = chain_item(path, steps, cols=side, rows=side, output=output, **how)
    stages = tuple(
        replace(stage, fingerprint=str(number) * 32)
        for number, stage in enumerate(item.plan.stages, 1)
    )
    return replace(item, plan=replace(item.plan, stages=stages))


def store(item, number=0):
    """Run the chunks of a stage, the last one first."""
    start = sum(map(len, item.plan.grids[:number]))
    for index in reversed(range(len(item.plan.grids[number]))):
        chunk.run(ChunkTask(1, item, start + index, 1, 1), no_stage)


def behind(item):
    """Pixels and mask of the output, chunk by chunk, from the last stage."""
    plan = RasterPlan.from_json(item.plan.detail)
    pixels = np.empty((plan.count, plan.height, plan.width), plan.dtype)
    mask = np.ones((plan.height, plan.width), bool)
    for index in range(item.plan.staged, item.plan.chunks):
        phase = phases.phase_of(item, plan, index)
        window = phase.item.plan.grid.window(phase.index)
        part, good, *_ = chunk.read_pixels(phase.item, phase.plan, window, 0, no_stage)
        pixels[:, *window.slices] = part
        if good is not None:
            mask[window.slices] = good
    return pixels, mask


def same(item):
    """Whether what is behind the stages is what the chain gives in one pass."""
    pixels, mask = behind(item)
    plan, wanted, known = whole_of(item)
    assert pixels.tobytes() == wanted.tobytes()
    if plan.validity == "mask":
        assert (mask == known).all()


@pytest.mark.parametrize("validity", VALIDITIES)
def test_a_chain_gives_the_same_behind_a_stage(tmp_path, validity):
    path = raster(tmp_path / "in.tif", validity=validity, size=SIZE)
    item = staged(path, [EXAMPLES["fill-nodata"], STORE, EXAMPLES["hillshade"]])
    assert [len(grid) for grid in item.plan.grids] == [4, 4]
    store(item)
    same(item)


def test_stages_read_the_stage_before(tmp_path):
    path = raster(tmp_path / "in.tif", size=SIZE)
    item = staged(path, [STORE, EXAMPLES["slope"], STORE, EXAMPLES["set-type-float"], STORE])
    assert [stage.steps for stage in item.plan.stages] == [0, 2]
    store(item, 0)
    path.unlink()
    store(item, 1)
    pixels, _ = behind(item)
    raster(path, size=SIZE)
    assert pixels.tobytes() == whole_of(chain_item(path, [EXAMPLES["slope"]]))[1].tobytes()


@pytest.mark.parametrize("validity", VALIDITIES)
def test_gdals_warper_reads_a_stage(tmp_path, monkeypatch, validity):
    """As it reads a file in memory, where that is small enough."""
    path = raster(tmp_path / "in.tif", validity=validity, size=SIZE)
    steps = [EXAMPLES["fill-nodata"], EXACT]
    assert chain_item(path, steps).plan.stages == ()
    monkeypatch.setattr(reproject_step, "MOST_IN_MEMORY", 1000)
    item = staged(path, steps)
    (stage,) = item.plan.stages
    assert (stage.steps, stage.after) == (1, 1)
    assert "step 2 (reproject) needs GDAL's warper, which reads files" in stage.why
    assert any("is stored first" in warning for warning in item.plan.warnings)
    store(item)
    same(item)


def test_what_must_be_stored_is_not_looked_through_in_the_plan(tmp_path, monkeypatch):
    path = raster(tmp_path / "in.tif", size=SIZE)
    for module in (chain, reproject_step):
        monkeypatch.setattr(module, "MOST_IN_MEMORY", 1000)
    with pytest.raises(SchemaError, match="are stored only in a run") as caught:
        chain_item(path, [EXAMPLES["fill-nodata"], EXACT, {"name": "scale"}])
    assert "input_min" in caught.value.hint


def test_nothing_is_stored_with_nothing_behind_it(tmp_path):
    path = raster(tmp_path / "in.tif", size=SIZE)
    assert chain_item(path, [EXAMPLES["slope"], STORE, STORE]).plan.stages == ()
    twice = chain_item(path, [EXAMPLES["slope"], STORE, STORE, EXAMPLES["set-type-float"]])
    assert [stage.steps for stage in twice.plan.stages] == [1]


def test_a_stage_that_is_gone_names_its_chunks(tmp_path):
    path = raster(tmp_path / "in.tif", size=SIZE)
    item = staged(path, [EXAMPLES["slope"], STORE, EXAMPLES["set-type-float"]])
    with pytest.raises(VerifyError, match="behind step 1 is gone") as caught:
        chunk.run(ChunkTask(1, item, 4, 1, 1), no_stage)
    assert caught.value.evidence == {"staged": [0, 1, 2, 3]}


def test_damage_to_a_stage_is_blamed_on_its_chunk(tmp_path):
    path = raster(tmp_path / "in.tif", size=SIZE)
    item = staged(path, [EXAMPLES["slope"], STORE, EXAMPLES["tpi"]])
    store(item)
    (file,) = (tmp_path / "work").iterdir()
    data = bytearray(file.read_bytes())
    data[-5000] ^= 1
    file.write_bytes(data)
    with pytest.raises(VerifyError, match="1 of its 4 chunks") as caught:
        chunk.run(ChunkTask(1, item, 7, 1, 1), no_stage)
    assert caught.value.evidence == {"staged": [3]}
