"""Chains of steps: plans that survive JSON, files that do not depend on chunks, words of GDAL."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from assembling import publish
from chains import EXAMPLES, chain_item, raster, whole_of
from planning import OPERATIONS
from rasterio.shutil import copy

from geobatch_tui.errors import EmptyInputError, SchemaError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import chain_probe, item_plan
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.steps.step_table import needed_source

CHAINS = {
    "no new pixels": ["clip-window", "select", "edit"],
    "warp first": ["reproject-bilinear", "set-type-int16", "clip-window"],
    "warp last": ["select", "set-type-float", "reproject-cubic"],
    "warp twice": ["reproject-near", "reproject-bilinear"],
}


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


@pytest.mark.parametrize("validity", ["none", "nodata", "alpha", "mask"])
@pytest.mark.parametrize("names", CHAINS.values(), ids=CHAINS)
def test_files_do_not_depend_on_chunks(tmp_path, names, validity):
    """One chunk or several of several blocks: the published file is the same, byte for byte."""
    path = raster(tmp_path / "a.tif", size=(59, 44), validity=validity)
    output = {"creation": {"blocksize": 16}}
    steps = [EXAMPLES[name] for name in names]
    files = []
    for side in (0, 32):
        item = chain_item(path, steps, output=output, cols=side, rows=side)
        files.append(Path(publish(item)[0]).read_bytes())
    assert len(set(files)) == 1


@pytest.mark.parametrize("names", CHAINS.values(), ids=CHAINS)
def test_plans_survive_json(tmp_path, names):
    """What the ledger keeps of a chain is all of it."""
    item = chain_item(raster(tmp_path / "a.tif"), [EXAMPLES[name] for name in names])
    plan = RasterPlan.from_json(json.loads(json.dumps(item.plan.detail)))
    assert json.dumps(plan.to_json()) == json.dumps(item.plan.detail)
    assert [step.name for step in plan.chain] == ["read", *(EXAMPLES[n]["name"] for n in names)]
    assert "nodata" not in item.plan.detail["chain"][-1]["raster"]  # as the step before it


def test_what_a_window_needs_of_the_source_is_known(tmp_path):
    """A clip moves the window, a warp widens it; damage is looked for there."""
    path = raster(tmp_path / "a.tif", size=(230, 190))
    item = chain_item(path, [EXAMPLES["clip-window"], EXAMPLES["edit"]])
    chain = RasterPlan.from_json(item.plan.detail).chain
    assert needed_source(chain, Window(1, 2, 4, 3)) == Window(4, 7, 4, 3)
    item = chain_item(path, [EXAMPLES["reproject-bilinear"], EXAMPLES["clip-window"]])
    chain = RasterPlan.from_json(item.plan.detail).chain
    needed = needed_source(chain, Window(0, 0, 8, 8))
    assert needed.width >= 8
    assert needed.clip(Window(0, 0, 230, 190)) == needed


@pytest.mark.parametrize(
    ("name", "overlaps"), [("calc-index", False), ("hillshade", True), ("reproject-cubic", True)]
)
def test_chunks_that_read_the_same_pixels_say_so(tmp_path, name, overlaps):
    """Then a worker is given neighbours in turn: what it decoded for one serves the next."""
    output = {"creation": {"blocksize": 16}}
    path = raster(tmp_path / "a.tif")
    item = chain_item(path, [EXAMPLES[name]], cols=16, rows=16, output=output)
    assert item.plan.notes.get("overlaps", False) is overlaps


def test_two_rows_of_chunks_are_a_strip_where_their_blocks_are_kept(tmp_path, monkeypatch):
    """Then what lies between them is decoded once. Of blocks as wide as the source each row of
    chunks has its own, and a small cache holds too few."""

    def rows(name, step="hillshade"):
        output = {"creation": {"blocksize": 16}}
        item = chain_item(tmp_path / name, [EXAMPLES[step]], cols=16, rows=16, output=output)
        return item.plan.notes.get("strip_rows")

    copy(raster(tmp_path / "tiles.tif"), tmp_path / "wide.tif", driver="GTiff", tiled="NO")
    assert rows("tiles.tif") == 2
    assert rows("tiles.tif", "calc-index") is None
    assert rows("wide.tif") is None
    monkeypatch.setattr(item_plan, "KEPT_TILES", 2000)
    chain_probe._shared.clear()
    assert rows("tiles.tif") is None


def test_a_step_that_cannot_work_is_named(tmp_path):
    """Which step, by number and name, and what it lacks."""
    path = raster(tmp_path / "a.tif")
    with pytest.raises(SchemaError, match=r"step 2 \(select\): there is no band 3; .* has 2"):
        chain_item(path, [EXAMPLES["edit"], {"name": "select", "band": [3]}])
    with pytest.raises(EmptyInputError, match="no pixel of the input, which is 47x41"):
        chain_item(path, [{"name": "clip", "window": [100, 0, 5, 5]}])


def test_gdal_says_the_same(tmp_path):
    """The command for comparison has GDAL's words, and leaves defaults out."""
    item = chain_item(
        raster(tmp_path / "a b.tif"),
        [EXAMPLES["clip-window"], EXAMPLES["reproject-cubic"], EXAMPLES["edit"]],
    )
    words = shlex.split(OPERATIONS["raster.pipeline"].gdal_command(item))
    assert words[:5] == ["gdal", "raster", "pipeline", "read", item.source]
    assert words[5:18] == [
        "!", "clip", "--window", "3,5,30,21", "!", "reproject", "--output-crs", "EPSG:32632",
        "--resampling", "cubic", "--error-threshold", "0.001", "!",
    ]  # fmt: skip
    assert words[18:23] == ["edit", "--metadata", "a=b", "!", "write"]
    part = OPERATIONS["raster.pipeline"].reproduce(item, Window(1, 2, 3, 4))
    assert "clip --window 1,2,3,4" in part


def test_a_warp_may_be_told_the_crs_of_its_input(tmp_path):
    """As GDAL's --input-crs does: as if the file had said so; first in a chain and later."""
    path = raster(tmp_path / "a.tif")
    warp = {"name": "reproject", "output_crs": "EPSG:3035", "resampling": "bilinear"}
    first = [{"name": "edit", "crs": "EPSG:4230"}, warp]
    told = warp | {"input_crs": "EPSG:4230"}
    expected = whole_of(chain_item(path, first))
    for steps in ([told], [{"name": "select", "band": [1, 2]}, told]):
        opened_source.release()
        plan, pixels, _ = whole_of(chain_item(path, steps))
        assert plan.transform == expected[0].transform
        assert np.array_equal(pixels, expected[1], equal_nan=True)
    plain = whole_of(chain_item(path, [warp]))
    assert plain[0].transform != expected[0].transform
