"""The console on a real terminal: who may write there, and what happens when it goes away."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from hardships import fill_up
from pseudo_terminal import Terminal

from geobatch_tui.ledger.place.lock import RunLock, is_held
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.testing import OPS

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
ENV = {"GEOBATCH_OPS": OPS, "GEOBATCH_ENGINE__EXECUTOR": "thread"}


@pytest.fixture
def job(tmp_path):
    """A job of 400 chunks of 30 ms; ``job(chunks, milliseconds)`` changes that."""

    def write(chunks=400, milliseconds=30):
        (tmp_path / "in.tif").write_text("x")
        (tmp_path / "job.toml").write_text(
            '[job]\nname = "quiet"\n[source]\ninputs = ["in.tif"]\n[op]\nname = "test.noop"\n'
            f"chunks = {chunks}\nmilliseconds = {milliseconds}\n"
            '[output]\ndir = "out"\n[engine]\nmax_workers = 2\n'
        )

    return write


@pytest.fixture
def terminal(tmp_path):
    """``terminal(*words)``: ``python WORDS`` on a terminal."""
    opened = []

    def start(*words, **options):
        opened.append(Terminal([str(word) for word in words], tmp_path, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def run(path):
    """The newest run, and how many chunks are done."""
    with LedgerReader(StateDir.open(path / "out").ledger) as reader:
        return reader.run(), reader.counts()["done"]


def test_native_noise_does_not_reach_the_screen(terminal, script, tmp_path):
    """What C code writes to fd 1 and 2 lands in a file; the picture has the terminal's size, and
    the screen from before comes back."""
    script.plan(1, 1, 10)
    noisy = Path(__file__).parents[1] / "noisy_console.py"
    shown = terminal(noisy, script.state.output_dir, columns=100, rows=30)
    shown.wait_for(b"Workers")
    shown.read(1.5)
    assert "Quit" in shown.lines()[-1]  # the last one of thirty
    shown.type(b"q")
    assert shown.ended() == 0
    assert ENTER in shown.output
    assert LEAVE in shown.output
    assert b"NOISE" not in shown.output.rpartition(LEAVE)[0]
    assert (script.state.root / "console.err").read_bytes().count(b"NOISE") > 20
    assert "─" * 30 in shown.output.decode(errors="replace")


def test_a_run_in_the_console_gives_its_result(terminal, job, tmp_path):
    """The console stays when the run has ended; on leaving it the result is on the terminal, and
    the exit code is the run's."""
    job(chunks=4, milliseconds=1)
    shown = terminal("-m", "geobatch_tui", "run", "job.toml", **ENV)
    shown.wait_for(b"SUCCESS")
    shown.type(b"q")
    assert shown.ended() == 0
    assert b"success" in shown.output.rpartition(LEAVE)[2]
    assert run(tmp_path)[0].state == "success"


def ends_with(path, state, seconds=45):
    """Wait until the newest run has ended so, without its lock."""
    until = time.monotonic() + seconds
    while run(path)[0].state != state or is_held(StateDir.open(path / "out").lock):
        assert time.monotonic() < until, run(path)
        time.sleep(0.1)


def test_a_run_goes_on_in_the_background(terminal, job, tmp_path):
    """Leaving gives the prompt back at once, and the same process goes on without a terminal:
    nothing is drained, done twice or started anew."""
    job(chunks=250, milliseconds=30)
    shown = terminal("-m", "geobatch_tui", "run", "job.toml", "--fresh", **ENV)
    shown.wait_for(b"RUNNING")
    while not run(tmp_path)[1]:
        shown.read(0.05)
    shown.type(b"q")
    shown.wait_for(b"What becomes of the run?")
    shown.type(b"\r")
    assert shown.ended() == 0
    assert run(tmp_path)[0].t1 is None
    said = shown.output.rpartition(LEAVE)[2]
    assert b"the run goes on" in said
    pid = int(said.partition(b"kill -INT ")[2].split()[0])
    assert pid not in {shown.pid, os.getpid()}
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path(os.devnull)
    shown.hang_up()
    ends_with(tmp_path, "success")
    with LedgerReader(StateDir.open(tmp_path / "out").ledger) as reader:
        assert [(row.state, row.n_done) for row in reader.runs()] == [("success", 250)]


def test_a_run_without_a_terminal_is_stopped_by_a_signal(terminal, job, tmp_path):
    """By the one that is told on leaving: it drains, and can be resumed."""
    job(chunks=4000, milliseconds=30)
    shown = terminal("-m", "geobatch_tui", "run", "job.toml", **ENV)
    shown.wait_for(b"RUNNING")
    shown.type(b"q")
    shown.wait_for(b"What becomes of the run?")
    shown.type(b"\r")
    assert shown.ended() == 0
    os.kill(int(shown.output.rpartition(b"kill -INT ")[2].split()[0]), signal.SIGINT)
    ends_with(tmp_path, "interrupted")


