"""The screen of dead letters, as its operator meets it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import textual
from corpus import NAMES
from scripted_run import asked, busy_run, dialog_seen, pictured, shown, until

from geobatch_tui.config.layers import make_job
from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan
from geobatch_tui.execution.protocol.preview_messages import (
    DotPicture,
    FeaturesReceipt,
    PreviewReceipt,
)
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.letters.retry_plan import Consequence
from geobatch_tui.tui.parts.console_messages import RetryRequested, ShowOnMap
from geobatch_tui.tui.parts.dialogs import NoteDialog, PathDialog
from geobatch_tui.tui.parts.filter_bar import FilterBar
from geobatch_tui.tui.screens.dead import DeadScreen
from geobatch_tui.tui.screens.retry_dialog import RetryDialog, lines, wrong_with
from geobatch_tui.tui.widgets.inspector import TABS, Inspector

DEATHS = [("IReadBlock failed at X offset 3", "CorruptSourceError")] * 4 + [
    ("out of memory", "MemoryBudgetError")
] * 2


class Eye:
    """A previewer without a worker: a ramp with a damaged and an empty corner."""

    def __init__(self):
        self.asked = []

    async def look(self, task):
        self.asked.append(task)
        width, height = 32, 32
        ramp = bytes(value for y in range(height) for x in range(width) for value in (8 * x,) * 3)
        marks = bytearray(width * height)
        for y in range(8):
            marks[y * width : y * width + 8] = bytes([2]) * 8
            marks[(31 - y) * width + 24 : (31 - y) * width + 32] = bytes([1]) * 8
        facts = {
            "window": [0, 0, 256, 256], "size": [10240, 7680], "bands": [1], "count": 3,
            "dtype": "uint16", "nodata": "0.0", "block": [256, 256], "low": [112.0],
            "high": [3021.5], "bad_blocks": 1, "error": "damaged",
        }  # fmt: skip
        return PreviewReceipt(width, height, ramp, bytes(marks), facts)

    async def close(self):
        pass


@pytest.fixture
def console(console):
    """Consoles that open with the dead letters."""
    return partial(console, mode="dead")


@pytest.fixture
def eye(monkeypatch):
    eye = Eye()
    monkeypatch.setattr("geobatch_tui.tui.screens.dead.Previewer", lambda **_: eye)
    monkeypatch.setattr(DeadScreen, "SETTLE", 0.0)
    return eye


@pytest.fixture
def deaths(script):
    """Six letters of two causes; the chunks of the first cause touch."""
    script.plan(1, 1, 10, 10)
    for chunk, (message, error) in zip((1, 2, 11, 12, 56, 99), DEATHS, strict=True):
        row, col = divmod(chunk - 1, 10)
        script.die(
            chunk, message, error=error, chunk=f"1.tif@{row},{col}",
            reproduce=f"gdalinfo /data/1.tif {chunk}", window=[0, 0, 256, 256],
            bounds_lonlat=[11.0, 47.0, 11.1, 47.1],
        )  # fmt: skip


async def settle(pilot):
    """Wait for letters to be read, and for the picture."""
    for _ in range(3):
        await pilot.pause()
    for worker in list(pilot.app.workers):
        if worker.group in {"letter", "commands", "export"}:
            await worker.wait()
    await pilot.pause()


async def opened(pilot):
    await pilot.press("3")
    await settle(pilot)
    assert isinstance(pilot.app.screen, DeadScreen)
    return pilot.app.screen


async def test_letters_are_grouped_by_cause_then_by_place(console, deaths, eye):
    """First one group a cause, the largest first; then one a rectangle of chunks; then none."""
    app = console()
    async with app.run_test(size=(120, 30)) as pilot:
        screen = await opened(pilot)
        text = shown(app)
        assert "Dead letters 6" in text
        assert text.index("4 CorruptSourceError") < text.index("2 MemoryBudgetError")
        await pilot.press("g")
        await settle(pilot)
        assert "1.tif  0,0 to 1,1" in shown(app)
        await pilot.press("g")
        await settle(pilot)
        assert screen.list.count() == 6
        assert "6  one by one, sorted by death" in shown(app)
        await pilot.press("s")
        await settle(pilot)
        assert "one by one, sorted by cause" in shown(app)
        assert " cause▲ " in shown(app)


async def test_new_letters_arrive_and_the_cursor_stays(console, script, deaths, eye):
    """What dies meanwhile is shown, and the cursor stays on its letter."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("j", "j", "j")
        letter = screen.list.letter
        script.die(20, "IReadBlock failed at X offset 9", chunk="1.tif@1,9")
        app.poll()
        await settle(pilot)
        assert screen.list.letter == letter
        assert "Dead letters 7" in shown(app)


