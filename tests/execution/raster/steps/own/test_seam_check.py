"""When functions are tried for seams, and what proves nothing."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
from chains import chain_item, raster

from geobatch_tui.errors import SeamError
from geobatch_tui.execution.params.chain_params import RasterChain
from geobatch_tui.execution.protocol.messages import ChunkTask
from geobatch_tui.execution.raster import chunk
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.steps.own import seam_check
from geobatch_tui.execution.runtime import own_trials

SOURCE = """
calls = []
def count(block):
    calls.append(block.shape)
    return block
def flat(block):
    return block * 0 + 3
def scaled(block):
    return (block * (1 / block.max())).astype(block.dtype)
"""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(own_trials, "tried", {})
    yield
    opened_source.release()


@pytest.fixture
def task(tmp_path):
    """A chunk of a job of steps, some of them functions of SOURCE."""
    (tmp_path / "steps.py").write_text(SOURCE)

    def call(*steps, index=0, **fields):
        found = [
            {"use": f"{tmp_path}/steps.py:{step}"} if isinstance(step, str) else step
            for step in steps
        ]
        path = tmp_path / "a.tif"
        if not path.exists():
            raster(path, validity="none", size=(64, 32))
        item = chain_item(path, found, output={"creation": {"blocksize": 16}}, cols=32, rows=16)
        return ChunkTask(1, item, index, 1, 1, **fields)

    return call


def is_due(task):
    return seam_check.is_due(task, RasterPlan.from_json(task.item.plan.detail))


def pixels(task):
    return chunk.pixels_of(task, lambda _name: nullcontext())[0]


def test_the_first_chunk_of_a_run_is_tried(task):
    """And no other; a new run tries anew, and a dry run each chunk."""
    first = task("count")
    assert is_due(first)
    pixels(first)
    assert not is_due(replace(first, index=1))
    assert is_due(replace(first, epoch=2))
    assert is_due(replace(first, proves=True))
    assert not is_due(task({"name": "edit"}))
    assert not is_due(replace(first, epoch=3, subdivide=1))


def test_what_is_the_same_everywhere_proves_nothing(task):
    """The next chunk is tried too."""
    first = task("flat")
    pixels(first)
    assert is_due(first)


def test_steps_in_the_middle_are_tried(task):
    """What stands behind them does not hide it."""
    behind = {"name": "set-type", "output_data_type": "uint8"}
    with pytest.raises(SeamError) as caught:
        pixels(task("count", "scaled", behind))
    assert set(caught.value.evidence) == {"column", "row", "band", "values"}
    assert "halo=0 is too small" in caught.value.message


def test_small_windows_are_tried_as_far_as_they_can_be_cut(task):
    """Down to a pixel."""
    one = {"name": "clip", "window": [3, 4, 1, 1]}
    assert pixels(task("scaled", one)).shape == (2, 1, 1)
    two = {"name": "clip", "window": [3, 4, 3, 2]}
    with pytest.raises(SeamError):
        pixels(task(two, "scaled", proves=True))


BESIDE = {"name": "calc", "calc": ["A + B"], "dialect": "muparser"}


def beside(tmp_path, *functions):
    """A step with a chain of functions beside it, on the source of the item."""
    steps = [{"use": f"{tmp_path}/steps.py:{name}"} for name in functions]
    return {**BESIDE, "inputs": {"B": {"input": "{source}", "steps": steps}}}


def test_chains_beside_a_step_are_tried(task, tmp_path):
    """Each function in them, in the first chunk; the pixels are those of the same chain."""
    first = task(beside(tmp_path, "count", "flat"))
    assert is_due(first)
    assert (pixels(first) == pixels(task({"name": "calc", "calc": ["X + 3"]}))).all()
    assert is_due(first)  # what is flat proves nothing
    counted = task(beside(tmp_path, "count"))
    pixels(replace(counted, epoch=2))
    assert not is_due(replace(counted, epoch=2, index=1))
    with pytest.raises(SeamError, match=r"steps\.py:scaled"):
        pixels(task(beside(tmp_path, "scaled", "count"), proves=True))
    assert first.item.plan.notes["unmeasured"]


def test_a_chain_beside_is_found_where_the_job_lies(task, tmp_path):
    """A plan that was kept does not say where its functions are."""
    first = task(beside(tmp_path, "flat"))
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "steps.py").rename(moved / "steps.py")
    steps = RasterChain.model_validate({"steps": [beside(moved, "flat")]}).model_dump(mode="json")
    item = replace(first.item, params=steps)
    assert (
        pixels(replace(first, item=item)) == pixels(task({"name": "calc", "calc": ["X+3"]}))
    ).all()
