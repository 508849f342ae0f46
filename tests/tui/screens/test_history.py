"""Earlier runs: found by the index, read from their ledgers, compared, opened, gone on with."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from keys_at_once import type_at_once
from pseudo_terminal import Terminal
from scripted_run import asked, shown, until

from geobatch_tui.cli.shared_options import load
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import StateError
from geobatch_tui.ledger.place.durable import write_json_atomic
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.orchestration.state import run_index
from geobatch_tui.tui.console.app import HomeApp
from geobatch_tui.tui.history.run_list import RunList
from geobatch_tui.tui.history.run_story import comparison
from geobatch_tui.tui.kit.endings import Start, Watch
from geobatch_tui.tui.parts.scroll_lines import ListHeading
from geobatch_tui.tui.run.past_runs import compare, gather, paces
from geobatch_tui.tui.run.run_failures import Failure, FailureChanges
from geobatch_tui.tui.screens.job_form import ConfigScreen


@pytest.fixture
def past(tmp_path, monkeypatch, utc):
    """``past(name, *endings, **values)``: a directory with a run for each ending."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    t = [1_795_000_000.0]
    monkeypatch.setattr("geobatch_tui.ledger.write.writer.time.time", lambda: t[0])

    def make(name, *endings, resampling="cubic"):
        out = tmp_path / name
        job = make_job(
            {
                "job": {"name": name},
                "source": {"inputs": ["a.tif"]},
                "op": {
                    "name": "raster.reproject",
                    "dst_crs": "EPSG:6933",
                    "resampling": resampling,
                },
                "output": {"dir": str(out)},
            }
        )
        state = StateDir.open(out, create=True)
        write_json_atomic(state.plan, {"run_id": "x", **job.to_json()})
        ledger = Ledger.open(state.ledger, out)
        for number, ending in enumerate(endings):
            ledger.recover()
            ledger.begin_run(f"{name[:8]}-{number}", job.to_json(), {"gdal": f"3.{number}"})
            t[0] += 60
            if ending:
                ledger.apply([lu.RunEnded(ending, 0, "complete")])
            t[0] += 3600
        ledger.close(archive=False)
        run_index.note(out)
        return out

    return make


async def settle(pilot):
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def test_the_index_names_directories_that_hold_runs(past, tmp_path):
    """The last used first; those that are gone are left out, and damage is no fault."""
    first, second = past("first", "success"), past("second", "success")
    time.sleep(0.01)
    run_index.note(first)
    (run_index.index_dir() / "broken.json").write_text("{")
    (run_index.index_dir() / "gone.json").write_text(
        json.dumps({"directory": str(tmp_path / "no")})
    )
    assert run_index.known() == [first, second]


def test_the_index_is_bounded(past, tmp_path, monkeypatch):
    """Directories that were not used for long are forgotten."""
    monkeypatch.setattr(run_index, "KEPT", 2)
    for name in ("one", "two", "three"):
        past(name, "success")
        time.sleep(0.01)
    assert [path.name for path in run_index.known()] == ["three", "two"]


