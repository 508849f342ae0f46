"""The form of a chain: its steps as lines, their parameters as fields, edited and saved."""

from __future__ import annotations

import json
import tomllib

import pytest
from textual.widgets import Input, Static

from geobatch_tui.config import paths
from geobatch_tui.config.layers import load_job
from geobatch_tui.orchestration.workers.thread_pool import ThreadPool
from geobatch_tui.tui.console.app import HomeApp
from geobatch_tui.tui.jobs.chunk_results import ChunkResults
from geobatch_tui.tui.jobs.draft import Draft, StepHead
from geobatch_tui.tui.letters.previewer import Previewer
from geobatch_tui.tui.parts.dialogs import Pick

CHAIN = """\
[job]
name = "shade"
[source]
inputs = ["alps.tif"]
[[step]]
name = "reproject"
output_crs = "EPSG:3035"
resampling = "cubic"
[[step]]
name = "hillshade"
zfactor = 200
[[step]]
use = "steps.py:twice"
[output]
dir = "out"
"""
FUNCTION = '''
def twice(block, *, times: int = 2):
    """Multiply it."""
    return block
'''


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job file of three steps, the last of which is a function beside it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(HomeApp, "DEFAULT_MODE", "config")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alps.tif").symlink_to(paths.sample_dir() / "data" / "alps.tif")
    (tmp_path / "steps.py").write_text(FUNCTION)
    path = tmp_path / "job.toml"
    path.write_text(CHAIN)
    return path


def names(draft):
    return [head.name for head in draft.heads()]


def test_a_chain_is_its_steps(job):
    """Each with its parameters, defaults too; those of a function by its signature."""
    draft = Draft.of_file(job)
    assert names(draft) == ["reproject", "hillshade", "steps.py:twice"]
    fields = {field.leaf.key: field for field in draft.fields()}
    assert "op.steps" not in fields
    assert fields["step[1].resampling"].text == "cubic"
    assert fields["step[1].resampling"].layer == "file"
    assert "lanczos" in fields["step[1].resampling"].leaf.choices
    assert fields["step[2].altitude"].text == "45.0"
    assert fields["step[2].altitude"].layer == "default"
    assert fields["step[2].altitude"].leaf.unit == "degrees"
    assert fields["step[3].times"].text == "2"
    assert not {key for key in fields if key.endswith((".function", ".like_state", ".colors"))}
    assert draft.heads()[1].given == "zfactor=200.0"


def test_values_of_steps_are_edited(job):
    """A value that is wrong is a problem of its key; taken back it is the default."""
    draft = Draft.of_file(job).put("step[2].zfactor", "flat")
    fields = {field.leaf.key: field for field in draft.fields()}
    assert "zfactor" in fields["step[2].zfactor"].problem
    assert fields["step[2].zfactor"].layer == "edited"
    assert draft.heads()[1].problem
    draft = draft.put("step[2].zfactor", "").put("step[3].times", "5")
    assert draft.right
    steps = draft.loaded.job.op.params.steps
    assert steps[1].zfactor == 1
    assert steps[2].model_dump()["times"] == 5
    assert "times" in draft.put("step[3].times", "half").problems.get("step[3].times", "")
    assert "missing" in draft.put("step[1].output_crs", "").problems["step[1].output_crs"]


def test_a_rule_of_a_step_names_it(job):
    """What no single value breaks is a problem of the step."""
    draft = Draft.of_file(job)
    draft = draft.with_steps(draft.chain.added({"name": "clip"}, 2))
    assert "clip takes bbox" in draft.heads()[1].problem
    assert not draft.put("step[2].window", "[0, 0, 9, 9]").problems


def test_a_choice_of_steps_fits(job):
    """What combines inputs is first, or not there; a step of features is none of rasters."""
    chain = Draft.of_file(job).chain
    first, second = (dict(chain.choices(number)) for number in (1, 2))
    assert first.keys() - second.keys() == {"mosaic", "stack"}
    assert {"slope", "calc"} <= second.keys()
    assert "buffer" not in first
    assert "function" not in first


@pytest.mark.parametrize("name", [path.name for path in paths.presets()])
def test_values_of_a_chain_mean_the_same_when_typed(name, tmp_path):
    """Each value that the form shows of an example can be typed back."""
    draft = Draft.of_example(paths.sample_dir() / name, tmp_path)
    again = draft
    for field in draft.fields():
        if field.leaf.key.startswith("step[") and field.text:
            again = again.put(field.leaf.key, field.text)
            assert again.right, (field.leaf.key, again.problems)
    assert again.loaded.job == draft.loaded.job


