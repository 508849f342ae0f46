"""Runs on items of a STAC catalogue: their assets are the bands, and the ledger knows them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from object_server import served
from rasterio.transform import from_origin
from stac_server import collection, item

import geobatch_tui
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import PreflightError
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.state.session import state_of_run

STACK = {"name": "raster.pipeline", "steps": [{"name": "stack"}, {"name": "edit"}]}
CONVERT = {"name": "raster.convert"}


def tile(path, value):
    profile = {
        "driver": "GTiff", "width": 40, "height": 30, "count": 1, "dtype": "uint16",
        "crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(np.full((1, 30, 40), value, "uint16"))


def job(entry, out, op):
    return make_job({
        "source": {"inputs": [entry]},
        "op": op,
        "output": {"dir": str(out)},
        "engine": {"max_workers": 1, "executor": "thread"},
    })  # fmt: skip


async def test_two_assets_become_two_bands(tmp_path):
    """In the order of the job; each item is one output, and its row knows it. A second run finds
    all of it done."""
    items = []
    for number in range(3):
        for band, value in (("B04", 100), ("B08", 200)):
            tile(tmp_path / f"{number}-{band}.tif", value + number)
        items.append(item(f"S2-{number}", B04=f"{number}-B04.tif", B08=f"{number}-B08.tif"))
    (tmp_path / "items.json").write_text(collection(items))
    entry = {"stac": str(tmp_path / "items.json"), "assets": ["B08", "B04"]}
    result = await geobatch_tui.run(job(entry, tmp_path / "out", STACK))
    assert result.exit_code == 0
    for number in range(3):
        with rasterio.open(tmp_path / "out" / f"S2-{number}.tif") as out:
            assert [band.max() for band in out.read()] == [200 + number, 100 + number]
    with LedgerReader(state_of_run(tmp_path / "out").ledger) as reader:
        row = reader.item_by_key("S2-1.tif")
    assert row.facts["stac"]["id"] == "S2-1"
    assert row.facts["stac"]["properties"]["platform"] == "sentinel-2b"
    before = (tmp_path / "out" / "S2-1.tif").stat().st_mtime_ns
    again = await geobatch_tui.run(job(entry, tmp_path / "out", STACK))
    assert again.exit_code == 0
    assert (tmp_path / "out" / "S2-1.tif").stat().st_mtime_ns == before


async def test_an_asset_of_a_store_is_read_there(tmp_path):
    """A catalogue beside the objects, as one on a disk that names them."""
    tile(tmp_path / "a.tif", 7)
    with served() as objects:
        objects.data["c/a.tif"] = (tmp_path / "a.tif").read_bytes()
        objects.data["c/items.json"] = collection([item("far", data="a.tif")]).encode()
        entry = {"stac": objects.url("c/items.json")}
        result = await geobatch_tui.run(job(entry, tmp_path / "out", CONVERT))
    assert result.exit_code == 0
    with rasterio.open(tmp_path / "out" / "far.tif") as out:
        assert out.read().max() == 7


@pytest.mark.parametrize(
    "op", [CONVERT, {"name": "raster.pipeline", "steps": [{"name": "mosaic"}]}]
)
async def test_several_assets_want_a_stack(tmp_path, op):
    """Nothing else makes one raster of them."""
    (tmp_path / "items.json").write_text(json.dumps(item("a", B04="a.tif", B08="b.tif")))
    entry = {"stac": str(tmp_path / "items.json"), "assets": ["B04", "B08"]}
    with pytest.raises(PreflightError, match="step stack alone"):
        await geobatch_tui.run(job(entry, tmp_path / "out", op))