async def test_letter_that_was_retried_leaves(console, script, deaths, eye):
    """A letter that was requeued elsewhere is gone from list, marks and inspector."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("a")
        script.ledger.requeue_dead(["MemoryBudgetError"], None)
        app.poll()
        await settle(pilot)
        assert len(screen.list.marks) == 4
        script.ledger.requeue_dead(None, None)
        app.poll()
        await settle(pilot)
        assert screen.list.count() == 0
        assert "nothing is given up" in shown(app)


async def test_filter_hides_and_escape_brings_back(console, deaths, eye):
    """What is typed after / filters at once; the filter stays on the screen; esc drops it."""
    app = console()
    async with app.run_test(size=(120, 30)) as pilot:
        screen = await opened(pilot)
        await pilot.press("slash", *"class:mem", "enter")
        await settle(pilot)
        assert "2 shown" in shown(app)
        assert "/ class:mem" in shown(app)
        assert "no letter matches" not in shown(app)
        await pilot.press("slash", *"nosuchword", "enter")
        await settle(pilot)
        assert shown(app).count("no letter matches") == 2  # in the list, and for the window
        assert screen.focused is screen.list
        await pilot.press("escape")
        await settle(pilot)
        assert not screen.query_one(FilterBar).chosen
        assert "shown" not in shown(app).splitlines()[0]


async def test_groups_marks_and_ranges(console, deaths, eye):
    """Enter folds a group to its head, and unfolds it. Space marks a letter or a group, v all from
    the last mark to the cursor, a everything."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        assert screen.list.count() == 8
        await pilot.press("enter")
        assert screen.list.count() == 4
        await pilot.press("enter")
        assert screen.list.count() == 8
        await pilot.press("space")
        assert len(screen.list.marks) == 4
        await pilot.press("space")
        assert not screen.list.marks
        await pilot.press("j", "v", "j", "j", "v")
        assert len(screen.list.marks) == 3
        await pilot.press("a")
        assert len(screen.list.marks) == 6
        await pilot.press("escape")
        assert not screen.list.marks


async def test_retry_shows_what_is_rerun_before_it_is(console, deaths, eye):
    """R shows counts and names; nothing is sent before enter, and then what was shown."""
    asked = []
    app = console()
    app.link.send = lambda verb, **arguments: asked.append((verb, arguments)) or ""
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("j", "space", "space", "R")
        await dialog_seen(app, RetryDialog)
        await pilot.pause()
        text = shown(app)
        assert "2 dead letters tried again in the run that is live" in text
        assert "1.tif@0,1" in text
        assert not asked
        await pilot.press("escape")
        await settle(pilot)
        assert not asked
        await pilot.press("R")
        await dialog_seen(app, RetryDialog)
        await pilot.press("enter")
        await until(lambda: asked)
        assert asked == [("retry_dead", {"classes": [], "keys": ["1.tif@0,0", "1.tif@0,1"]})]


def test_rows_of_a_retry_are_as_wide_as_what_is_in_them():
    """So that what becomes of each letter has room beside it on a small screen."""
    rows = (("a.tif", "CorruptSourceError", "planned anew, then computed"), ("bcd.tif", "X", "y"))
    found = Consequence(2, 0, 2, 0, 0, 0, 0, 0, (), rows)
    assert lines(found).plain.splitlines() == [
        "a.tif    CorruptSource  planned anew, then computed",
        "bcd.tif  X              y",
    ]