def test_a_lost_terminal_loses_no_run(terminal, job, tmp_path):
    """HUP: the run goes on to its end, and nothing spins."""
    job(chunks=150, milliseconds=30)
    shown = terminal("-m", "geobatch_tui", "run", "job.toml", **ENV)
    shown.wait_for(b"RUNNING")
    while not run(tmp_path)[1]:
        shown.read(0.05)
    shown.hang_up()
    assert shown.ended(30) == 0
    ends_with(tmp_path, "success")


def test_a_terminal_that_does_not_read_holds_nothing_up(terminal, job, tmp_path):
    """The engine has a loop of its own: it goes on while nobody reads the terminal."""
    job(chunks=4000, milliseconds=20)
    shown = terminal("-m", "geobatch_tui", "run", "job.toml", columns=200, rows=60, **ENV)
    shown.wait_for(b"RUNNING")
    shown.read(0.5)
    # From here on nobody reads, and the console's writer blocks.
    fill_up(shown)
    before, until = run(tmp_path)[1], time.monotonic() + 20
    while run(tmp_path)[1] <= before + 50:
        assert time.monotonic() < until, "the run stands still"
        time.sleep(0.05)
    os.kill(shown.pid, signal.SIGTERM)
    assert shown.ended(40) == 130
    assert run(tmp_path)[0].state == "interrupted"


def test_a_killed_console_leaves_an_attached_run_alone(terminal, script):
    """SIGKILL to a console that only watches: the run keeps its lock and its ledger."""
    script.plan(1, 1, 10)
    shown = terminal("-m", "geobatch_tui", "watch", script.state.output_dir)
    shown.wait_for(b"Workers")
    os.kill(shown.pid, signal.SIGKILL)
    assert shown.ended() == -signal.SIGKILL
    script.done(1)
    with LedgerReader(script.state.ledger) as reader:
        assert reader.counts()["done"] == 1


EDITOR = r"""#!/bin/sh
cp "$1" got.txt
trap 'echo CAUGHT; exit' INT
echo EDITING
while :; do sleep 0.1; done
"""


def test_an_editor_takes_the_terminal_and_gives_it_back(terminal, script, tmp_path):
    """The entry under the cursor is in its file; it writes to the terminal, and an interrupt there
    is its own; then the console goes on."""
    script.plan(1, 1, 10)
    entry = {"time": "2026-11-24T12:04:30Z", "message": "odd", "traceback": "a\nb\x1b[2J"}
    script.state.log.write_text(
        json.dumps(entry | {"level": "error"}, separators=(",", ":")) + "\n"
    )
    editor = tmp_path / "editor.sh"
    editor.write_text(EDITOR)
    editor.chmod(0o755)
    env = {"EDITOR": str(editor), "VISUAL": ""}
    shown = terminal("-m", "geobatch_tui", "watch", script.state.output_dir, **env)
    shown.wait_for(b"Workers")
    shown.type(b"4")
    shown.wait_for(b"1 line")  # the entry itself is on the screen of the run, too
    shown.type(b"e")
    shown.wait_for(b"EDITING")
    shown.type(b"\x03")
    shown.wait_for(b"CAUGHT")
    after = shown.output.index(b"CAUGHT")
    shown.type(b"2")
    until = time.monotonic() + 20
    while b"Cursor" not in shown.output[after:]:
        assert time.monotonic() < until
        shown.read(0.1)
    shown.type(b"q")
    assert shown.ended() == 0
    text = (tmp_path / "got.txt").read_text()
    assert "message       odd\n" in text
    assert "\n  a\n  b\\x1b[2J\n" in text


def test_a_run_that_cannot_begin_says_so_without_a_console(terminal, job, tmp_path):
    """Where another run holds the directory, that is a line on the terminal and exit code 13."""
    job()
    state = StateDir.open(tmp_path / "out", create=True)
    with RunLock.acquire(state.lock):
        shown = terminal("-m", "geobatch_tui", "run", "job.toml", **ENV)
        assert shown.ended() == 13
    assert b"geobatch: error:" in shown.output
    assert ENTER not in shown.output


def test_a_console_that_fails_ends_no_run(terminal, job, tmp_path):
    """A bug in a handler: the terminal is as it was, the run goes on to its end, and its code is
    the command's. The traceback has no values of variables, and what failed no credentials."""
    job(chunks=150, milliseconds=30)
    failing = Path(__file__).parents[1] / "failing_console.py"
    shown = terminal(failing, "run", "job.toml", **ENV)
    shown.wait_for(b"RUNNING")
    shown.type(b"u")
    assert shown.ended() == 0
    said = shown.output.rpartition(LEAVE)[2]
    assert b"the console failed: KeyError: 'a bug in a handler of https://***@host/a.tif'" in said
    assert b"success" in said
    assert run(tmp_path)[0].state == "success"
    text = (tmp_path / "out/.geobatch/console.err").read_text()
    assert "in fail" in text
    assert "hunter" not in text
