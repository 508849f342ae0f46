"""Results of steps for one chunk, as the console asks for them."""

from __future__ import annotations

import geopandas as gpd
import pyogrio
import pytest
import shapely

from geobatch_tui.config import paths
from geobatch_tui.config.layers import load_job
from geobatch_tui.errors import ConfigError
from geobatch_tui.orchestration.workers.thread_pool import ThreadPool
from geobatch_tui.tui.jobs.chunk_results import ChunkResults, StepPicture
from geobatch_tui.tui.letters.previewer import Previewer, Unseen

CHAIN = """\
[source]
inputs = ["alps.tif", "nile.tif"]
[[step]]
name = "select"
band = 2
[[step]]
name = "roughness"
[output]
dir = "out"
[engine]
chunk_cols = 512
chunk_rows = 512
"""


@pytest.fixture
def load(tmp_path):
    """``load(text)``: a job on copies of examples' rasters."""
    for name in ("alps.tif", "nile.tif"):
        (tmp_path / name).symlink_to(paths.sample_dir() / "data" / name)

    def load(text=CHAIN):
        path = tmp_path / "job.toml"
        path.write_text(text)
        return load_job(path, environ={})

    return load


class Counted(Previewer):
    """Counts what is asked of its worker, which is a thread."""

    def __init__(self):
        super().__init__(lambda _: ThreadPool())
        self.asked = []

    async def receipt(self, task):
        self.asked.append(type(task).__name__)
        return await super().receipt(task)


@pytest.fixture
async def results():
    worker = Counted()
    results = ChunkResults(worker)
    results.asked = worker.asked
    yield results
    await results.close()


async def test_steps_of_the_middle_chunk(results, load):
    """Of the first item; the plan is made once, and what was seen is not computed again."""
    job = load()
    source = await results.look(job, 0)
    last = await results.look(job, 2)
    assert isinstance(last, StepPicture), last
    assert (last.chunk, last.number, last.count) == ("alps.tif@1,1", 5, 6)
    assert last.receipt.facts["dtype"] == "float32"
    assert source.receipt.facts["count"] == 3
    assert await results.look(job, 0) is source
    assert results.asked == ["ProbeTask", "ResultTask", "ResultTask"]
    await results.look(load(CHAIN.replace("band = 2", "band = 1")), 2)
    assert results.asked[3:] == ["ProbeTask", "ResultTask"]


async def test_steps_on_features(results, load, tmp_path):
    """The same of features: how many there are behind each step, with the first."""
    frame = gpd.GeoDataFrame({"n": range(9)}, geometry=shapely.points(range(9), 0), crs=3857)
    pyogrio.write_dataframe(frame, tmp_path / "a.gpkg")
    text = """\
[source]
inputs = ["a.gpkg"]
[[step]]
name = "filter"
where = "n > 3"
[[step]]
name = "buffer"
distance = 1
[output]
dir = "out"
format = "GPKG"
[engine]
chunk_features = 5
"""
    job = load(text)
    last = await results.look(job, 2)
    assert isinstance(last, StepPicture), last
    assert (last.chunk, last.number, last.count) == ("a.gpkg@0,1", 2, 2)
    assert last.receipt.kinds == {"MultiPolygon": 4}
    assert (await results.look(job, 0)).receipt.kinds == {"Point": 4}
    results.move(1)
    found = (await results.look(job, 1)).receipt
    assert (found.read, found.made, found.dropped) == (5, 1, 4)


async def test_another_chunk(results, load):
    """The next, the one before the first, one by its name, an item by its name."""
    job = load()
    await results.look(job, 2)
    results.move(1)
    assert (await results.look(job, 2)).chunk == "alps.tif@1,2"
    results.choose("alps.tif@0,0")
    assert (await results.look(job, 2)).number == 1
    results.move(-1)
    assert (await results.look(job, 2)).chunk == "alps.tif@1,2"
    results.choose("nile.tif")
    assert (await results.look(job, 1)).chunk == "nile.tif@1,1"
    for wrong, said in {"alps.tif@9,9": "there is no 9,9", "no.tif": "no item no.tif"}.items():
        results.choose(wrong)
        found = await results.look(job, 1)
        assert isinstance(found, Unseen)
        assert said in found.reason
    with pytest.raises(ConfigError):
        results.choose("alps.tif@x")


async def test_steps_before_one_that_is_refused_are_shown(results, load):
    """With what the plan says; the refused one has a reason in place of a picture."""
    job = load(CHAIN.replace('name = "roughness"', 'name = "roughness"\nband = 3'))
    found = await results.look(job, 1)
    assert isinstance(found, StepPicture), found
    assert "step 2 (roughness)" in found.note
    refused = await results.look(job, 2)
    assert isinstance(refused, Unseen)
    assert "step 2 (roughness)" in refused.reason


async def test_an_error_is_a_reason(results, load, tmp_path):
    """A function that raises, with its line; a source that is not there."""
    (tmp_path / "own.py").write_text('def f(block):\n    raise ValueError("no luck")\n')
    text = CHAIN.replace('name = "roughness"', 'use = "own.py:f"')
    found = await results.look(load(text), 2)
    assert isinstance(found, Unseen)
    assert "no luck (own.py, line 2)" in found.reason
    assert isinstance(await results.look(load(text), 1), StepPicture)
    (tmp_path / "alps.tif").unlink()
    assert "alps.tif" in (await results.look(load(), 1)).reason