async def test_a_retry_of_nothing_offers_nothing(console, deaths, eye):
    """Where a live run can take none of the letters, the dialog says so and when they can be."""
    rows = (("a.tif", "CorruptSourceError", "left: only a new run plans it anew"),)
    found = Consequence(0, 0, 0, 0, 0, 0, 1, 0, (("CorruptSourceError", 1),), rows)
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await app.push_screen(RetryDialog(found, "in the run that is live"))
        await pilot.pause()
        text = shown(app)
    assert "nothing can be tried again in the run that is live" in text
    assert "1 letter left for a new run, which plans items: retry after this one" in text
    assert "enter retry" not in text


async def test_retry_of_a_cause_names_the_class(console, deaths, eye):
    """A whole group is named by its class, not chunk by chunk."""
    asked = []
    app = console()
    async with app.run_test(
        size=(80, 24), message_hook=lambda m: asked.append(m) if type(m) is RetryRequested else None
    ) as pilot:
        app.link.send = lambda *_, **__: ""
        await opened(pilot)
        await pilot.press("R")
        await dialog_seen(app, RetryDialog)
        await pilot.press("enter")
        await until(lambda: asked)
        assert (asked[0].classes, asked[0].keys) == (("CorruptSourceError",), ())


async def test_retry_of_a_finished_run_starts_another(console, script, deaths, eye, monkeypatch):
    """Where nothing is live, `geobatch retry` is started in the background, with changes."""
    started = []
    monkeypatch.setattr(
        "geobatch_tui.tui.letters.requests.start_in_background",
        lambda words, root: started.append(words),
    )
    script.end("partial", 12, "complete")
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("j", "A")
        await dialog_seen(app, RetryDialog)
        await pilot.press(*"engine.max_workers=1", "enter")
        await until(lambda: started)
        assert started[0][0] == "retry"
        assert Path(started[0][1]).is_absolute()
        assert started[0][3:] == ["--chunk=1.tif@0,0", "--set=engine.max_workers=1"]


async def test_a_wrong_change_costs_nothing_that_was_typed(console, deaths, eye):
    """The dialog says what is wrong and stays; other items that a new run takes, too, are told."""
    job = make_job({"source": {"inputs": ["a.tif"]}, "output": {"dir": "o"},
                    "op": {"name": "raster.convert"}})  # fmt: skip
    run = SimpleNamespace(job=job.to_json())
    assert wrong_with(run, ["engine.max_workers=2"]) == ""
    assert "nonsense" in wrong_with(run, ["engine.nonsense=1"])
    assert wrong_with(SimpleNamespace(job={}), ["engine.nonsense=1"]) == ""
    found = Consequence(1, 1, 0, 0, 0, 0, 0, 0, (("X", 1),), (("a", "X", "y"),), joining=3)
    app = console()
    answers = []
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        dialog = RetryDialog(found, "by a run", check=partial(wrong_with, run))
        await app.push_screen(dialog, answers.append)
        await pilot.press(*"engine.nonsense=1", "enter")
        await until(lambda: "nonsense" in str(dialog.query_one("#retry-wrong").content))
        assert dialog.query_one("Input").value == "engine.nonsense=1"
        assert "3 more items whose source changed" in shown(app)
        dialog.query_one("Input").value = "engine.max_workers=1"
        await pilot.press("enter")
        await until(lambda: answers)
    assert answers == [("engine.max_workers=1",)]


async def test_a_file_that_changed_is_seen_at_once(console, script, deaths, eye, tmp_path):
    """What the inspector says of it is read again, and so is the picture, while it is shown."""
    app = console()
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await opened(pilot)
        await pilot.press("j")
        await until(lambda: screen.dossier is not None and screen._pictured is not None)
        before = screen.dossier
        screen.dossier = replace(before, files=[])
        screen._look_again()
        await until(lambda: screen.dossier is not None and screen.dossier.files == before.files)