def test_a_file_of_gdals_begins_with_a_directory(job):
    """It says nowhere where outputs go; the steps are shown, and saved as those of a job."""
    path = job.with_name("a.gdalg.json")
    command = "gdal raster pipeline read --input alps.tif ! slope --unit percent ! select 1"
    path.write_text(json.dumps({"type": "gdal_streamed_alg", "command_line": command}))
    draft = Draft.of_file(path)
    assert names(draft) == ["slope", "select"]
    assert draft.right
    assert draft.changed
    assert draft.loaded.job.output.dir == str(job.parent / "out" / "a")
    place = next(field for field in draft.fields() if field.leaf.key == "output.dir")
    assert place.layer == "edited"
    assert "output.dir" in draft.put("output.dir", "").problems


@pytest.mark.parametrize(
    "text",
    [
        'pipeline = "read alps.tif ! slope --unit percent ! write out"\n',
        (
            '[source]\ninputs = ["alps.tif"]\n[op]\nname = "raster.pipeline"\n'
            'steps = [{ name = "slope", unit = "percent" }]\n[output]\ndir = "out"\n'
        ),
    ],
)
def test_other_ways_to_write_a_chain_are_edited(job, text):
    """A pipeline in GDAL's words, or the operation with its list."""
    job.write_text(text)
    draft = Draft.of_file(job)
    assert names(draft) == ["slope"]
    edited = draft.put("step[1].unit", "degree").put("job.name", "x")
    assert edited.right
    assert edited.loaded.job.op.params.steps[0].unit == "degree"
    added = edited.with_steps(edited.chain.added({"name": "set-type"}, 1))
    assert list(added.problems) == ["step[1].output_data_type"]


def test_a_chain_of_features_stays_one(job, tmp_path):
    """Though the steps that are left may be of either kind."""
    draft = Draft.of_example(paths.sample_dir() / "buffer.toml", tmp_path)
    for number in (5, 4, 3, 2):
        draft = draft.with_steps(draft.chain.removed(number))
    assert names(draft) == ["reproject"]
    assert draft.right
    assert draft.loaded.job.op.name == "vector.pipeline"
    empty = draft.with_steps(draft.chain.removed(1))
    assert empty.right  # a copy
    draft = Draft.of_example(paths.sample_dir() / "index.toml", tmp_path)
    assert "there is no step" in draft.with_steps(draft.chain.removed(1)).problems["op"]


class Form:
    """A console on the form of a job."""

    def __init__(self, job, size=(80, 24)):
        self.app, self.job, self.size = HomeApp(watching=False), job, size

    async def __aenter__(self):
        self.context = self.app.run_test(size=self.size)
        pilot = await self.context.__aenter__()
        self.screen = self.app.screen_stack[0]
        self.screen.edit(Draft.of_file(self.job))
        await pilot.pause()
        return self, pilot

    async def __aexit__(self, *reason):
        await self.context.__aexit__(*reason)

    @property
    def names(self):
        return names(self.screen.draft)

    def text(self):
        lines = self.app.screen._compositor.render_strips(self.app.screen.size)
        return "\n".join("".join(segment.text for segment in strip) for strip in lines)

    def about(self):
        return str(self.screen.query_one("#about", Static).content)


async def test_steps_are_moved_doubled_and_removed(job):
    """The cursor stays in its step; each edit is taken back by one key."""
    async with Form(job) as (form, pilot):
        form.screen.go_to("step[2]")
        await pilot.press("left_curly_bracket")
        assert form.names == ["hillshade", "reproject", "steps.py:twice"]
        assert form.screen.list.step == 1
        await pilot.press("left_curly_bracket", "right_curly_bracket", "right_curly_bracket")
        assert form.names == ["reproject", "steps.py:twice", "hillshade"]
        await pilot.press("ctrl+d")
        assert form.names[2:] == ["hillshade", "hillshade"]
        assert form.screen.list.step == 4
        await pilot.press("x", "x")
        assert form.names == ["reproject", "steps.py:twice"]
        assert "modified" in form.text()
        await pilot.press("ctrl+z", "ctrl+z")
        assert form.names[2:] == ["hillshade", "hillshade"]
        await pilot.press(*["ctrl+z"] * 4)
        await pilot.pause()
        assert form.names == ["reproject", "hillshade", "steps.py:twice"]
        assert "modified" not in form.text()


