from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.observability import log as log_module
from geobatch_tui.observability.lines import FIELDS, LineMaker, text_line
from geobatch_tui.observability.log import Log
from geobatch_tui.observability.versions import versions

NOON = 1_764_000_000.25


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def log(tmp_path, clock, seen):
    """A log into a file and a list."""
    with_stream = Log("run-1", tmp_path / "log.jsonl", stream=seen.append, clock=clock)
    yield with_stream
    with_stream.close()


def lines(path):
    """The objects of a log file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_the_documented_fields_in_their_order(log, tmp_path):
    """Every field of the contract stands in its place, extras behind, absent ones left out."""
    fields = {name: 1 for name in FIELDS if name not in {"time", "level", "logger", "message"}}
    for name in ("event", "run_id", "batch_id"):
        del fields[name]
    log.emit("chunk.done", message="done", **{"extra": 2, **dict(reversed(fields.items()))})
    log.emit("x", item="a.tif", stage=None)
    log.flush()
    first, second = lines(tmp_path / "log.jsonl")
    assert list(first) == [*FIELDS, "extra"]
    assert first["run_id"] == first["batch_id"] == "run-1"
    assert first["time"] == "2025-11-24T16:00:00.250Z"
    expected = ["time", "level", "logger", "message", "event", "run_id", "batch_id", "item"]
    assert list(second) == expected


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=[])), _JSON)
def test_any_value_makes_one_valid_line(message, value):
    """Whatever is logged gives one line of ASCII that any JSON reader takes."""
    line = LineMaker("r").json_line(NOON, "info", "g", "e", message, {"item": message, "x": value})
    assert "\n" not in line
    assert line.isascii()
    assert line.isprintable()
    said = json.loads(line, parse_constant=pytest.fail)
    json.dumps(said).encode()
    assert not re.search("[\ud800-\udfff]", json.dumps(said, ensure_ascii=False))


def test_foreign_objects_and_numbers_become_text():
    """NaN, infinity, paths and sets do not stop a line."""
    fields = {"a": float("nan"), "b": {(1, 2): {3}}, "c": ValueError("x")}
    said = json.loads(LineMaker("r").json_line(NOON, "info", "g", "e", "m", fields))
    assert (said["a"], said["b"], said["c"]) == ("nan", {"(1, 2)": [3]}, "x")


def test_undecodable_names_are_shown_as_bytes(log, tmp_path):
    """A raw byte of a file name is written as its escape, as everywhere else."""
    log.emit("e", item=os.fsdecode(b"\xff\x1b.tif"))
    log.flush()
    assert lines(tmp_path / "log.jsonl")[0]["item"] == "\\xff\\x1b.tif"


def test_no_credential_reaches_any_sink(tmp_path, clock, seen):
    """URLs, headers and named secrets are masked in files and on both kinds of stream."""
    for style in ("json", "text"):
        log = Log("r", tmp_path / "log", extra_path=tmp_path / "extra", stream=seen.append,
                  stream_format=style, clock=clock)  # fmt: skip
        log.emit(
            "chunk.dead",
            level="error",
            message="GET https://u:canary@h/a?sig=canary",
            item="https://h/x?X-Amz-Signature=canary",
            error_class="RemoteIOError",
            error_message='Authorization: Bearer canary-canary; {"token": "canary"}',
            traceback="x\ny password=canary",
            evidence={"api_key": "canary", "list": ["https://canary@h"]},
        )
        log.close()
    text = (tmp_path / "log").read_text() + (tmp_path / "extra").read_text() + "".join(seen)
    assert "canary" not in text
    assert text.count("RemoteIOError") == 6
    assert "\ny" in lines(tmp_path / "log")[0]["traceback"]


def test_levels(tmp_path, clock, seen):
    """All hear from the level on; what frames the run is in its own log in any case."""
    log = Log("r", tmp_path / "log", extra_path=tmp_path / "extra", stream=seen.append,
              level="warning", clock=clock)  # fmt: skip
    log.run_start({}, {})
    for level in ("debug", "info", "warning", "error"):
        log.emit(level, level=level)
    log.emit("run.noise", level="debug")
    log.run_exit(0, "complete", {})
    log.close()
    kept = [line["event"] for line in lines(tmp_path / "log")]
    assert kept == ["run.start", "warning", "error", "run.exit"]
    assert [line["event"] for line in lines(tmp_path / "extra")] == ["warning", "error"]
    assert [json.loads(line)["event"] for line in seen] == ["warning", "error"]
    log = Log("r", tmp_path / "debug", level="debug", clock=clock)
    log.emit("x", level="debug")
    log.close()
    assert len(lines(tmp_path / "debug")) == 1


def test_files_are_private_and_opened_late(log, tmp_path):
    """The run's log appears with its first line, readable by its owner only."""
    path = tmp_path / "log.jsonl"
    assert not path.exists()
    log.emit("x")
    log.flush()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_wait_for_company_but_not_long(log, tmp_path, clock):
    """Many lines share one write; a warning, or 50 ms, sends what waits."""
    path = tmp_path / "log.jsonl"
    log.emit("first")
    assert len(lines(path)) == 1
    log.emit("second")
    assert len(lines(path)) == 1
    clock.now += 0.06
    log.emit("third")
    assert len(lines(path)) == 3
    log.emit("fourth")
    log.emit("fifth", level="warning")
    assert len(lines(path)) == 5
    log.emit("sixth")
    log.flush()
    assert [line["event"] for line in lines(path)][-1] == "sixth"


