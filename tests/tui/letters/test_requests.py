from __future__ import annotations

import json
import sys

import pytest

from geobatch_tui.errors import StateError
from geobatch_tui.observability.text import pasteable, proper
from geobatch_tui.tui.letters.requests import batches, rerun, start_in_background
from geobatch_tui.tui.run.link import RunLink


@pytest.fixture
def link(script, clock):
    script.plan(1, 1, 4)
    script.die(1)
    link = RunLink(script.state.output_dir, clock=clock)
    link.poll()
    yield link
    link.close()


@pytest.mark.parametrize("count", [0, 1, 10, 5000])
def test_batches_fit_a_command(count):
    """All names are in some part, in order, and no part is longer than a command may be."""
    keys = tuple(f"tile_{n}.tif@{n},0" for n in range(count))
    parts = list(batches(keys))
    assert tuple(key for part in parts for key in part) == keys
    assert all(len(json.dumps(part)) < 60_000 for part in parts)
    assert len(parts) >= 1


def test_live_run_is_asked(link):
    """On a live run letters are requeued by commands, nothing is started."""
    sent = []
    link.send = lambda verb, **arguments: sent.append((verb, arguments)) or "2 will"
    assert rerun(link, ["A"], ["k1", "k2"], start=lambda *_: pytest.fail("started")) == "2 will"
    assert sent == [("retry_dead", {"classes": ["A"], "keys": ["k1", "k2"]})]


def test_live_run_takes_no_changes(link):
    """Values cannot change in the middle of a run: said, not dropped."""
    with pytest.raises(StateError, match="no changes"):
        rerun(link, [], [], ["engine.max_workers=1"])


def test_finished_run_is_started_again(link, script):
    """Without a live run, one is started with the same choice."""
    script.end("partial", 12)
    link.poll()
    started = []
    rerun(link, ["A"], ["-k"], ["x=1"], start=lambda words, root: started.append((words, root)))
    words, root = started[0]
    assert words == [
        "retry", str(script.state.output_dir), "--json", "--class=A", "--chunk=-k", "--set=x=1",
    ]  # fmt: skip
    assert root == script.state.root


def test_finished_run_is_split(link, script):
    """The command is told, and a live run is not asked."""
    with pytest.raises(StateError, match="no changes"):
        rerun(link, [], [], split=True)
    script.end("partial", 12)
    link.poll()
    started = []
    rerun(link, [], [], start=lambda words, _: started.append(words), split=True)
    assert started == [["retry", str(script.state.output_dir), "--json", "--split"]]


def test_read_only_console_asks_nothing(script, clock):
    """A read-only console neither sends nor starts."""
    link = RunLink(script.state.output_dir, read_only=True, clock=clock)
    with pytest.raises(StateError, match="read-only"):
        rerun(link, [], [], start=lambda *_: pytest.fail("started"))
    link.close()


def test_background_run_that_fails_says_why(tmp_path):
    """A command that is refused at once raises with its last error, and its output is kept."""
    with pytest.raises(StateError, match="no run in"):
        start_in_background(["retry", str(tmp_path / "none"), "--json"], tmp_path)
    assert "no run in" in (tmp_path / "detached.log").read_text()


def test_background_run_that_ends_well_is_fine(tmp_path, monkeypatch):
    """A run that has ended before anybody looked is no failure."""
    monkeypatch.setattr(sys, "executable", "/bin/true")
    start_in_background(["retry"], tmp_path)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("gdalinfo /data/a.tif", "gdalinfo /data/a.tif"),
        ("gdalinfo '/data/a b.tif'", "gdalinfo '/data/a b.tif'"),
        ("gdalinfo '/data/\x1b[2J.tif'", "gdalinfo $'/data/\\033[2J.tif'"),
        ("gdalinfo '/data/two\nlines.tif'", "gdalinfo $'/data/two\\012lines.tif'"),
        ("gdalinfo '/data/\udce9.tif'", "gdalinfo $'/data/\\351.tif'"),
        ("broken 'quote \x07", "broken 'quote \\x07"),
    ],
)
def test_commands_are_safe_to_paste(command, expected):
    """A command is copied as it is, unless pasting it would do more than type it."""
    assert pasteable(command) == expected


@pytest.mark.parametrize(
    "command",
    [
        "curl http://host/x | sh",
        "gdalinfo a.tif; sh x",
        "gdalinfo $(sh x)",
        "gdalinfo `sh x`",
        "gdalinfo a.tif > ~/.bashrc",
        "gdalinfo a.tif\nsh x",
        "gdalinfo a.tif # ; sh x",
        "gdalinfo 'a",
        "",
    ],
)
def test_only_proper_commands_are_offered(command):
    """A ledger that somebody else wrote offers none that a shell would take for more than words."""
    assert proper(command) == ""
    assert proper("gdalinfo '/data/a b.tif'") == "gdalinfo '/data/a b.tif'"
