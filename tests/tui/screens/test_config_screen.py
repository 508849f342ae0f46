"""The form of a job: made from the schema, checked at each value, planned, saved, run."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import shutil
import tempfile
import tomllib
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from keys_at_once import type_at_once
from scripted_run import asked, until
from textual.widgets import Input, Static
from textual.worker import WorkerCancelled

import geobatch_tui
from geobatch_tui.config import paths
from geobatch_tui.config.fields import leaves
from geobatch_tui.config.layers import load_job
from geobatch_tui.errors import ConfigError
from geobatch_tui.orchestration.dry_run import CHUNKS
from geobatch_tui.tui.console.app import HomeApp
from geobatch_tui.tui.jobs.draft import Draft, text_of
from geobatch_tui.tui.jobs.forecast import against_last
from geobatch_tui.tui.jobs.job_trial import dry_run
from geobatch_tui.tui.jobs.saving import origin_of
from geobatch_tui.tui.kit.endings import Start
from geobatch_tui.tui.map.picture.codes import Code
from geobatch_tui.tui.map.plan_map import PlanMap
from geobatch_tui.tui.parts.dialogs import Pick, Question
from geobatch_tui.tui.screens.job_form import ConfigScreen
from geobatch_tui.tui.widgets.field_list import FieldList
from geobatch_tui.tui.widgets.value_input import ValueInput

BESIDE = (160, 48)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job file on a copy of an example's raster."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shutil.copyfile(paths.sample_dir() / "data" / "alps.tif", tmp_path / "alps.tif")
    path = tmp_path / "job.toml"
    path.write_text(
        '[job]\nname = "alps"\n[source]\ninputs = ["alps.tif"]\n[op]\nname = "raster.reproject"\n'
        'dst_crs = "EPSG:6933"\n[output]\ndir = "out"\n[engine]\nexecutor = "thread"\n'
    )
    return path


@pytest.fixture
def opened(job, monkeypatch):
    """``opened(size, path)``: a console on the form of a job, that of ``job``; ``BESIDE``: with
    its file, as it will be, beside the form."""
    monkeypatch.setattr(HomeApp, "DEFAULT_MODE", "config")

    class Opened:
        def __init__(self, size=(80, 24), path=job):
            self.app = HomeApp(watching=False)
            self.size = size
            self.path = path

        async def __aenter__(self):
            self.context = self.app.run_test(size=self.size)
            pilot = await self.context.__aenter__()
            self.screen.edit(Draft.of_file(self.path))
            await pilot.pause()
            return self, pilot

        async def __aexit__(self, *reason):
            await self.context.__aexit__(*reason)

        @property
        def screen(self):
            found = self.app.screen_stack[0]
            assert isinstance(found, ConfigScreen)
            return found

        def text(self):
            lines = self.app.screen._compositor.render_strips(self.app.screen.size)
            return "\n".join("".join(segment.text for segment in strip) for strip in lines)

        async def set(self, pilot, key, value):
            self.screen.list.go(key)
            self.screen.list.renew()
            await pilot.press("enter" if value else "space")
            await pilot.pause()
            typed = self.screen.query_one("#edit", Input)
            if typed.display:
                typed.value = value
                await pilot.press("enter")
            await pilot.pause()

    return Opened


def test_the_form_has_every_key_of_the_schema(job):
    """Made by the schema alone, those of the operation included."""
    fields = Draft.of_file(job).fields()
    assert [field.leaf.key for field in fields] == list(leaves("raster.reproject"))
    layers = {field.leaf.key: field.layer for field in fields}
    assert layers["op.dst_crs"] == "file"
    assert layers["op.resampling"] == "default"


def test_values_as_text_mean_the_same_when_typed(job):
    """Each value that a form shows can be typed back into it without changing the job."""
    draft = Draft.of_file(job).put("output.creation", '{ compress = "zstd", level = 3 }')
    assert draft.right
    again = draft
    for field in draft.fields():
        if field.text:
            again = again.put(field.leaf.key, field.text)
            assert again.right, (field.leaf.key, again.problems)
    assert again.loaded.job == draft.loaded.job


def test_a_problem_stands_at_its_key(job):
    """The rest of the form stays; taking the value back mends it."""
    draft = Draft.of_file(job).put("engine.max_workers", "-3").put("op.resampling", "nosuch")
    wrong = {field.leaf.key for field in draft.fields() if field.problem}
    assert wrong == {"engine.max_workers", "op.resampling"}
    assert draft.put("engine.max_workers", "").put("op.resampling", "").right


def test_inputs_and_outputs_may_be_urls(job):
    """Of one object, a prefix or several; a place that takes no outputs is a problem of its key."""
    draft = Draft.of_file(job).put("output.dir", "s3://results/2026")
    for text, inputs in (
        ("s3://scenes/2026/", ("s3://scenes/2026/",)),
        ('["https://h.org/a.tif", "gs://b/c.tif"]', ("https://h.org/a.tif", "gs://b/c.tif")),
    ):
        draft = draft.put("source.inputs", text)
        assert draft.right
        assert draft.loaded.job.source.inputs == inputs
    assert draft.loaded.job.output.dir == "s3://results/2026"
    assert [*draft.put("output.dir", "https://h.org/out").problems] == ["output.dir"]


def test_another_operation_has_other_keys(job):
    """The form follows the operation; what does not fit it any more is said."""
    draft = Draft.of_file(job).put("op.name", "raster.convert")
    assert "op.dst_crs" in draft.problems


def test_an_example_writes_below_the_working_directory(tmp_path):
    """Never into the installed package."""
    for path in paths.presets():
        draft = Draft.of_example(path, tmp_path / "out")
        assert draft.loaded.job.output.dir == str(tmp_path / "out")
        assert draft.changed
        assert origin_of(draft) is None, "it would be saved into the package"


def test_values_on_one_line():
    """As TOML has them; text as it is."""
    assert text_of(["a b", 'c"']) == '["a b", "c\\""]'
    assert text_of({"compress": "zstd", "level": 3}) == '{ compress = "zstd", level = 3 }'
    assert text_of("a\nb") == '"a\\nb"'
    nested = {"a b": [{"c": 1, "d": ["e"]}, {}]}
    assert text_of(nested) == '{ "a b" = [{ c = 1, d = ["e"] }, {}] }'
    assert tomllib.loads(f"x = {text_of(nested)}") == {"x": nested}
    assert text_of(None) == ""
    assert text_of(value=True) == "true"


@pytest.mark.parametrize("key", ["enter", "slash"])
async def test_a_field_that_goes_asks_for_no_suggestion(opened, key):
    """A letter makes no coroutine before its worker begins: the field may go in the same burst, and
    then nobody awaits it."""
    async with opened() as (form, pilot):
        form.screen.go_to("source.inputs")
        await pilot.press(key)
        await until(lambda: isinstance(form.app.focused, Input))
        field = form.app.focused
        field.value += "x"
        asked = [worker for worker in form.app.workers if worker.node is field]
        assert asked
        assert not any(inspect.iscoroutine(worker._work) for worker in asked)


async def test_keys_in_one_burst_come_in_their_order(opened):
    """The cursor moves first: Enter opens what it is on then. Escape behind Enter closes the field
    that Enter opens, and letters between them are none of the form's keys."""
    async with opened() as (form, pilot):
        form.screen.go_to("source.inputs")
        type_at_once(form.app, "down", "up", "up", "up", "enter")
        await until(lambda: form.screen.has_class("-editing"))
        await pilot.pause()
        assert form.screen.query_one("#edit", ValueInput).key == "job.name"
        await pilot.press("escape")
        form.screen.go_to("source.inputs")
        type_at_once(form.app, "enter", "space", "u", "x", "escape")
        for _ in range(4):
            await pilot.pause()
        assert not form.screen.has_class("-editing")
        assert not form.screen.draft.edited
        type_at_once(form.app, "down", "down", "enter", "space")
        for _ in range(4):
            await pilot.pause()
        assert form.screen.has_class("-editing")
        assert not form.screen.draft.edited


