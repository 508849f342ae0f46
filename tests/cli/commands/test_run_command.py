"""Whole runs through the command line, with operations that need no GDAL."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import time

import forked_command
import pytest

from geobatch_tui.testing import OPS

ENV = {"GEOBATCH_OPS": OPS}
ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")


@pytest.fixture
def job(tmp_path):
    """Three items; keyword arguments are parameters of ``test.faulty``, ``extra`` more sections."""
    for n in range(3):
        (tmp_path / f"in{n}.tif").write_text("x")

    def write(extra="", **params):
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in params.items())
        lines = re.sub(r'"(\w+)": ', r"\1 = ", lines)
        path = tmp_path / "job.toml"
        path.write_text(
            '[source]\ninputs = ["in*.tif"]\n\n[op]\nname = "test.faulty"\n'
            f'{lines}\n\n[output]\ndir = "out"\n\n{extra}\n'
        )
        return path

    return write


def events(stderr):
    """The log lines on stderr; fails if one is not JSON."""
    return [json.loads(line) for line in stderr.splitlines()]


def test_run_and_resume(here, job):
    """A run publishes all and ends with 0; the second one redoes nothing and says so."""
    path = job(chunks=2)
    first = here("run", path, "--json", check=0)
    result = json.loads(first.stdout)
    assert (result["state"], result["exit_code"]) == ("success", 0)
    assert (result["counts"]["done"], result["items"]["published"]) == (6, 3)
    log = events(first.stderr)
    assert log[-1]["event"] == "run.exit"
    assert log[-1]["code"] == 0

    second = json.loads(here("run", path, "--json", check=0).stdout)
    assert (second["counts"]["done"], second["counts"]["current"]) == (0, 6)
    explained = here("plan", path, "--explain", check=0).stdout.splitlines()
    assert len(explained) == 3
    assert all(line.endswith("current") for line in explained)
    assert json.loads(here("verify", "out", "--json", check=0).stdout)["checked"] == 3


def test_an_output_directory_stands_for_its_job(here, job):
    """The job it was last run with, whatever has become of its file, under new values."""
    path = job(chunks=2)
    here("run", path, "--json", check=0)
    path.write_text("[nosuch]\n")
    again = json.loads(here("run", "out", "--json", check=0).stdout)
    assert (again["counts"]["done"], again["counts"]["current"]) == (0, 6)
    planned = json.loads(here("plan", "out", "--set", "op.bytes=65", "--json", check=0).stdout)
    assert planned["changed"] == {"op.bytes": 6}
    tried = json.loads(
        here("plan", "out", "--set", "op.bytes=65", "--try", "2", "--json", check=0).stdout
    )
    assert len(tried["trial"]["chunks"]) == 2
    assert tried["trial"]["estimate_s"] > 0
    said = here("plan", "out", "--set", "op.bytes=65", "--try", "2", check=0).stdout
    confined = planned["sandbox"]
    assert f"sandbox {confined}" in " ".join(said.split())
    assert "6 chunks" in said
    assert "in0.tif@0,1" in said
    refused = here("run", "nowhere", "--json", check=2)
    assert "nowhere" in refused.stderr


def test_a_trial_ends_as_a_run_of_its_chunks(here, job):
    """With the exit code that a script would see after hours."""
    path = job(chunks=3, faults={"raise": [1]})
    some = json.loads(here("plan", path, "--try", "9", "--json", check=12).stdout)["trial"]
    assert (some["state"], some["exit_code"]) == ("partial", 12)
    assert sum(bool(chunk["error"]) for chunk in some["chunks"]) == 3
    assert "dead" in here("plan", path, "--try", "9", check=12).stdout
    here("plan", job(chunks=3), "--try", "9", check=0)
    none = here("plan", job(chunks=1, faults={"raise": [0]}), "--try", "9", "--json", check=1)
    assert json.loads(none.stdout)["trial"]["state"] == "failed"


def test_dead_letters_and_retry(here, job, tmp_path):
    """One dead chunk: exit 12, told with its cause; `retry` of a repaired fault ends with 0."""
    path = job(chunks=3, faults={"raise": [1]}, only_key="in1.tif")
    done = here("run", path, check=12)
    assert "2 of 3 published, 1 held" in done.stdout
    assert "in1.tif@0,1" in done.stdout
    assert "geobatch retry" in done.stdout
    assert "1 held" not in here("wait", "out", check=12).stdout
    assert "partial" in here("watch", "out", "--headless", check=12).stdout

    (letter,) = json.loads(here("dead-letters", "out", "--json", check=0).stdout)
    assert (letter["item"], letter["chunk"]) == ("in1.tif", "in1.tif@0,1")
    keys = "feature error_class error_message stage attempts window bounds_lonlat reproduce"
    assert set(keys.split()) < set(letter)
    assert here("dead-letters", "out", "--class", "CrsError", check=0).stdout == ""
    here("dead-letters", "out", "--geojson", "dead.geojson", check=0)
    (feature,) = json.loads((tmp_path / "dead.geojson").read_text())["features"]
    assert feature["properties"]["chunk"] == "in1.tif@0,1"

    words = ("retry", "out", "--chunk", "in1.tif@0,1", "--set", "op.faults.raise=[]", "--json")
    result = json.loads(here(*words, check=0).stdout)
    assert result["counts"]["done"] == 1
    assert result["items"]["published"] == 3


def test_too_many_failures_end_the_run(here, job):
    """--max-failures ends the run with 15, resumable."""
    path = job(chunks=30, faults={"raise": list(range(0, 30, 2))}, milliseconds=5)
    done = here("run", path, "--max-failures", "2", "--json", check=15)
    assert json.loads(done.stdout)["counts"]["dead"] >= 2


def test_deadline(here, job):
    """--max-duration drains the run and ends it with 16; the next run goes on."""
    path = job(chunks=40, milliseconds=50)
    done = here("run", path, "--max-duration", "1s", "--json", check=16)
    before = json.loads(done.stdout)["counts"]["done"]
    assert before < 120
    rest = here("run", path, "--set", "op.milliseconds=0", "--json", check=0)
    assert json.loads(rest.stdout)["counts"]["done"] == 120 - before


def test_verify_finds_damage(here, job, tmp_path):
    """`verify` ends with 14 and names the damaged output; the next run makes it anew."""
    path = job()
    here("run", path, check=0)
    output = tmp_path / "out" / "in2.tif"
    data = output.read_bytes()
    output.write_bytes(data[:-1] + b"!")
    done = here("verify", "out", "--json", check=14)
    assert json.loads(done.stdout) == {"checked": 3, "damaged": [str(output)]}
    here("run", path, check=0)
    assert output.read_bytes() == data


def test_detach_lock_status_and_signal(geobatch, job, tmp_path):
    """--detach prints the run's directory once the run holds its lock: a second run is refused
    with 13, status says running, and SIGINT drains it to 130."""
    path = job(chunks=400, milliseconds=50)
    began = geobatch("run", path, "--detach", env=ENV, check=0)
    out = tmp_path / "out"
    assert began.stdout == f"{out}\n"
    pid = int(re.search(r"kill -INT (\d+)", began.stderr)[1])
    try:
        refused = geobatch("run", path, env=ENV, check=13)
        assert str(pid) in refused.stderr
        assert refused.stdout == ""
        state = json.loads(geobatch("status", out, "--json", env=ENV, check=0).stdout)
        assert state["state"] == "running"
    finally:
        os.kill(pid, signal.SIGINT)
    watched = geobatch("watch", out, "--every", "0.2", env=ENV, check=130)
    assert "interrupted" in watched.stdout
    state = json.loads(geobatch("wait", out, "--json", env=ENV, check=130).stdout)
    assert (state["state"], state["exit_code"]) == ("interrupted", 130)


def test_detach_tells_of_a_refusal(geobatch, job, tmp_path):
    """A detached run that is refused ends with its code, and says why."""
    path = job()
    for file in tmp_path.glob("in*.tif"):
        file.unlink()
    # By threads: no fork server loads what nobody will need.
    done = geobatch("run", path, "--detach", env=ENV | {"GEOBATCH_ENGINE__EXECUTOR": "thread"})
    assert done.returncode == 2
    assert done.stdout == ""
    assert "in*.tif" in done.stderr


@pytest.mark.parametrize("words", [["run"], ["run", "--detach"], ["plan"]])
def test_an_output_directory_that_is_a_file(words, here, job, tmp_path):
    """It is said which one it is, and what to do; nothing of it changes."""
    path = job()
    (tmp_path / "notes").write_text("mine")
    for below in ("", "/a/b"):
        done = here(words[0], path, *words[1:], "--output", f"notes{below}", check=2)
        assert f"output.dir {tmp_path}/notes{below} cannot be a directory" in done.stderr
        assert "is a file" in done.stderr
        assert "hint: choose another output.dir" in done.stderr
        assert done.stdout == ""
    assert (tmp_path / "notes").read_text() == "mine"


def test_urls_of_others_are_no_directories(here, job, tmp_path):
    """Neither to write to, nor of a run: no folder of that name is made, and nobody is asked."""
    path = job()
    for words in (["run", path], ["run", path, "--detach"], ["plan", path]):
        told = here(*words, "--output", "s3://u:hunter2@b/o", check=2).stderr
        assert "output.dir" in told
        assert "must be a local directory" in told
        assert "hunter2" not in told
    for words in (["status"], ["watch"], ["wait"], ["verify"], ["repair"], ["retry"]):
        told = here(*words, "s3://u:hunter2@b/o", check=2).stderr
        assert "password" in told
        assert "hunter2" not in told
        told = here(*words, "https://u:hunter2@b/o", check=2).stderr
        assert "@b/o is no local directory" in told
        assert "hunter2" not in told
    assert not (tmp_path / "s3:").exists()


def test_a_run_that_ended_before_its_ledger_began(here, job, tmp_path):
    """As on a full disk: nothing is damaged, and no command sends to one that cannot help."""
    path = job()
    state = tmp_path / "out" / ".geobatch"
    state.mkdir(parents=True)
    (state / "ledger.db").touch()
    for words in (
        ["status"],
        ["watch"],
        ["wait"],
        ["dead-letters"],
        ["verify"],
        ["repair"],
        ["retry"],
    ):
        told = here(*words, "out", check=17).stderr
        assert "hint: run the job" in told, words
        assert "damaged" not in told
        assert "repair DIR" not in told
    here("plan", path, check=0)
    here("run", path, check=0)
    here("verify", "out", check=0)


def on_terminal(words, cwd, env, columns=80):
    """Run a command on a terminal of 80 x 24; gives exit code and what it painted."""
    primary, secondary = pty.openpty()
    screen = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "24"}
    env = {**os.environ, **screen, **env}
    child = forked_command.begin_on_terminal(words, secondary, env=env, cwd=cwd)
    os.close(secondary)
    output, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([primary], [], [], 1.0)[0]:
            continue
        try:
            block = os.read(primary, 65536)
        except OSError:
            break
        if not block:
            break
        output += block
    os.close(primary)
    return child.wait(10), output


def test_progress_on_a_terminal(job, tmp_path):
    """On a terminal there is a bar with counts and rates, no JSON line, and the result after it;
    names cannot bring control characters along."""
    (tmp_path / "in\x1b]0;title\x07\x1b[31m.tif").write_text("x")
    path = job(chunks=10, milliseconds=100)
    code, output = on_terminal(["run", str(path), "--headless"], tmp_path, ENV)
    assert code == 0
    shown = ESCAPES.sub(b"", output).decode()
    assert "chunks/s" in shown
    assert "━" in shown
    assert "4 of 4 published" in shown
    assert '"event"' not in shown
    assert "in\\x1b]0;title" in shown
    assert b"\x1b]0;" not in output
    assert b"\x1b[31m." not in output
