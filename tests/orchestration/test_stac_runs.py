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


def tile(path, value, left=0, *, masked=False):
    profile = {
        "driver": "GTiff", "width": 40, "height": 30, "count": 1, "dtype": "uint16",
        "crs": "EPSG:32632", "transform": from_origin(500_000 + left, 5_000_000, 10, 10),
    }  # fmt: skip
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile, compress="deflate") as out,
    ):
        out.write(np.full((1, 30, 40), value, "uint16"))
        if masked:
            out.write_mask(np.arange(1200).reshape(30, 40) % 7 > 0)


def job(entry, out, op):
    return make_job({
        "source": {"inputs": entry if isinstance(entry, list) else [entry]},
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


async def test_assets_of_a_store_are_stacked_as_files_are(tmp_path):
    """The same bytes; an object that is replaced between two runs is read anew."""
    tile(tmp_path / "a-B04.tif", 100)
    tile(tmp_path / "a-B08.tif", 200)
    (tmp_path / "items.json").write_text(collection([item("a", B04="a-B04.tif", B08="a-B08.tif")]))
    assets = {"assets": ["B08", "B04"]}
    local = {"stac": str(tmp_path / "items.json"), **assets}
    assert (await geobatch_tui.run(job(local, tmp_path / "local", STACK))).exit_code == 0
    with served() as objects:
        for name in ("a-B04.tif", "a-B08.tif", "items.json"):
            objects.data[name] = (tmp_path / name).read_bytes()
        far = job({"stac": objects.url("items.json"), **assets}, tmp_path / "far", STACK)
        assert (await geobatch_tui.run(far)).exit_code == 0
        made = tmp_path / "far" / "a.tif"
        assert made.read_bytes() == (tmp_path / "local" / "a.tif").read_bytes()
        before = made.stat().st_mtime_ns
        assert (await geobatch_tui.run(far)).exit_code == 0
        assert made.stat().st_mtime_ns == before
        tile(tmp_path / "a-B04.tif", 15_000)
        objects.data["a-B04.tif"] = (tmp_path / "a-B04.tif").read_bytes() + b" "
        await geobatch_tui.run(far)
    with rasterio.open(made) as out:
        assert [band.max() for band in out.read()] == [200, 15_000]


@pytest.mark.parametrize("masked", [False, True])
async def test_objects_of_a_mosaic_give_the_bytes_of_files(tmp_path, masked):
    """By their blocks, and by whole copies where GDAL reads a mask; nothing is left of these."""
    (tmp_path / "in").mkdir()
    for number in range(2):
        tile(tmp_path / "in" / f"{number}.tif", 100 + number, left=400 * number, masked=masked)
    mosaic = {"name": "raster.pipeline", "steps": [{"name": "mosaic"}]}
    names = [f"{number}.tif" for number in range(2)]
    local = job(str(tmp_path / "in"), tmp_path / "local", mosaic)
    assert (await geobatch_tui.run(local)).exit_code == 0
    with served() as objects:
        objects.data |= {name: (tmp_path / "in" / name).read_bytes() for name in names}
        far = job([objects.url(name) for name in names], tmp_path / "far", mosaic)
        assert (await geobatch_tui.run(far)).exit_code == 0
    (one,), (other,) = ((tmp_path / place).glob("*.tif") for place in ("local", "far"))
    assert one.read_bytes() == other.read_bytes()


async def test_an_object_of_a_stack_that_changes_is_no_pixel(tmp_path):
    """It is found by its tag, though its size and time are the same."""
    for band in ("B04", "B08"):
        tile(tmp_path / f"a-{band}.tif", 100)
    with served() as objects:
        hrefs = {band: objects.url(f"a-{band}.tif") for band in ("B04", "B08")}
        (tmp_path / "items.json").write_text(collection([item("a", **hrefs)]))
        for name in ("a-B04.tif", "a-B08.tif"):
            objects.data[name] = (tmp_path / name).read_bytes()
        entry = {"stac": str(tmp_path / "items.json"), "assets": ["B04", "B08"]}
        far = job(entry, tmp_path / "far", STACK)
        plan = await geobatch_tui.plan(far)
        assert plan.items == 1
        asked = len([seen for seen in objects.seen if seen[1] == "a-B08.tif"])

        def changing(method, path, number):
            seen = sum(one[1] == "a-B08.tif" for one in objects.seen)
            return "other" if path == "a-B08.tif" and seen > 2 * asked else ""

        objects.fault = changing
        result = await geobatch_tui.run(far)
    assert [letter["error_class"] for letter in result.dead_letters] == ["SourceChangedError"]


@pytest.mark.parametrize(
    "op", [CONVERT, {"name": "raster.pipeline", "steps": [{"name": "mosaic"}]}]
)
async def test_several_assets_want_a_stack(tmp_path, op):
    """Nothing else makes one raster of them."""
    (tmp_path / "items.json").write_text(json.dumps(item("a", B04="a.tif", B08="b.tif")))
    entry = {"stac": str(tmp_path / "items.json"), "assets": ["B04", "B08"]}
    with pytest.raises(PreflightError, match="step stack alone"):
        await geobatch_tui.run(job(entry, tmp_path / "out", op))