def test_a_clock_that_goes_back_holds_no_line(log, tmp_path, clock):
    """A step of the wall clock cannot keep lines waiting."""
    log.emit("x")
    clock.now -= 3600
    log.emit("y")
    assert len(lines(tmp_path / "log.jsonl")) == 2


def test_reopening_follows_a_rotation(log, tmp_path):
    """After the file was moved away and the log reopened, lines go to a new file."""
    path = tmp_path / "log.jsonl"
    log.emit("old")
    path.rename(tmp_path / "log.1")
    log.emit("waiting")
    log.reopen()
    log.emit("new", level="warning")
    assert [line["event"] for line in lines(tmp_path / "log.1")] == ["old", "waiting"]
    assert [line["event"] for line in lines(path)] == ["new"]


class Room:
    """Room for so many bytes on a disk that is full then."""

    def __init__(self, size, monkeypatch):
        self.size, self._write = size, os.write
        monkeypatch.setattr(log_module.os, "write", self)

    def __call__(self, fd, data):
        part = bytes(data)[: self.size]
        if not part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size -= len(part)
        return self._write(fd, part)


def test_lines_wait_while_a_disk_is_full(log, tmp_path, seen, monkeypatch):
    """It is said once; with room again they come whole and in their order, and none is lost."""
    path = tmp_path / "log.jsonl"
    log.emit("before")
    room = Room(10, monkeypatch)
    log.emit("torn", level="warning")
    log.emit("waits", level="warning")
    assert log.lost == 2
    room.size = 10**6
    log.emit("after", level="warning")
    rows = path.read_text().splitlines()
    assert len(rows) == 5
    events = [json.loads(row)["event"] for row in (rows[0], *rows[2:])]
    assert events == ["before", "torn", "waits", "after"]
    complaints = [line for line in map(json.loads, seen) if line["event"] == "log.lost"]
    assert len(complaints) == 1
    assert "No space left" in complaints[0]["message"]
    log.run_exit(0, "complete", {})
    assert "lost_lines" not in lines_after(rows, path)[-1]


def test_room_for_some_lines_takes_those_off(log, tmp_path, monkeypatch):
    """A line that is whole in the file is not written again."""
    room = Room(0, monkeypatch)
    for name in "abc":
        log.emit(name, level="warning")
    room.size = len(log._files[0]._waiting[0].encode()) + 5
    log.emit("d", level="warning")
    room.size = 10**6
    log.flush()
    rows = (tmp_path / "log.jsonl").read_text().splitlines()
    whole = [row for row in rows if row.endswith("}")]
    assert [json.loads(row)["event"] for row in whole] == ["a", "b", "c", "d"]
    assert len(rows) == 5


def test_a_disk_that_stays_full_costs_lines_not_memory(log, tmp_path, monkeypatch):
    """The newest wait, the others are counted; the last line tells how many."""
    room = Room(0, monkeypatch)
    for _ in range(1200):
        log.emit("x")
    log.flush()
    room.size = 10**6
    log.run_exit(0, "complete", {})
    *others, last = lines(tmp_path / "log.jsonl")
    assert 500 <= len(others) < 520
    assert last["lost_lines"] == 1200 - len(others)


def lines_after(rows, path):
    """Objects of the lines that came after ``rows``."""
    return [json.loads(row) for row in path.read_text().splitlines()[len(rows) :]]


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_log_that_cannot_be_opened_is_said(tmp_path, clock, seen, style):
    """Without a directory there is no log and no directory is made, but the run goes on."""
    log = Log("r", tmp_path / "gone" / "log", stream=seen.append, stream_format=style, clock=clock)
    log.emit("x")
    log.close()
    assert log.lost == 1
    assert not (tmp_path / "gone").exists()
    assert any("cannot write the log" in line for line in seen)


def test_a_planted_link_is_not_followed(tmp_path, clock):
    """The run's own log is never written through a symbolic link."""
    victim = tmp_path / "victim"
    victim.write_text("")
    (tmp_path / "log").symlink_to(victim)
    log = Log("r", tmp_path / "log", clock=clock)
    log.emit("x")
    log.close()
    assert victim.read_text() == ""
    assert log.lost == 1


