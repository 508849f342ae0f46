"""The step that a letter is blamed on, and what it got, in real runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import geobatch_tui
from geobatch_tui.execution.protocol.preview_messages import FeaturesReceipt, PreviewReceipt
from geobatch_tui.orchestration.workers.thread_pool import ThreadPool
from geobatch_tui.tui.letters import dossier
from geobatch_tui.tui.letters.blamed_step import blamed
from geobatch_tui.tui.letters.look_tasks import what_it_got
from geobatch_tui.tui.letters.previewer import Previewer, Unseen
from geobatch_tui.tui.run.store import RunStore

OWN = """
import pyarrow as pa
from geobatch_tui import step

@step(fields={})
def features(table: pa.Table) -> pa.Table:
    if 3 in table["n"].to_pylist():
        raise ValueError("no luck")
    return table

def pixels(block, *, most: float = 150.0):
    if block.max() > most:
        raise ValueError("too high")
    return block
"""
FEATURES = """
[[step]]
name = "filter"
where = "n > 1"
[[step]]
name = "buffer"
distance = 1
[[step]]
use = "own.py:features"
"""
PIXELS = """
[[step]]
name = "materialize"
[[step]]
name = "scale"
input_min = 0
input_max = 100
output_min = 0
output_max = 200
[[step]]
use = "own.py:pixels"
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``run(steps, source)``: the dossier of its one letter."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "own.py").write_text(OWN)

    async def run(steps, source, form):
        text = f'[source]\ninputs = ["{source.name}"]\n{steps}\n[output]\ndir = "out"\n'
        more = f'format = "{form}"\n[engine]\nexecutor = "thread"\n[retry]\nbackoff_base = "1ms"\n'
        (tmp_path / "job.toml").write_text(dedent(text + more))
        result = await geobatch_tui.run(geobatch_tui.load_job(tmp_path / "job.toml"))
        assert result.exit_code == 12
        store = RunStore(Path(result.output_dir))
        try:
            store.poll()
            (letter,) = store.letters
            return dossier.gather(store, letter)
        finally:
            store.close()

    return run


async def look(found):
    worker = Previewer(lambda _: ThreadPool())
    try:
        return await worker.look(what_it_got(found))
    finally:
        await worker.close()


def points(path):
    """Six points with a number."""
    frame = gpd.GeoDataFrame({"n": range(6)}, geometry=shapely.points(range(6), 0), crs=3857)
    pyogrio.write_dataframe(frame, path)
    return path


async def test_of_a_feature(tmp_path, run):
    """The third step, and the one feature as the second gave it."""
    found = await run(FEATURES, points(tmp_path / "a.gpkg"), "GPKG")
    step = blamed(found)
    assert (step.number, step.count, step.name) == (3, 3, "own.py:features")
    assert found.record["step"] == 3
    got = await look(found)
    assert isinstance(got, FeaturesReceipt), got
    assert (got.read, got.made, got.kinds) == (1, 1, {"MultiPolygon": 1})
    assert got.lines[0].position == 3


async def test_of_a_chunk_behind_a_stage(tmp_path, run):
    """Counted among the steps of the job; what it got are the pixels that the scale made."""
    source = tmp_path / "a.tif"
    values = np.linspace(0, 100, 64 * 64, dtype="float32").reshape(1, 64, 64)
    with rasterio.open(
        source, "w", driver="GTiff", width=64, height=64, count=1, dtype="float32",
        crs="EPSG:3857", transform=from_origin(0, 64, 1, 1),
    ) as dataset:  # fmt: skip
        dataset.write(values)
    found = await run(PIXELS, source, "COG")
    assert blamed(found).label == "step 3 of 3, own.py:pixels"
    got = await look(found)
    assert isinstance(got, PreviewReceipt), got
    assert got.facts["ranges"] == [[0, 200]]


async def test_no_step_is_blamed(tmp_path, run):
    """A damaged source is what is to be seen itself; code of others is not run."""
    found = await run(FEATURES, points(tmp_path / "a.gpkg"), "GPKG")
    other = replace(found, trusted=False)
    assert "another user" in what_it_got(other).reason
    source = replace(found.letter, record={**found.record, "step": 0, "evidence": {"step": 0}})
    assert "the source is to blame" in what_it_got(replace(found, letter=source)).reason
    named = replace(found.letter, record={**found.record, "step": None, "evidence": {}})
    assert blamed(replace(found, letter=named)).number == 3
    plain = replace(found, job={"op": {"name": "vector.convert"}})
    assert blamed(plain) is None
    assert isinstance(what_it_got(plain), Unseen)
