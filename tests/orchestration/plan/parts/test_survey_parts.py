"""Surveys of all pixels before a plan: in parts that are kept, with what the whole would give."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geobatch_tui.execution.params.frozen import may_survey
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.looking import SurveyReceipt, SurveyTask
from geobatch_tui.execution.protocol.messages import Failure, Outcome, ProbeTask, SourceIdentity
from geobatch_tui.execution.raster.steps import chain, survey
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.plan.parts import survey_parts
from geobatch_tui.orchestration.plan.parts.group_parts import Kept
from geobatch_tui.orchestration.plan.parts.survey_parts import SurveyParts

JOB = """
[source]
inputs = ["a.tif"]
[[step]]
name = "scale"
exponent = 1
[[step]]
name = "blend"
overlay = {{ input = "{{source}}", steps = [{{ name = "scale" }}] }}
opacity = 40
[[step]]
name = "proximity"
target_values = [255]
[[step]]
name = "select"
band = [1]
[output]
dir = "{}"
creation = {{ blocksize = 256 }}
"""
MOSAIC = """
[source]
inputs = ["*.tif"]
[[step]]
name = "mosaic"
[[step]]
name = "scale"
output_data_type = "UInt16"
[[step]]
name = "select"
band = [1]
[output]
dir = "{}"
creation = {{ blocksize = 256 }}
"""
SCALE = {"name": "scale", "input_min": None}
PROBE = ProbeTask(
    0, "a.tif", "/a.tif", {}, "raster.pipeline", {"steps": [SCALE, {"name": "slope"}]}, {}, None,
    source_id=SourceIdentity(2**30, 1, "d"),
)  # fmt: skip


class Memory(Kept):
    def __init__(self):
        super().__init__()
        self.bodies = {}

    def recall(self, name):
        return self.bodies.get(name)

    def keep(self, name, body):
        if body is not None:
            self.bodies[name] = body


@pytest.fixture
def source(tmp_path):
    """600 rows of 512 pixels, with one largest value."""
    pixels = np.random.default_rng(3).integers(1, 200, (600, 512)).astype("uint8")
    pixels[400, 17] = 250
    profile = {
        "driver": "GTiff", "width": 512, "height": 600, "count": 1, "dtype": "uint8",
        "crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 10, 10), "tiled": True,
        "compress": "deflate",
    }  # fmt: skip
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as out:
        out.write(pixels, 1)
    return tmp_path / "a.tif"


@pytest.fixture
def asked(monkeypatch):
    """Parts of one window each; those that workers were asked for."""
    monkeypatch.setattr(survey, "PART", 1)
    monkeypatch.setattr(chain, "_PART_BYTES", 2**20)
    monkeypatch.setattr(survey_parts, "SMALL", 0)
    told, before = [], SurveyParts.__init__

    def spied(self, ask, *others):
        def spy(task):
            told.append((len(task.probe.surveys), task.part))
            return ask(task)

        before(self, spy, *others)

    monkeypatch.setattr(SurveyParts, "__init__", spied)
    return told


def run(here, folder, name, job=JOB):
    path = folder / "job.toml"
    path.write_text(job.format(name))
    here("run", path, "--headless", check=0)
    with LedgerReader(folder / name / ".geobatch" / "ledger.db") as reader:
        (row,) = reader.items()
    (output,) = (folder / name).glob("*.tif")
    return output.read_bytes(), row.plan["detail"], row.plan["notes"]


def test_parts_give_what_the_whole_gives(tmp_path, here, source, request):
    """The same plan and output; all surveys of a chain, and of one beside it, are in parts; none is
    made again where a later step changes."""
    whole = run(here, tmp_path, "whole")
    asked = request.getfixturevalue("asked")
    parts = run(here, tmp_path, "parts")
    assert parts[:2] == whole[:2]
    assert {name for name in parts[2] if name.startswith("first pass")} == {
        "first pass of step 1 (scale)", "first pass of step 3 (proximity)"
    }  # fmt: skip
    assert {number for number, _ in asked} == {0, 1, 2, 3}
    assert sum(part is not None for _, part in asked) >= 6
    asked.clear()
    run(here, tmp_path, "parts", JOB.replace("[255]", "[254]"))
    again = [number for number, part in asked if part is not None]
    assert set(again) == {2}


def test_a_mosaic_is_looked_at_in_parts(tmp_path, here, source, request, monkeypatch):
    """Its plan and output are those of one look at the whole, and no part is looked at again."""
    with rasterio.open(source) as left:
        transform = from_origin(500_000 + 10 * left.width, 5_000_000, 10, 10)
        with rasterio.open(tmp_path / "b.tif", "w", **left.profile | {"transform": transform}) as b:
            b.write(left.read() // 2)
    whole = run(here, tmp_path, "whole", MOSAIC)
    asked = request.getfixturevalue("asked")
    monkeypatch.setattr(chain, "_PART_BYTES", 2**18)
    parts = run(here, tmp_path, "parts", MOSAIC)
    assert parts[:2] == whole[:2]
    assert sum(part is not None for _, part in asked) >= 2
    asked.clear()
    run(here, tmp_path, "parts", MOSAIC.replace("[1]", "[1, 1]"))
    assert [part for _, part in asked if part is not None] == []


def test_a_part_of_damaged_pixels_refuses_the_item(tmp_path, here, source, asked):
    """Its block is named, as by the probe that reads all of them."""
    with rasterio.open(source) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    with source.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 40)
    (tmp_path / "job.toml").write_text(JOB.format("out"))
    report = json.loads(here("plan", tmp_path / "job.toml", "--json").stdout)
    (refused,) = report["refused"]
    assert refused["error_class"] == "CorruptSourceError"
    assert asked


async def test_what_was_seen_before_an_end_is_kept():
    """A failure ends the survey; the parts that are there are not asked for again."""
    kept, failing, told = Memory(), {2}, []

    async def ask(task):
        told.append(task.part)
        if task.probe.surveys:
            return Outcome(0, SurveyReceipt(0), None, 0, 0, 0)
        if task.part in failing:
            return Failure("CorruptSourceError", "permanent", "damaged")
        look = {} if task.part is None else {"found": task.part, "seconds": 0.5}
        return Outcome(0, SurveyReceipt(5, 1, look), None, 0, 0, 0)

    parts = SurveyParts(ask, kept, "code")
    assert (await parts.ready(PROBE)).message == "damaged"
    assert set(told) >= {None, 0, 1, 2}
    failing.clear()
    seen, told[:] = len(kept.bodies), []
    ready = await parts.ready(PROBE)
    assert [look["found"] for look in ready.surveys[0]] == [0, 1, 2, 3, 4]
    assert len(told) == 2 + 5 - seen
    # Steps behind change nothing; steps before, the source and the code do.
    for other, count in (
        (replace(PROBE, params={"steps": [SCALE]}), 2),
        (replace(PROBE, params={"steps": [{**SCALE, "exponent": 2}]}), 7),
        (replace(PROBE, source_id=SourceIdentity(2**30, 2, "d")), 7),
    ):
        told.clear()
        await parts.ready(other)
        assert len(told) == count


def test_messages_of_surveys_pass_to_workers_and_back():
    """They are among the types that a pipe takes."""
    for message in (SurveyTask(1, PROBE, 2), SurveyReceipt(3, 1, {"found": [1.5], "seconds": 0.1})):
        assert wire.unpack(wire.pack(1, message)[wire.HEADER.size :]) == message


@pytest.mark.parametrize(
    ("step", "may"),
    [
        (SCALE, True),
        ({"name": "scale", "input_min": 0.0}, False),
        ({"name": "proximity", "max_distance": 9, "distance_units": "pixel"}, False),
        ({"name": "proximity", "max_distance": 0, "distance_units": "pixel"}, True),
        ({"name": "color-map", "colors": [["50%", 1, 2, 3, 4]]}, True),
        ({"name": "color-map", "colors": [["50", 1, 2, 3, 4]]}, False),
        ({"name": "blend", "overlay": {"input": "a", "steps": [SCALE]}}, True),
        ({"name": "calc", "inputs": {"B": {"input": "a", "steps": [SCALE]}}}, True),
        ({"name": "calc", "inputs": {"B": "b.tif"}}, False),
    ],
)
def test_only_chains_that_may_need_a_survey_are_asked_for_one(step, may):
    assert may_survey(step) is may