async def test_a_dialog_gets_what_was_typed_before_it_was_there(opened):
    """A word and Enter behind it, in one burst with the key that opens the list; Enter alone answers
    nothing that was not seen."""
    async with opened() as (form, pilot):
        form.screen.go_to("op.resampling")
        type_at_once(form.app, "enter", *"lanc", "enter")
        await until(lambda: form.screen.draft.loaded.job.op.params.resampling == "lanczos")
        form.screen.action_undo()
        type_at_once(form.app, "enter", "enter", "enter")
        await until(lambda: isinstance(form.app.screen, Pick) and form.app.screen.was_seen)
        await pilot.press("escape")
        assert not form.screen.draft.edited
        type_at_once(form.app, "ctrl+n", *"repro", "enter")
        await until(lambda: form.screen.draft.fresh)
        assert form.screen.draft.loaded.job.job.name == "reproject"


async def test_values_are_edited_and_saved(opened, job):
    """A word is the next one of its kind; what is typed is in the file beside; saved, it loads as
    what was shown."""
    async with opened(BESIDE) as (console, pilot):
        before = load_job(job, environ={}).job.op.params.resampling
        await console.set(pilot, "op.resampling", "")
        await console.set(pilot, "engine.chunk_cols", "256")
        await console.set(pilot, "engine.max_workers", "1")
        assert "edited" in console.text()
        assert " 1 worker " in console.text()
        assert "chunk_cols = 256" in console.text()
        await pilot.press("ctrl+s")
        await pilot.pause()
        await pilot.press("enter")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        assert "modified" not in console.text()
    saved = load_job(job, environ={}).job
    assert saved.engine.chunk_cols == 256
    assert saved.op.params.resampling != before
    assert tomllib.loads(job.read_text())["source"]["inputs"] == ["alps.tif"]