def test_a_home_that_cannot_be_written_is_no_fault(monkeypatch, tmp_path):
    """A run does not depend on its being noted."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    run_index.note(tmp_path)
    assert run_index.known() == []


def test_runs_are_read_from_their_ledgers(past):
    """All runs of all directories, the last begun first; one that never ended and is not live has
    crashed; a ledger that cannot be read is shown as such."""
    first, second = past("first", "success", ""), past("second", "partial")
    (second / ".geobatch" / "ledger.db").write_bytes(b"nothing of a ledger at all" * 100)
    found = gather([first, second])
    assert [(run.name, run.state, run.newest) for run in found] == [
        ("first", "crashed", True),
        ("first", "success", False),
        ("?", "unreadable", True),
    ]
    assert found[2].note


def test_two_runs_are_compared(past):
    """Values of the job that differ, those that change outputs first and marked; versions."""
    before, after = past("before", "success"), past("after", "success", resampling="bilinear")
    old, new = gather([before])[0], gather([after])[0]
    found = {entry.what: entry for entry in compare(old, new)}
    assert (found["op.resampling"].before, found["op.resampling"].after) == ("cubic", "bilinear")
    assert found["op.resampling"].semantic
    assert not found["job.name"].semantic
    assert "op.dst_crs" not in found
    first, second = gather([past("twice", "success", "success")])
    assert [entry.what for entry in compare(second, first)] == ["gdal"]


def test_what_changes_outputs_comes_first(past):
    """Before figures: a small screen shows few lines. Bars have one scale."""
    old, new = (
        gather([past(name, "success", resampling=name)])[0] for name in ("cubic", "nearest")
    )
    slow = replace(old, row=replace(old.row, n_done=4), pace=(0.5, 0.5))
    lines = comparison(slow, replace(new, pace=(1.0, 2.0)), None).plain.splitlines()
    assert lines[1].split() == ["!", "op.resampling", "cubic", "→", "nearest"]
    assert any(line.startswith("  done") for line in lines[2:])
    assert [line.split() for line in lines[-2:]] == [["before", "▂▂"], ["after", "▄█"]]


def test_failures_that_are_new_or_gone_are_listed(past):
    """The first twenty of each, and how many more; what a file is called is never markup."""
    new, old = gather([past("twice", "success", "success")])
    many = tuple(
        Failure(f"[red]{n}[/].tif@0,0", -1, "CorruptSource", "[b]cut") for n in range(1023)
    )
    gone = Failure("b.tif@0,1", -1, "Timeout", waits=True)
    lines = comparison(old, new, FailureChanges(many, (gone,), 7, is_whole=False)).plain.split("\n")
    at = lines.index("1,023 failures new, 7 in both runs")
    assert lines[at + 1] == "+ [red]0[/].tif@0,0  CorruptSource  [b]cut"
    assert lines[at + 20].startswith("+ [red]19[/]")
    assert lines[at + 21 : at + 24] == [
        "  and 1,003 more",
        "1 failure gone",
        "- b.tif@0,1  Timeout  not done yet",
    ]
    assert lines[-1] == "  the ledgers no longer hold all failures of these runs"
    elsewhere = replace(new, directory=Path("other"))
    assert "not done yet" not in comparison(old, elsewhere, FailureChanges((), (gone,), 0)).plain
    assert "failure" not in comparison(old, new, FailureChanges((), (), 0)).plain
    same = comparison(old, new, FailureChanges((), (), 2)).plain
    assert same.endswith("\nno failure is new or gone, 2 in both runs")
    for both in (0, 2):
        lost = comparison(old, new, FailureChanges((), (), both, is_whole=False)).plain
        assert lost.endswith("the ledgers no longer hold all failures of these runs")


async def test_compared_runs_tell_which_failures_are_new(past, script, clock):
    """Of two runs of a directory; what is named like markup is shown as it is called."""
    evil = "[b]a[/].tif"
    script.plan(1, 1, 2, 2, key=evil)
    script.die(1, chunk=f"{evil}@0,0")
    clock.t += 60
    script.end("partial")
    script.ledger.requeue_dead()
    clock.t += 60
    script.ledger.begin_run("run-2", {"job": {}}, {})
    clock.t += 60
    script.done(1)
    script.die(4, "[/]no such band", chunk=f"{evil}@1,1", error="InputError")
    clock.t += 60
    script.end("partial")
    run_index.note(script.state.output_dir)
    app = HomeApp(watching=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("space", "j", "space")
        await until(lambda: "failure gone" in shown(app))
        assert "1 failure new" in shown(app)
        assert "+ [b]a[/].tif@1,1  InputError  [/]no such band" in shown(app)
        assert "- [b]a[/].tif@0,0  CorruptSourceError  IReadBlock failed" in shown(app)


async def test_failures_that_cannot_be_read_are_told(past, script, clock, monkeypatch):
    """The values are compared all the same."""
    script.end("partial")
    clock.t += 60
    script.ledger.begin_run("run-2", {"job": {}}, {})
    script.end("partial")
    run_index.note(script.state.output_dir)

    def broken(*_):
        raise StateError("the ledger is [b]damaged")

    monkeypatch.setattr("geobatch_tui.tui.screens.history.read_changes", broken)
    app = HomeApp(watching=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("space", "j", "space")
        await until(lambda: app._notifications)
        (said,) = [note.message for note in app._notifications]
        assert said == "the failures of these runs cannot be compared: the ledger is [b]damaged"
        assert "Compare" in shown(app)


async def test_history_opens_a_run(past):
    """Enter closes this console with the wish to see the run under the cursor."""
    past("first", "success")
    second = past("second", "partial")
    app = HomeApp(watching=False)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        assert "second" in shown(app)
        assert "PARTIAL" in shown(app).upper()
        await pilot.press("enter")
        await pilot.pause()
    assert app.wish == Watch(second)


async def test_history_filters_and_compares(past):
    """Words hide runs; two that are marked are compared."""
    past("first", "success")
    past("second", "success", resampling="nearest")
    app = HomeApp(watching=False)
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        await pilot.press("space", "down")
        await pilot.pause()
        assert "! op.resampling" in shown(app)
        assert "cubic → nearest" in shown(app)
        await pilot.press("slash", *"job:first", "enter")
        await pilot.pause()
        assert [run.name for run in app.screen.query_one(RunList).runs] == ["first"]
        assert "1 of 2 runs" in shown(app)


async def test_history_is_sorted_and_figures_are_compared(past):
    """By what the operator asks for; a comparison tells how much more or less it is."""
    for name in ("zeta", "alpha"):
        past(name, "success")
    app = HomeApp(watching=False)
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        listed = app.screen.query_one(RunList)
        assert "by began" in shown(app)
        await pilot.press(*"ssssss")
        await pilot.pause()
        assert "by job" in shown(app)
        assert [run.name for run in listed.runs] == ["alpha", "zeta"]
        before = listed.runs[0]
        row = replace(before.row, n_done=100, t0=0.0, t1=100.0, seconds=80.0)
        after = replace(row, n_done=150, t1=50.0, seconds=60.0)
        found = {
            entry.what: entry.share
            for entry in compare(replace(before, row=row), replace(before, row=after))
        }
        assert (found["duration"], found["done"], found["work"]) == ("-50 %", "+50 %", "-25 %")
        assert found["chunks/min"] == "+200 %"
        assert "dead" not in found
        goes_on = replace(before, row=replace(after, t1=None, n_done=0))
        shares = {entry.what: entry.share for entry in compare(replace(before, row=row), goes_on)}
        assert not any(shares[what] for what in ("duration", "chunks/min", "work/chunk"))


async def test_history_goes_on_with_a_run(past):
    """After a question that says what is left, the job that the directory was run with is started:
    the same job, whatever has become of its file."""
    out = past("halfway", "interrupted")
    app = HomeApp(watching=False)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+r")
        await asked(app)
        assert "0 of 0 chunks are left" in shown(app)
        await pilot.press("down", "enter")
        await settle(pilot)
    assert app.wish == Start(out)
    again = load(app.wish.job)
    assert again.job.output.dir == str(out)
    assert again.job.op.params.resampling == "cubic"
    assert not list(out.rglob("*.toml"))


async def test_columns_stand_below_their_names(past):
    """Whatever there is room for; the directory last, whole where it fits."""
    past("first", "success")
    app = HomeApp(watching=False)
    async with app.run_test(size=(80, 24)) as pilot:
        for width in (80, 120, 160):
            await pilot.resize_terminal(width, 24)
            await settle(pilot)
            # The heading follows its list by a frame.
            await until(lambda width=width: names_in(shown(app).splitlines()[1], width))
            look_at_columns(shown(app).splitlines(), width)


def names_in(heading, width):
    """Whether a heading has the names that there is room for."""
    return ("took" in heading, "/min" in heading) == (width > 100, width > 140)


def look_at_columns(lines, width):
    head = next(line for line in lines if "directory" in line)
    row = next(line for line in lines if "first" in line and "success" in line)
    for title, text in {"job": "first", "state": "success"}.items():
        assert head.index(title) == row.index(text)
    assert head.index("done") + 3 == row.index(" 0 ") + 1, "numbers end below the last letter"
    assert len(head[head.index("directory") :].rstrip()) > 0
    assert row[head.index("directory") :].rstrip("│ ").endswith("first")
    assert names_in(head, width)


async def test_a_run_is_cloned(past):
    """Its job is in the form, as it was when the run began, to be planned."""
    out = past("first", "success", resampling="nearest")
    write_json_atomic(StateDir.open(out, create=False).plan, {"run_id": "another"})
    app = HomeApp(watching=False)
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        await pilot.press("c")
        await pilot.pause()
        assert app.current_mode == "config"
        screen = app.screen_stack[0]
        assert isinstance(screen, ConfigScreen)
        assert screen.draft.right
        assert screen.draft.changed
        assert screen.draft.loaded.job.op.params.resampling == "nearest"
        assert screen.draft.loaded.job.output.dir == str(out)
        assert "as it was run" in shown(app)


async def test_what_lacks_credentials_is_not_gone_on_with(past):
    """It is said before the console closes: the job file has them, the run's record has not."""
    out = past("first", "interrupted")
    plan = StateDir.open(out, create=False).plan
    record = json.loads(Path(plan).read_text())
    write_json_atomic(plan, {**record, "redacted": ["source.inputs"]})
    app = HomeApp(watching=False)
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+r")
        await asked(app)
        await pilot.press("down", "enter")
        await settle(pilot)
        said = [notice.message for notice in app._notifications]
        assert any("credentials" in text for text in said)
    assert app.wish is None