@pytest.mark.parametrize("name", ["log", "extra"])
def test_a_pipe_that_nobody_reads_blocks_nothing(tmp_path, clock, name):
    """A log is a file: a pipe in its place, which would hold up the run, gets no line."""
    os.mkfifo(tmp_path / name)
    log = Log("r", tmp_path / "log", extra_path=tmp_path / "extra", clock=clock)
    log.emit("x")
    log.close()
    assert log.lost == 1
    assert sum(len(lines(tmp_path / one)) for one in {"log", "extra"} - {name}) == 1


def test_a_file_with_something_else_gets_no_line(tmp_path, clock, seen):
    """A shell would run what a file's name says in its start-up file; it is told once."""
    (tmp_path / "rc").write_text("A=1\n")
    log = Log("r", tmp_path / "log", extra_path=tmp_path / "rc", stream=seen.append, clock=clock)
    for _ in range(3):
        log.emit("x", level="warning")
    log.close()
    assert (tmp_path / "rc").read_text() == "A=1\n"
    assert log.lost == 3
    assert sum("something else than log lines" in line for line in seen) == 1


def test_a_log_goes_on(tmp_path, clock):
    """One that an earlier run began, one that is empty, and one behind a link that the user named."""
    (tmp_path / "extra").touch()
    (tmp_path / "link").symlink_to(tmp_path / "extra")
    for follow in (True, True, False):
        log = Log(
            "r", tmp_path / "log", extra_path=tmp_path / "link", extra_follow=follow, clock=clock
        )
        log.emit("x")
        log.close()
    assert len(lines(tmp_path / "extra")) == 2
    assert log.lost == 1


def test_a_closed_stream_ends_the_stream_only(tmp_path, clock):
    """When stderr is gone, the file still gets every line."""
    calls = []

    def closed(line):
        calls.append(line)
        raise BrokenPipeError

    log = Log("r", tmp_path / "log", stream=closed, clock=clock)
    log.emit("x")
    log.emit("y")
    log.close()
    assert len(calls) == 1
    assert len(lines(tmp_path / "log")) == 2


def test_first_and_last_line(log, tmp_path):
    """A run's log starts with versions and config, and ends with code, reason and letters."""
    config = {"engine.max_workers": {"value": 2, "layer": "flag", "where": "--workers"}}
    log.run_start({"python": "3.13"}, config)
    letters = [{"item": f"{n}.tif"} for n in range(30)]
    log.run_exit(12, "complete", {"done": 3, "dead": 30}, letters, state="partial")
    first, last = lines(tmp_path / "log.jsonl")
    assert (first["event"], first["versions"], first["config"]) == (
        "run.start",
        {"python": "3.13"},
        config,
    )
    assert (last["event"], last["code"], last["reason"]) == ("run.exit", 12, "complete")
    assert last["message"] == "run ended: partial (exit code 12)", "in the console's words"
    assert last["counts"] == {"done": 3, "dead": 30}
    assert [letter["item"] for letter in last["dead_letters"]] == [f"{n}.tif" for n in range(20)]
    assert "lost_lines" not in last


def test_text_lines_are_one_safe_line():
    """A text line shows message, place and cause, and nothing that drives a terminal."""
    fields = {
        "chunk": "a\n\x1b[31m.tif@0,1",
        "error_class": "CorruptSourceError",
        "error_message": "bad\rblock",
        "stage": "read",
    }
    line = text_line(NOON, "error", "chunk dead", "chunk.dead", fields)
    assert line.isprintable()
    assert line.endswith(
        "chunk dead [a\\x0a\\x1b[31m.tif@0,1] CorruptSourceError: bad\\x0dblock (while: read)"
    )


def test_threads_share_a_log(tmp_path):
    """Lines of many threads stay whole, and none is lost."""
    log = Log("r", tmp_path / "log")
    threads = [
        threading.Thread(target=lambda: [log.emit("x", item="y" * 50) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len(lines(tmp_path / "log")) == 800


def test_versions_are_told_without_loading_what_they_are_of():
    """Metadata is enough: asking for versions loads neither GDAL nor numpy."""
    code = (
        "import sys; from geobatch_tui.observability.versions import versions; versions();"
        "sys.exit(','.join({'rasterio', 'numpy', 'pyproj', 'pyogrio'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_versions_name_what_makes_the_bytes():
    """The libraries, Python and the platform are there, and the mapping is the caller's own."""
    found = versions()
    assert {"geobatch-tui", "rasterio", "numpy", "imagecodecs", "python", "platform"} <= set(found)
    assert found["rasterio"][0].isdigit()
    found.clear()
    assert versions()


def test_a_log_that_a_job_file_names_is_the_users_own(tmp_path, monkeypatch):
    """Whoever made it before, empty, would read the log of somebody else's run."""
    path = tmp_path / "run.log"
    path.touch()
    os.close(log_module.open_extra(path, follow=False))
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    os.close(log_module.open_extra(path, follow=True))
    with pytest.raises(PermissionError, match="belongs to another user"):
        log_module.open_extra(path, follow=False)