async def test_a_step_is_added_and_saved(job):
    """Chosen by a few letters; the cursor goes to what it needs; the file keeps the order."""
    async with Form(job) as (form, pilot):
        form.screen.go_to("step[2]")
        await pilot.press("i")
        await pilot.pause()
        assert isinstance(form.app.screen, Pick)
        await pilot.press(*"type")
        await pilot.pause()
        assert "Change the type of the pixels" in form.text()
        assert "roughness" not in form.text()
        await pilot.press("enter")
        await pilot.pause()
        assert form.names == ["reproject", "set-type", "hillshade", "steps.py:twice"]
        assert form.screen.list.current.leaf.key == "step[2].output_data_type"
        assert "needed" in form.text()
        assert "1 error" in form.text()
        await pilot.press("space")  # the first of its words
        await pilot.press("ctrl+s")
        await pilot.pause()
        await pilot.press("enter")
        await form.app.workers.wait_for_complete()
    saved = tomllib.loads(job.read_text())
    assert [step.get("name", step.get("use")) for step in saved["step"]] == [
        "reproject",
        "set-type",
        "hillshade",
        "steps.py:twice",
    ]
    assert saved["step"][2] == {"name": "hillshade", "zfactor": 200.0}
    assert load_job(job, environ={}).job.op.params.steps[3].use == "steps.py:twice"


async def test_a_function_is_added(job):
    """By its file and name; one that is not there is a problem of the step."""
    async with Form(job) as (form, pilot):
        for use in ("steps.py:none", "steps.py:twice"):
            form.screen.go_to("step[1]")
            await pilot.press("i")
            await pilot.pause()
            form.app.screen.query_one(Input).value = use
            await pilot.press("enter")
            await pilot.pause()
        assert form.names[:2] == ["steps.py:twice", "steps.py:none"]
        assert not form.screen.draft.heads()[0].problem
        assert "no function 'none'" in form.screen.draft.heads()[1].problem


async def test_a_step_opens_and_closes(job):
    """Its parameters are shown below it, and what it does below the form."""
    async with Form(job) as (form, pilot):
        form.screen.go_to("op.name")
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        assert "azimuth" in form.text()
        assert form.about().startswith("Shade heights by a light")
        assert "i Add step" in form.text()
        await pilot.press("enter")
        await pilot.pause()
        assert "azimuth" not in form.text()
        await pilot.press("slash", *"azim", "enter")
        await pilot.pause()
        heads = [row for row in form.screen.list._rows if isinstance(row, StepHead)]
        assert [head.number for head in heads] == [2]
        await pilot.press("down")
        assert form.screen.list.current.leaf.key == "step[2].azimuth"


async def test_a_job_of_one_operation_has_no_keys_of_steps(job):
    """They are neither in the footer, nor do they do anything."""
    job.write_text('[source]\ninputs=["alps.tif"]\n[op]\nname="raster.convert"\n[output]\ndir="o"')
    async with Form(job) as (form, pilot):
        await pilot.press("i", "x", "ctrl+d")
        await pilot.pause()
        assert "Add step" not in form.text()
        assert form.names == []
        assert form.app.screen is form.screen


async def test_the_result_follows_the_cursor(job):
    """A picture of the chunk after each step, with ranges; it follows edits, and says why there is
    none."""
    async with Form(job) as (form, pilot):
        form.screen.result.results = ChunkResults(Previewer(lambda _: ThreadPool(), seconds=120))
        form.screen.go_to("step[1]")

        async def shown(*keys):
            await pilot.press(*keys)
            await pilot.pause()
            await form.app.workers.wait_for_complete()
            await pilot.pause()
            return form.text()

        text = await shown("r")
        assert "step 1 reproject, chunk alps.tif@0,0 (1 of 1)" in text
        assert "band 3  73 to 254, 21.1 % nodata" in text
        assert "▀" in text
        await shown("enter", "down")
        text = await shown()
        assert "step 2 hillshade" in text
        assert "band 1  1 to 255" in text
        text = await shown("x")
        assert "step 2 steps.py:twice" in text
        form.screen._put("step[1].output_crs", "")
        assert "something is wrong with the job" in await shown()
