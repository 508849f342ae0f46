"""What a step gives for a chunk, for the eye: the pixels of a run, in few figures and a picture."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from corpus import corrupt_tile
from planning import item_of, no_stage, read_whole
from rasterio.transform import from_origin

from geobatch_tui.errors import CorruptSourceError, InvalidInputError, SourceNotFoundError
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.messages import ResultTask
from geobatch_tui.execution.raster.pictures import step_result
from geobatch_tui.execution.raster.pictures.preview import NODATA, VALUE

CHAIN = [
    {"name": "reproject", "output_crs": "EPSG:3035", "resampling": "bilinear"},
    {"name": "slope"},
    {"name": "color-map", "colors": [["0", 0, 0, 255, 255], ["90", 255, 0, 0, 255]]},
]
SMALL = {"creation": {"blocksize": 128}}


def heights(path, *, side=96, nodata=-1.0):
    """A hill of one band with a hole of nodata, in degrees."""
    down, across = np.mgrid[:side, :side]
    values = (1000 - (down - 40) ** 2 - (across - 50) ** 2 / 2).astype("float32")
    values[:20, :30] = nodata
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=1, dtype="float32",
        crs="EPSG:4326", transform=from_origin(10, 48, 0.01, 0.01), nodata=nodata,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    return path


def item(path, steps=CHAIN, **how):
    return item_of(path, {"steps": steps}, op="raster.pipeline", **how)


def look(item, step, index=0, columns=40, rows=24):
    """The receipt, its colours (h, w, 3) and its marks (h, w)."""
    found = step_result.step_result(ResultTask(1, item, index, step, (columns, rows)), no_stage)
    colours = np.frombuffer(found.pixels, np.uint8).reshape(found.height, found.width, 3)
    return found, colours, np.frombuffer(found.marks, np.uint8).reshape(found.height, found.width)


def test_figures_are_those_of_the_runs_pixels(tmp_path):
    """The last step's are those of the chunk; the source's those of the file."""
    path = heights(tmp_path / "a.tif")
    chain = item(path, CHAIN[:2])
    pixels, _ = read_whole(chain)
    valid = pixels[0] != -9999
    found, _, marks = look(chain, 2)
    assert found.facts["ranges"] == [[pixels[0][valid].min(), pixels[0][valid].max()]]
    assert found.facts["missing"] == [pytest.approx(1 - valid.mean())]
    assert (found.facts["dtype"], found.facts["nodata"]) == ("float32", "-9999.0")
    assert {*np.unique(marks)} == {VALUE, NODATA}
    source, _, _ = look(chain, 0)
    assert source.facts["size"] == [96, 96]
    assert source.facts["missing"] == [pytest.approx(600 / 96**2)]
    assert source.facts["ranges"][0][1] == 1000
    for message in (found, ResultTask(1, chain, 0, 2, (40, 24))):
        assert wire.unpack(wire.pack(1, message)[wire.HEADER.size :]) == message


def test_a_chunk_shows_what_it_is_made_of(tmp_path):
    """A window of each step's own raster, with what the steps behind need around it."""
    chain = item(heights(tmp_path / "a.tif", side=400), cols=128, rows=128, output=SMALL)
    grid = chain.plan.grid
    index = grid.columns + 1
    last, between, source = (look(chain, step, index)[0].facts for step in (3, 1, 0))
    assert last["window"] == list(grid.window(index).srcwin)
    left, top, width, height = last["window"]
    assert between["window"] == [left - 1, top - 1, width + 2, height + 2]
    assert source["size"] == [400, 400]
    assert last["count"] == 3
    assert last["bands"] == [1, 2, 3]


def test_a_picture_is_of_means(tmp_path):
    """Of the valid pixels that a pixel stands for; three bands of bytes are colours as they are."""
    path = heights(tmp_path / "a.tif", side=48)
    steps = [{"name": "calc", "calc": ["b1", "b1 / 5", "7"], "output_data_type": "Byte"}]
    _, colours, marks = look(item(path, steps), 1, columns=24, rows=24)
    with rasterio.open(path) as dataset:
        band = dataset.read(1)
    cells = np.clip(np.round(band), 0, 255)[20:, 30:].reshape(14, 2, 9, 2).mean(axis=(1, 3))
    assert np.array_equal(colours[10:, 15:, 0], np.round(cells))
    assert (colours[10:, 15:, 2] == 7).all()
    assert (marks[:10, :15] == NODATA).all()


def test_of_a_vast_chunk_the_middle_is_shown(tmp_path, monkeypatch):
    """By the law of cuts it has the same pixels."""
    monkeypatch.setattr(step_result, "MOST_SIDE", 16)
    found, _, _ = look(item(heights(tmp_path / "a.tif"), [{"name": "slope"}]), 1)
    assert found.facts["window"] == [40, 40, 16, 16]


def test_what_is_not_there_is_refused(tmp_path):
    """A step that the chain has not, and a source that went away or is damaged."""
    path = heights(tmp_path / "a.tif")
    chain = item(path)
    with pytest.raises(InvalidInputError, match="there is no step 4"):
        look(chain, 4)
    path.unlink()
    with pytest.raises(SourceNotFoundError, match=r"a\.tif"):
        look(chain, 1)
    broken = item(corrupt_tile(tmp_path), [{"name": "roughness"}])
    with pytest.raises(CorruptSourceError, match="cannot be read"):
        look(broken, 1)


def test_nothing_valid_has_no_range(tmp_path):
    """It is said, and all of the picture is nodata."""
    steps = [{"name": "calc", "calc": ["0 / 0"], "output_data_type": "Float32"}]
    found, _, marks = look(item(heights(tmp_path / "a.tif"), steps), 1)
    assert found.facts["ranges"] == [None]
    assert found.facts["missing"] == [1.0]
    assert (marks == NODATA).all()


def test_what_a_run_stores_is_computed_here(tmp_path):
    """A step behind one that is stored, and one with a chain beside it, have the same pixels."""
    side = {"input": "{source}", "steps": [{"name": "hillshade", "zfactor": 60}]}
    steps = [*CHAIN[:2], {"name": "materialize"}, CHAIN[2], {"name": "blend", "overlay": side}]
    chain = item(heights(tmp_path / "a.tif"), steps[:4])
    assert chain.plan.stages
    last = look(chain, 4, chain.plan.staged)[0]
    assert last.facts["window"] == list(chain.plan.grid.window(0).srcwin)
    assert last.pixels == look(item(tmp_path / "a.tif"), 3)[0].pixels
    # A chunk of the stage itself has the steps before it.
    assert look(chain, 2)[0].facts["window"] == list(chain.plan.grids[0].window(0).srcwin)
    with pytest.raises(InvalidInputError, match="has 2 steps; there is no step 3"):
        look(chain, 3)
    blended = item(tmp_path / "a.tif", [steps[1], steps[3], steps[4]])
    found, _, _ = look(blended, 3)
    pixels, _ = read_whole(blended)
    assert found.facts["ranges"][0][1] == pixels[0].max()
