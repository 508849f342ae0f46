"""What commands show, without running a job."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

import geobatch_tui
from geobatch_tui.cli.commands import dead_letters, ops, plan, status

LETTER = {
    "item": "a.tif",
    "chunk": "a.tif@0,1",
    "feature": None,
    "error_class": "CorruptSourceError",
    "error_message": "block 3 cannot be read [red]not markup[/red] \x1b[31m",
    "stage": "read",
    "attempts": 1,
    "window": [256, 0, 256, 256],
    "bounds_lonlat": [-82.0, -20.0, -58.0, 2.0],
    "reproduce": "gdal_translate -srcwin 256 0 256 256 a.tif /dev/null",
    "suggestion": "fetch it again",
}


def text_of(renderable, width=80):
    """What a terminal of ``width`` columns shows."""
    console = Console(
        file=io.StringIO(), width=width, markup=False, highlight=False, force_terminal=False
    )
    console.print(renderable)
    return console.file.getvalue()


def test_explain_is_compressed_by_stretch():
    """Equal neighbours of one item share a line; another item or reason starts a new one."""
    lines = [
        ("a.tif@0,0", "new", ""),
        ("a.tif@0,1", "new", ""),
        ("a.tif@1,0", "current", ""),
        ("b.tif@0,0", "current", ""),
        ("b.tif@0,1", "param_changed", "op.resampling"),
    ]
    assert list(plan.compressed(lines)) == [
        "a.tif@0,0 .. 0,1  (2)  new",
        "a.tif@1,0  current",
        "b.tif@0,0  current",
        "b.tif@0,1  param_changed: op.resampling",
    ]
    assert list(plan.compressed([])) == []


def test_explain_counts_every_chunk():
    """A million chunks in stretches lose none, and are read as a stream."""
    stream = ((f"x.tif@{n // 1000},{n % 1000}", "new", "") for n in range(1_000_000))
    assert list(plan.compressed(stream)) == ["x.tif@0,0 .. 999,999  (1,000,000)  new"]


def test_geojson_file_is_whole_or_absent(tmp_path):
    """A failure in the middle leaves no half-written file under the final name."""

    def letters():
        yield LETTER
        raise RuntimeError

    with pytest.raises(RuntimeError):
        dead_letters._write_geojson(letters(), tmp_path / "dead.geojson")
    assert list(tmp_path.iterdir()) == []
    dead_letters._write_geojson([LETTER, LETTER], tmp_path / "dead.geojson")
    assert len(json.loads((tmp_path / "dead.geojson").read_text())["features"]) == 2


def test_letter_is_shown_as_text():
    """Brackets of a message are not markup, and its control characters are visible escapes."""
    shown = text_of(dead_letters.card(LETTER))
    assert "[red]not markup[/red]" in shown
    assert "\\x1b[31m" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"enum": ["a", "b"]}, "a | b"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number or null"),
        ({"type": "array", "items": {"type": "number"}}, "list of number"),
        ({"type": "array", "prefixItems": [{"type": "number"}] * 2}, "[number, number]"),
        ({}, "any"),
    ],
)
def test_type_in_words(schema, text):
    """JSON schema types read as words."""
    assert ops.type_name(schema) == text


def test_commands_of_dead_letters_are_there_to_be_copied(tmp_path, capsys):
    """Names that a terminal must not be sent are quoted, so that a shell finds the file."""
    dead_letters._show(
        [LETTER | {"reproduce": "gdalinfo 'two\nlines.tif'"}], tmp_path, trusted=True
    )
    assert "$ gdalinfo $'two\\012lines.tif'\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "eta", "shown"),
    [("running", 75.0, True), ("running", 0.0, False), ("crashed", 75.0, False)],
)
def test_status_tells_a_time_left_while_there_is_one(state, eta, shown):
    """Not of a run that is gone, nor of one whose chunks are not known yet."""
    counts = dict.fromkeys(("total", "done", "current", "running", "pending", "dead"), 1)
    said = {
        "run_id": "r",
        "state": state,
        "output_dir": "out",
        "counts": counts,
        "items": {"total": 1, "published": 0, "held": 0, "dead": 0},
        "rates": {"chunks_per_s": 2.0, "eta_s": eta},
        "duration_s": 5.0,
    }
    assert ("about" in text_of(status.table_of(said))) is shown


def test_commands_of_gdal_are_there_to_be_copied(monkeypatch, capsys):
    """One a line, whatever bytes their names have."""

    async def planned(loaded, *, gdal):
        assert gdal
        del loaded
        return SimpleNamespace(
            gdal_commands=["gdalwarp 'a\x1b[2J\n.tif' 'lat\udce9.tif'", "gdalwarp b c"]
        )

    monkeypatch.setattr(geobatch_tui, "plan", planned)
    monkeypatch.setattr(plan.shared_options, "load", lambda *_, **__: None)
    assert plan.plan(gdal=True) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "gdalwarp $'a\\033[2J\\012.tif' $'lat\\351.tif'"
    assert second == "gdalwarp b c"


def test_commands_of_others_are_not_shown(capsys, tmp_path):
    """They are there to be pasted; of another user's ledger they are not ours."""
    letter = LETTER | {"reproduce": "gdalinfo --config GDAL_DRIVER_PATH /evil a.tif"}
    dead_letters._show([letter], tmp_path, trusted=False)
    shown = capsys.readouterr()
    assert "/evil" not in shown.out
    assert "commands are left out" in shown.err
    dead_letters._show([letter], tmp_path, trusted=True)
    assert "$ gdalinfo --config" in capsys.readouterr().out