async def test_read_only_console_retries_nothing(console, deaths, eye):
    """A read-only console has no key that changes the job."""
    app = console(read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("R", "A")
        await settle(pilot)
        assert app.screen is screen


async def test_inspector_tells_all(console, script, deaths, eye):
    """Its tabs hold message, place, neighbours, command; log; parameters; files. A wide screen names
    the keys that act on letters."""
    script.state.log.write_text(
        json.dumps({"time": "2026-11-24T12:00:00.000Z", "level": "error", "message": "said",
                    "chunk": "1.tif@0,0"}) + "\n"
    )  # fmt: skip
    app = console()
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("j")
        await settle(pilot)
        text = shown(app)
        for word in (
            "R Retry  ", "A Retry with  ", "S Split  ", "X Dismiss  ",
            "stage read", "try: fetch the file again", "256 x 256 at column 0, row 0",
            "11.0000 to 11.1000", "[✗] ✗ ", "$ gdalinfo /data/1.tif 1",
        ):  # fmt: skip
            assert word in text
        for word in ("no traceback", "1.tif@0,0 said", "EPSG:6933", "No such file"):
            await pilot.press("greater_than_sign")
            await settle(pilot)
            assert word in shown(app), word


async def test_a_letter_is_copied_and_shown_on_the_map(console, deaths, eye):
    """The key y copies the line that reproduces the failure; o sends chunks by name and by id, and
    changes to the map, with the cursor on the chunk."""
    sent = []
    app = console()
    async with app.run_test(
        size=(80, 24), message_hook=lambda m: sent.append(m) if type(m) is ShowOnMap else None
    ) as pilot:
        await opened(pilot)
        await pilot.press("j", "j")
        await settle(pilot)
        await pilot.press("y")
        assert app.clipboard == "gdalinfo /data/1.tif 2"
        await pilot.press("o")
        await until(lambda: app.current_mode == "map")
        assert sent[0].keys == ("1.tif@0,1",)
        assert sent[0].chunks == (2,)
        await until(lambda: "r000c001" in shown(app))


async def test_letters_are_exported(console, deaths, eye, tmp_path):
    """ctrl+s asks for a name and writes what is shown."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("slash", *"class:mem", "enter", "ctrl+s")
        await until(lambda: isinstance(app.screen, PathDialog))
        await pilot.press("ctrl+u", *"dead.csv", "enter")
        await until((tmp_path / "dead.csv").exists)
        assert len((tmp_path / "dead.csv").read_text().splitlines()) == 3


async def test_window_is_shown_and_bands_change(console, deaths, eye):
    """The window is asked for once a letter; m asks for the next band."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("j")
        await settle(pilot)
        assert "? 1 block unreadable" in shown(app)
        asked = len(eye.asked)
        assert eye.asked[-1].source == "/data/1.tif"
        await pilot.press("m", "m")
        await settle(pilot)
        assert eye.asked[-1].band == 2
        assert len(eye.asked) == asked + 2
        # What a step got, where the job has steps.
        await pilot.press("r")
        await settle(pilot)
        assert "no step of a chain" in shown(app)
        await pilot.press("r")
        await settle(pilot)
        assert "? 1 block unreadable" in shown(app)


async def test_operations_without_rasters_say_so(console, script, deaths, eye):
    """Where there can be no preview, the panel says why."""
    script.ledger.begin_run("run-2", {"job": {"op": {"name": "own.thing"}}}, {})
    app = console()
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        assert "own.thing reads no raster" in shown(app).replace("│", "")
        assert not eye.asked


async def test_a_feature_that_was_set_aside_is_drawn(console, script, eye, monkeypatch):
    """In braille, with what is not drawn, and where it lies; the worker is asked for that one."""

    async def look(task):
        eye.asked.append(task)
        dots = bytes(x in {0, 79} or y in {0, 39} for y in range(40) for x in range(80))
        picture = DotPicture(80, 40, dots, (0.0, 0.0, 8.0, 4.0), 1234, 2, False)
        aside = ((7, "GeometryError", "a coordinate is not a finite number"),)
        return FeaturesReceipt(1, 0, 0, 1, aside, {}, None, "'WGS 84'", {}, (), picture)

    monkeypatch.setattr(eye, "look", look)
    script.ledger.begin_run("run-2", {"job": {"op": {"name": "vector.reproject"}}}, {})
    plan = ItemPlan(ChunkGrid(100, 1, 10, 1), 1, 1, {}).to_json()
    script.plan(1, 1, 10, 1, plan=plan)
    script.die(3, "not finite", error="GeometryError", feature=27, evidence={"position": 27})
    app = console()
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        text = shown(app)
        (task,) = eye.asked
        assert (task.index, task.step, task.position) == (2, 0, 27)
        assert "⡏" + "⠉" * 38 + "⢹" in text
        assert "⣇" + "⣀" * 38 + "⣸" in text
        assert " Feature " in text
        assert "1,234 vertices" in text
        assert "? 2 not finite: not drawn" in text
        assert "~ not all of it is drawn" in text
        assert "x 0 to 8" in text
    async with console().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await settle(pilot)
        assert "⢹" in shown(pilot.app)


async def test_letters_are_dismissed_with_a_note(console, script, deaths, eye):
    """The key X asks for a note, writes it to the ledger of a run that ended, and shows it; once
    more it is taken back."""
    script.end("partial", 12)
    app = console()
    async with app.run_test(size=(120, 30)) as pilot:
        screen = await opened(pilot)
        await pilot.press("g", "g", "X")
        await until(lambda: isinstance(app.screen, NoteDialog))
        await pilot.press(*"cloud", "enter")
        await until(lambda: app.screen is screen)
        await app.workers.wait_for_complete([w for w in app.workers if w.group == "dismiss"])
        app.poll()
        await settle(pilot)
        letters = app.link.store.letters
        assert [letter.dismissed for letter in letters.values()] == ["cloud"] + [None] * 5
        assert "dismissed: cloud" in shown(app)
        assert "1 dismissed" in shown(app)
        assert screen.list.letter == 1  # it went to the end, and the cursor with it
        assert screen.query_one(Inspector).dossier.record["dismissed"]["note"] == "cloud"
        await pilot.press("slash", *"note:cloud", "enter")
        await settle(pilot)
        assert "1 shown" in shown(app)
        await pilot.press("X")
        await asked(app)
        await pilot.press("down", "enter")
        await until(lambda: app.screen is screen)
        await app.workers.wait_for_complete([w for w in app.workers if w.group == "dismiss"])
        app.poll()
        await settle(pilot)
        assert all(letter.dismissed is None for letter in app.link.store.letters.values())


async def test_a_live_run_is_told_what_is_dismissed(console, script, deaths, eye):
    """The ledger belongs to the run: it gets a command."""
    asked = []
    app = console()
    app.link.send = lambda verb, **arguments: asked.append((verb, arguments)) or ""
    async with app.run_test(size=(120, 30)) as pilot:
        screen = await opened(pilot)
        await pilot.press("g", "g", "X")
        await until(lambda: isinstance(app.screen, NoteDialog))
        await pilot.press(*"known", "enter")
        await until(lambda: asked)
        letter = app.link.store.letters[screen.list.letter]
        told = {"letters": [[letter.dead_id, letter.t]], "note": "known"}
        assert asked == [("dismiss", told)]


async def test_chunks_are_split_after_saying_what_that_is(console, script, eye, monkeypatch):
    """The key S shows what is computed; what is one tile already cannot be split."""
    script.plan(1, 1, 10, 10, size=1024)
    script.die(12, "damaged", chunk="1.tif@1,1")
    script.die(13, "damaged", chunk="1.tif@1,2")
    script.plan(2, 101, 2, 2, size=512)
    script.die(101, "damaged", item=2, chunk="2.tif@0,0")
    script.end("partial", 12)
    sent = []

    def asked(link, classes, keys, changes, *, split):
        sent.append((classes, keys, changes, split))
        return "they are tried again"

    monkeypatch.setattr("geobatch_tui.tui.console.steering.rerun", asked)
    app = console()
    async with app.run_test(size=(120, 30)) as pilot:
        screen = await opened(pilot)
        await pilot.press("g", "g", "S")
        await dialog_seen(app, RetryDialog)
        await pilot.pause()
        assert "400 chunks computed" in shown(app)
        assert "1 item planned anew in chunks half as wide and high" in shown(app)
        await pilot.press("enter")
        await until(lambda: sent)
        assert sent == [((), ("1.tif@1,1",), (), True)]
        await until(lambda: app.screen is screen)
        await pilot.press("G", "S")
        await until(
            lambda: any(note.message.startswith("none can be") for note in app._notifications)
        )
        assert app.screen is screen


def evil(script):
    """A letter for each name of the corpus, in every field that may hold it."""
    lines = []
    for number, raw in enumerate(NAMES.values(), 1):
        key = os.fsdecode(raw)
        script.plan(number, number, key=key)
        chunk = f"{safe(key)}@0,0"
        record = {
            "item": safe(key),
            "chunk": chunk,
            "error_class": "CorruptSourceError",
            "error_message": f"{safe(key)} is damaged",
            "stage": "read",
            "source": f"/data/{safe(key)}",
            "suggestion": safe(key),
            "reproduce": f"gdalinfo '/data/{key}'",
            "traceback": f"Traceback\n  {key}",
            "evidence": {"gdal": [key], "stderr": key},
        }
        script.put(lu.DeadLetter(number, number, 3, 0, "CorruptSourceError", record))
        lines.append(json.dumps({"level": "error", "message": key, "chunk": chunk}) + "\n")
    script.state.log.write_text("".join(lines))


async def test_evil_names_do_nothing(console, script, eye):
    """Names of files are shown, never obeyed: all that is drawn or copied is printable."""
    evil(script)
    app = console()
    async with app.run_test(size=(120, 30)) as pilot:
        screen = await opened(pilot)
        await pilot.press("g", "g")
        inspector = screen.query_one(Inspector)
        for raw in NAMES.values():
            key = f"{safe(os.fsdecode(raw))}@0,0"
            await until(lambda key=key: inspector.dossier and inspector.dossier.key == key)
            await settle(pilot)
            for _ in TABS:
                assert shown(app).replace("\n", "").isprintable()
                await pilot.press("greater_than_sign")
            await pilot.press("y")
            assert app.clipboard.isprintable()
            await pilot.press("j")
        await pilot.press("a", "R")
        await dialog_seen(app, RetryDialog)
        await pilot.pause()
        assert shown(app).replace("\n", "").isprintable()


async def test_evil_key_is_sent_as_the_ledger_has_it(console, script, eye):
    """A name that was made harmless once is not made harmless again on its way back."""
    key = safe(os.fsdecode(NAMES["escape"]))
    script.plan(1, 1, 2)
    script.die(1, "damaged", chunk=f"{key}@0,0")
    script.die(2, "damaged", chunk=f"{key}@0,1")
    asked = []
    app = console()
    app.link.send = lambda verb, **arguments: asked.append(arguments) or ""
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("j", "R")
        await dialog_seen(app, RetryDialog)
        await pilot.press("enter")
        await until(lambda: asked)
        assert asked[0]["keys"] == [f"{key}@0,0"]


# --- pictures ------------------------------------------------------------------------------------

pictures = pytest.mark.skipif(
    textual.__version__ != "8.2.8", reason="pictures were made with textual 8.2.8"
)


async def _open(pilot):
    await pilot.press("3")
    await settle(pilot)
    await pilot.press("j", "j", "space")
    await settle(pilot)
    # Its keys are not this screen's alone: they change with every mode that is added.
    for bar in pilot.app.screen.query("Footer, KeyBar"):
        bar.visible = False


@pictures
@pictured([("night", (80, 24)), ("day", (160, 48)), ("terminal", (80, 24))])
def test_dead_screen_picture(snap_compare, console, script, eye, theme, size):
    """List, window and inspector fill the screen; nothing is cut or overlaps."""
    busy_run(script)
    app = console()

    async def before(pilot):
        pilot.app.theme = theme
        await _open(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)


@pictures
def test_dead_screen_without_colors(snap_compare, console, script, eye, monkeypatch):
    """With NO_COLOR the window is drawn in characters, and the cursor is seen."""
    monkeypatch.setenv("NO_COLOR", "1")
    busy_run(script)
    assert snap_compare(console(), terminal_size=(80, 24), run_before=_open)


@pictures
def test_retry_dialog_picture(snap_compare, console, script, eye):
    """The dialog shows numbers and names above the screen."""
    busy_run(script)

    async def before(pilot):
        await _open(pilot)
        await pilot.press("escape", "home", "R")
        await dialog_seen(pilot.app, RetryDialog)
        await pilot.pause()

    assert snap_compare(console(), terminal_size=(80, 24), run_before=before)