async def test_the_heading_of_a_long_path_tells_its_state(opened, job):
    """Also in a terminal that gets narrower, and behind a filter."""
    deep = job.parent / ("below" * 20) / ("name" * 10 + ".toml")
    deep.parent.mkdir()
    shutil.move(job, deep)
    async with opened((160, 30), deep) as (console, pilot):
        await console.set(pilot, "engine.max_workers", "3")
        for size in ((100, 30), (80, 24), (50, 12)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            heading = console.text().splitlines()[0].rstrip()
            assert re.search(r"^ Config  alps  /.*….*me\.toml  modified  valid$", heading)
        await pilot.press("slash", "m", "a", "x", "enter")
        await pilot.pause()
        assert "modified  valid  / max" in console.text().splitlines()[0]


async def test_comments_stay_and_so_does_the_plan(opened, job):
    """In the file that the job came from only what was edited changes; the plan of the job, which
    is the same, stays on the screen."""
    before = "# why\n" + job.read_text() + "# more\n"
    job.write_text(before)
    async with opened() as (console, pilot):
        await console.set(pilot, "op.resampling", "")
        await console.set(pilot, "engine.chunk_cols", "256")
        await pilot.press("f5")
        await console.app.workers.wait_for_complete()
        await pilot.press("ctrl+s")
        await pilot.pause()
        await pilot.press("enter")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        assert "modified" not in console.text()
        assert console.screen.query_one(PlanMap).display
        assert "to do" in str(console.screen.query_one("#plan Static", Static).content)
    word = load_job(job, environ={}).job.op.params.resampling
    line = 'dst_crs = "EPSG:6933"\n'
    after = before.replace(line, f'{line}resampling = "{word}"\n') + "chunk_cols = 256\n"
    assert job.read_text() == after


@pytest.mark.parametrize("answer", ["", "both", "lose"])
async def test_comments_are_asked_for_before_they_are_lost(opened, job, answer):
    """A pipeline in words is written anew: nothing is written, the file as it was is kept beside
    it, or the comments are lost."""
    before = '# why\npipeline = "read alps.tif ! resize --size 50%,50% ! write out"\n# more\n'
    job.write_text(before)
    async with opened() as (console, pilot):
        screen = console.screen
        screen.change(screen.draft.put("step[1].size", "[20, 20]"))
        await pilot.press("ctrl+s")
        await pilot.pause()
        await pilot.press("enter")
        await asked(console.app)
        assert "job.toml has 2 comments" in console.text()
        await pilot.press(*["down"] * ["", "both", "lose"].index(answer), "enter")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        assert ("modified" in console.text()) is (answer == "")
    backup = job.with_name("job.toml.bak")
    assert (job.read_text() == before) is (answer == "")
    assert backup.exists() is (answer == "both")
    if answer == "both":
        assert backup.read_text() == before


async def test_edits_are_lost_only_after_a_question(opened, job):
    """By ^n, ^l, another job and q: they stay, are saved first, or are dropped."""
    async with opened() as (console, pilot):
        screen = console.screen
        await console.set(pilot, "engine.chunk_cols", "256")
        for keys in (("ctrl+n",), ("ctrl+l",), ("q",)):
            await pilot.press(*keys)
            await pilot.pause()
            assert isinstance(console.app.screen, Question), keys
            await pilot.press("escape")
            await pilot.pause()
            assert screen.draft.edited
        screen.replace(Draft.of_file(job))
        await asked(console.app)
        await pilot.press("down", "enter")  # save
        await pilot.pause()
        await pilot.press("enter")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        assert not screen.draft.edited
        assert load_job(job, environ={}).job.engine.chunk_cols == 256
        await console.set(pilot, "engine.chunk_cols", "512")
        await pilot.press("q")
        await asked(console.app)
        await pilot.press("j", "enter")
        await pilot.pause()
    assert console.app.closes
    assert load_job(job, environ={}).job.engine.chunk_cols == 256


async def test_words_are_chosen_and_few_keys_are_shown(opened, job):
    """Many words are a list, of two the other is taken; space takes the next. Keys that few jobs
    give are shown by >, and where one is jumped to."""
    async with opened() as (console, pilot):
        fields = console.screen.list
        few = [row for row in fields._rows if not isinstance(row, str)]
        assert {"op.dst_crs", "engine.max_workers", "engine.executor"} <= {r.leaf.key for r in few}
        assert "log.level" not in {row.leaf.key for row in few}
        await pilot.press("greater_than_sign")
        assert len([row for row in fields._rows if not isinstance(row, str)]) >= 2 * len(few)
        await pilot.press("less_than_sign")
        fields.go("op.resampling")
        await pilot.press("enter")
        await pilot.pause()
        dialog = console.app.screen
        assert isinstance(dialog, Pick)
        assert dialog.list.highlighted_option.id == fields.current.text
        await pilot.press(*"lanc", "enter")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        assert fields.current.text == "lanczos"
        before = fields.current.text
        await pilot.press("space")
        assert fields.current.text not in {before, ""}
        await pilot.press("ctrl+z", "ctrl+z")
        assert fields.current.layer == "default"
        fields.go("source.allow_vrt")
        await pilot.press("enter")
        await pilot.pause()
        assert fields.current.text == "true"


async def test_a_value_that_is_left_is_not_lost(opened, job):
    """Tab completes a path and leaves other text as it is; the field stands in the lines below the
    form, which do not move."""
    async with opened() as (console, pilot):
        fields, typed = console.screen.list, console.screen.query_one("#edit", Input)
        place = fields.region
        fields.go("source.inputs")
        await pilot.press("enter")
        typed.value = '["al'
        typed.action_end()
        await until(lambda: typed._suggestion)
        await pilot.press("tab")
        assert typed.value == '["alps.tif'
        assert fields.region == place
        await pilot.press('"', "]", "tab")
        assert typed.value == '["alps.tif"]'
        await pilot.press("enter")
        fields.go("job.name")
        await pilot.press("enter", *"-b", "tab")
        await pilot.click(FieldList)
        await pilot.pause()
        assert not typed.display
        assert console.screen.draft.loaded.job.job.name == "alps-b"


async def test_differences_are_listed(opened, job):
    """Against the file and the last run; a fault leaves the file that was right in sight."""
    async with opened(BESIDE) as (console, pilot):
        await console.set(pilot, "job.name", "other")
        await pilot.press("=")
        await pilot.pause()
        assert "against its file: 1 value" in console.text()
        assert "alps → other" in console.text()
        assert "there was no run in its output directory" in console.text()
        await pilot.press("escape")
        await console.set(pilot, "engine.max_workers", "-3")
        assert 'name = "other"' in console.text()
        said = [line for line in console.text().splitlines() if "! engine.max_workers" in line]
        assert said
        assert not any("engine.max_workers: engine.max_workers" in line for line in said)


async def test_the_cursor_is_seen_on_a_section(opened):
    """As on any other line of the form, without colours, too."""
    async with opened() as (console, pilot):
        await pilot.press("home")
        await until(lambda: ">[" in console.text())
        await pilot.press("down")
        await until(lambda: ">[" not in console.text())


async def test_a_job_begins_from_an_empty_history(opened):
    """^n works there, too, as the words on the screen say."""
    async with opened() as (console, pilot):
        await console.app.switch_mode("history")
        await pilot.pause()
        await until(lambda: "^n makes a job" in console.text())
        await pilot.press("ctrl+n")
        await until(lambda: isinstance(console.app.screen, Pick))


async def test_the_file_is_edited_by_a_program_of_the_operators(opened, job, tmp_path, monkeypatch):
    """In place, comments and all; a file that is wrong afterwards is refused, and what is shown
    stays; edits that are not saved would be lost, so they are saved first."""
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\ncat "$0.text" >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    monkeypatch.setenv("PAGER", "/bin/false")
    (tmp_path / "editor.text").write_text("chunk_cols = 640\n# mine\n")
    async with opened() as (console, pilot):
        monkeypatch.setattr(console.app, "suspend", nullcontext)
        await pilot.press("e")
        await pilot.pause()
        assert console.screen.draft.loaded.job.engine.chunk_cols == 640
        assert job.read_text().endswith("# mine\n")
        assert not console.screen.draft.changed
        (tmp_path / "editor.text").write_text("nosuch = 1\n")
        await pilot.press("e")
        await pilot.pause()
        assert console.screen.draft.loaded.job.engine.chunk_cols == 640
        assert any("nosuch" in notice.message for notice in console.app._notifications)
        await console.set(pilot, "log.level", "")
        before = job.read_text()
        await pilot.press("e")
        await pilot.pause()
        assert job.read_text() == before


async def test_the_form_is_filtered(opened):
    """By the same grammar as all lists; what a key means counts, too."""
    async with opened() as (console, pilot):
        await pilot.press("slash", *"layer:file", "enter")
        await pilot.pause()
        rows = [row for row in console.screen.list._rows if not isinstance(row, str)]
        assert {row.layer for row in rows} == {"file"}
        assert "/ layer:file" in console.text()
        await pilot.press("escape")
        await pilot.pause()
        rows = [row for row in console.screen.list._rows if not isinstance(row, str)]
        assert "source.inputs" in [row.leaf.key for row in rows]
        await pilot.press("slash", *"cores", "enter")
        await pilot.pause()
        assert console.screen.list.current.leaf.key == "engine.max_workers"
        await console.set(pilot, "engine.max_workers", "-3")
        assert "1 error" in console.text()


async def test_a_wrong_value_that_the_filter_hides_is_shown(opened):
    """What keeps a job from being run is never out of sight."""
    async with opened() as (console, pilot):
        await console.set(pilot, "engine.max_workers", "-3")
        await pilot.press("slash", *"resampling", "enter")
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert console.screen.list.current.leaf.key == "engine.max_workers"


async def test_what_is_wrong_is_neither_saved_nor_run(opened, job):
    """The key says what is wrong with it, and the cursor goes there."""
    text = job.read_text()
    async with opened() as (console, pilot):
        await console.set(pilot, "engine.max_workers", "-3")
        console.screen.list.go("job.name")
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert console.screen.list.current.leaf.key == "engine.max_workers"
        assert "1 error" in console.text()
        about = str(console.screen.query_one("#about", Static).content)
        assert "max_workers" in about or "must" in about or "greater" in about
    assert job.read_text() == text
    assert console.app.wish is None


async def test_a_job_that_is_saved_is_run_at_once(opened, job):
    """The console closes with the wish to run the file."""
    async with opened() as (console, pilot):
        await pilot.press("ctrl+r")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
    assert console.app.wish == Start(job)


async def test_the_plan_is_shown(opened, job):
    """Chunks, memory and disk; nothing is written."""
    async with opened() as (console, pilot):
        await pilot.press("f5")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        said = str(console.screen.query_one("#plan Static", Static).content)
        assert "1 item, " in said
        assert "to do" in said
        assert "free" in said
    assert not (job.parent / "out").exists()


async def test_stale_chunks_stand_at_the_value_that_changed(opened, job):
    """After a run, a value that changes outputs has the number of chunks that it makes stale, on
    the map, too; one that does not has none."""
    loaded = load_job(job, overrides=["engine.chunk_cols=512", "engine.chunk_rows=512"], environ={})
    result = await geobatch_tui.run(loaded)
    assert result.exit_code == 0
    async with opened() as (console, pilot):
        draft = console.screen.draft
        for key in ("engine.chunk_cols", "engine.chunk_rows"):
            draft = draft.put(key, "512")
        console.screen.change(draft)
        await pilot.press("f5")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        planned = console.screen.query_one(PlanMap)
        chunks = len(planned.pictures.planes.flags)
        assert chunks > 4
        assert planned.display
        assert planned.pictures.planes.counts([(0, chunks)]) == {Code.DONE: chunks}
        assert f"█ {chunks} current" in console.text()
        await console.set(pilot, "op.resampling", "")
        await console.set(pilot, "log.level", "")
        assert not planned.display, "the plan is of another job"
        await pilot.press("f5")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        assert planned.pictures.planes.counts([(0, chunks)]) == {Code.RETRY: chunks}
        said = str(console.screen.query_one("#plan Static", Static).content)
        assert f"▚ {chunks} param_changed" in said
        lines = {line.split()[0]: line for line in said.replace("! ", "").splitlines()}
        assert f"{chunks} chunks stale" in lines["op.resampling"]
        assert "stale" not in lines["log.level"]


async def test_the_map_of_a_plan_shows_what_was_refused(opened, job):
    """A source that cannot be read is dead before it ran; the map has no figures to show."""
    shutil.copyfile(paths.sample_dir() / "data" / "broken.tif", job.parent / "broken.tif")
    async with opened() as (console, pilot):
        await console.set(pilot, "source.inputs", '["*.tif"]')
        await pilot.press("f5")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        planned = console.screen.query_one(PlanMap)
        counts = planned.pictures.planes.counts([(0, len(planned.pictures.planes.flags))])
        assert counts[Code.DEAD] == 1
        assert counts[Code.WAIT] >= 1
        said = str(console.screen.query_one("#plan Static", Static).content)
        assert f"{counts[Code.WAIT]} to do" in said
        planned.focus()
        before = planned.mode
        await pilot.press("m", "greater_than_sign", "enter", "escape")
        await pilot.pause()
        assert planned.mode is before


async def test_a_dry_run_tells_what_the_whole_will_take(opened, job):
    """Nine chunks by a process of its own: seconds and memory of each, an estimate of all, those
    that were tried on the map; no output, no state, no scratch is left."""
    async with opened() as (console, pilot):
        draft = console.screen.draft.put("output.creation", "{ blocksize = 128 }")
        for key in ("engine.chunk_cols", "engine.chunk_rows"):
            draft = draft.put(key, "128")
        console.screen.change(draft)
        await pilot.press("d")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        said = str(console.screen.query_one("#plan Static", Static).content)
        assert re.search(r"dry run  about [\d.]+ m?s for", said), said  # not 00:00:00
        assert "without assembly" in said
        assert len([line for line in said.splitlines() if "alps.tif@" in line]) == CHUNKS
        planned = console.screen.query_one(PlanMap)
        chunks = len(planned.pictures.planes.flags)
        assert planned.pictures.planes.counts([(0, chunks)]) == {
            Code.DONE: CHUNKS,
            Code.WAIT: chunks - CHUNKS,
        }
        assert f"{chunks} to do" in said
    assert not (job.parent / "out").exists()
    assert not list(Path(tempfile.gettempdir()).glob("geobatch-trial-*"))


async def test_a_dry_run_of_nothing(opened, job):
    """What is current needs no try."""
    result = await geobatch_tui.run(load_job(job, environ={}))
    assert result.exit_code == 0
    async with opened() as (console, pilot):
        await pilot.press("d")
        await console.app.workers.wait_for_complete()
        await pilot.pause()
        said = [notice.message for notice in console.app._notifications]
        assert said == ["the plan has nothing to do"]


async def test_another_value_ends_a_dry_run(opened, job):
    """It is of another job: its process ends, and its scratch is removed."""
    async with opened() as (console, pilot):
        await pilot.press("d")
        pane = console.screen.pane
        for _ in range(500):
            if "of 1 chunks" in str(pane.query_one("#plan Static", Static).content):
                break
            await asyncio.sleep(0.02)
        await console.set(pilot, "log.level", "")
        with suppress(WorkerCancelled):
            await console.app.workers.wait_for_complete()
        assert "F5 plans" in str(pane.query_one("#plan Static", Static).content)
        assert not list(Path(tempfile.gettempdir()).glob("geobatch-trial-*"))


def test_a_dry_run_ends_with_the_console(job, tmp_path):
    """The loop cancels what is left: the process is ended and waited for, its scratch removed."""

    async def close_at_once():
        loaded = load_job(job, environ={})
        task = asyncio.create_task(dry_run(loaded, {"alps.tif": [0]}, 1, lambda done: None))
        while not list(tmp_path.glob("geobatch-trial-*")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.sleep(0)

    asyncio.run(close_at_once())
    gc.collect()  # a process that lives would be told here
    assert not list(tmp_path.glob("geobatch-trial-*"))


def test_credentials_of_a_run_are_asked_for(job):
    """A job that is cloned does not have them: it is wrong until they are given again."""
    url = '["https://u:canary@h/a.tif"]'
    kept = load_job(job, overrides=[f"source.inputs={url}"], environ={}).to_json()
    draft = Draft.of_run(kept)
    assert not draft.right
    assert "give it again" in draft.problems["source.inputs"]
    assert draft.put("source.inputs", url).right
    assert not draft.put("log.level", "debug").right


def test_the_last_run_is_compared(job, tmp_path):
    """What differs from the job that the directory was run with, with what changes outputs."""
    from geobatch_tui.ledger.place.durable import write_json_atomic
    from geobatch_tui.ledger.place.state_directory import StateDir

    draft = Draft.of_file(job)
    assert against_last(draft.loaded) is None
    state = StateDir.open(tmp_path / "out", create=True)
    write_json_atomic(state.plan, {"run_id": "x", **draft.loaded.to_json()})
    assert against_last(draft.loaded) == []
    found = against_last(draft.put("op.resampling", "cubic").put("log.level", "debug").loaded)
    assert [(entry.what, entry.semantic) for entry in found] == [
        ("op.resampling", True),
        ("log.level", False),
    ]


async def test_an_example_is_chosen(opened):
    """^n lists the examples; the one that is chosen is in the form, not saved yet, and the cursor on
    its inputs. That of a run was saved, or need not be."""
    async with opened() as (console, pilot):
        await pilot.press("ctrl+n")
        await until(lambda: "buffer" in console.text())
        assert "chain" in console.text()
        await pilot.press(*"columns")
        await until(lambda: "buffer" not in console.text())
        assert "columns, as lines of GeoJSON." in console.text()  # no sentence is cut off
        await until(lambda: console.app.screen.was_seen)
        await pilot.press("enter")
        await until(lambda: "not saved yet" in console.text())
        assert console.screen.list.current.leaf.key == "source.inputs"
        console.screen.edit(Draft.of_run(console.screen.draft.run_job))
        await until(lambda: "as it was run, from " in console.text())
        assert "not saved yet" not in console.text()


async def test_evil_values_are_text(opened, job):
    """What a job file holds is shown, never obeyed."""
    job.write_text(job.read_text().replace('"alps"', '"[bold]a\\u001b]52;c;x\\u0007\\u202e"'))
    async with opened() as (console, pilot):
        await pilot.pause()
        assert "[bold]a" in console.text()
        assert not any(char in console.text() for char in "\x1b\x07\u202e")


def test_a_file_that_is_wrong_is_refused(tmp_path):
    """There is nothing to show of it: the caller says why."""
    (tmp_path / "job.toml").write_text("[nosuch]\n")
    with pytest.raises(ConfigError):
        Draft.of_file(Path(tmp_path / "job.toml"))