async def test_nothing_yet_is_said(past, tmp_path):
    """Without any run the screen says how to come to one."""
    app = HomeApp(watching=False)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        assert "There are no runs yet" in shown(app)


async def test_a_new_job_gets_what_was_typed_before_the_form_was_there(past):
    """One burst from the history: the word chooses the example, first in a form that is yet to be
    made, then behind keys that move a cursor in one that is there."""
    past("first", "success")
    app = HomeApp(watching=False)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        type_at_once(app, "ctrl+n", *"repro", "enter")
        await until(lambda: isinstance(app.screen, ConfigScreen) and app.screen.draft is not None)
        assert app.screen.draft.loaded.job.job.name == "reproject"
        app.screen.draft = None
        type_at_once(app, "5", "j", "ctrl+n", *"mosaic", "enter")
        await until(lambda: isinstance(app.screen, ConfigScreen) and app.screen.draft is not None)
        assert app.screen.draft.loaded.job.job.name == "mosaic"


async def test_evil_names_in_the_history(past):
    """Names of jobs and directories are shown as text."""
    past("[bold]x\x1b]52;c;aGk=\x07\u202e[@click=app.bell]y", "success")
    app = HomeApp(watching=False)
    async with app.run_test(size=(160, 30)) as pilot:
        await settle(pilot)
        text = shown(app)
        assert "[bold]x" in text
        assert not any(char in text for char in "\x1b\x07\u202e")


async def test_history_within_the_console_of_a_run(past, console, script):
    """Mode 5 of a run's console; its own directory is shown there and then."""
    script.plan(1, 1, 4)
    run_index.note(Path(script.state.output_dir))
    app = console()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("5")
        await settle(pilot)
        assert "relief" in shown(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.current_mode == "run"
        assert app.wish is None


def test_geobatch_alone_opens_the_history(past, tmp_path):
    """In a terminal the console opens; from the history a run is shown, and q leaves."""
    past("first", "success")
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    opened = Terminal(["-m", "geobatch_tui"], tmp_path, **state)
    try:
        opened.wait_for(b"History")
        opened.wait_for(b"first")
        opened.type(b"\r")
        opened.wait_for(b"What now")
        opened.type(b"q")
        assert opened.ended() == 0
    finally:
        opened.close()


async def test_history_tells_kinds_notes_and_what_is_gone(past, tmp_path):
    """Columns are sorted by a click; a note is the user's own; runs of which nothing is left, and
    those that never began, are told apart and can be taken off."""
    first, again = past("first", "success", "success"), past("again", "success")
    run_index.note(tmp_path / "lost")
    (tmp_path / "early" / ".geobatch").mkdir(parents=True)
    run_index.note(tmp_path / "early")
    ledgers = [(out / ".geobatch" / "ledger.db").read_bytes() for out in (first, again)]
    app = HomeApp(watching=False)
    async with app.run_test(size=(160, 30)) as pilot:
        await settle(pilot)
        listed = app.screen.query_one(RunList)
        assert [run.state for run in listed.runs].count("gone") == 1
        assert [run.state for run in listed.runs].count("never began") == 1
        assert [run.note for run in listed.runs if run.state == "gone"] == ["the directory is gone"]
        assert "the directory is" in shown(app)  # the rest may be cut off behind a long name
        assert [run.kind for run in listed.runs if run.row] == [
            "reproject",
            "+reproject",
            "reproject",
        ]
        heading = app.screen.query_one(ListHeading)
        head = shown(app).splitlines()[1]
        for _ in range(2):
            await pilot.click(heading, offset=(head.index("job") + 1, 0))
        assert [run.name for run in listed.runs] == ["first", "first", "again", "?", "?"]
        assert "job▼" in shown(app)
        await pilot.press("home", "comma", *"night [b]1[/b]", "enter")
        await settle(pilot)
        assert listed.current.remark == "night [b]1[/b]"
        assert "night [b]1[/b]" in shown(app)
        await pilot.press("slash", *"note:night", "enter")
        assert len(listed.runs) == 1
        await pilot.press("escape", "end", "x")
        await settle(pilot)
        assert len(listed.runs) == 4
        await pilot.press("home", "x")
        await settle(pilot)
        assert len(listed.runs) == 4, "a run that can be read stays"
    assert ledgers == [(out / ".geobatch" / "ledger.db").read_bytes() for out in (first, again)]


def test_throughput_of_a_run_is_what_it_noted(script, clock):
    """Chunks a second in equal steps of the run's time, with a gap where it stood still."""
    script.plan(1, 1, 10)
    for total in (0, 4, 4, 4, 8):
        script.progress(totals=[total, 0, 0, 0])
        clock.t += 10
    script.done(*range(1, 9))
    script.end()
    (run,) = gather([script.state.output_dir])
    pace = paces(run.directory, [run.row], 5)["run-1"]
    assert [round(step, 3) for step in pace] == [0.4, 0, 0, 0.4, 0]
