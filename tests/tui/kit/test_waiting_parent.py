"""The process that waits for a console: it ends when it is told to, or as the console does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """\
import os, signal, sys, time
from geobatch_tui.tui.kit import waiting_parent
place, *words = sys.argv[1:]
words = waiting_parent.fork_console(words)
assert waiting_parent.is_there() and not waiting_parent.was_killed()
if words[0] == "leave":
    def resumed(*_):
        raise RuntimeError("a console that was closed")

    signal.signal(signal.SIGCONT, resumed)
    waiting_parent.let_go(words[1:])
    assert not waiting_parent.is_there() and os.getsid(0) == os.getpid()
    os.kill(os.getpid(), signal.SIGCONT)
    os.kill(os.getpid(), signal.SIGHUP)
    while not os.path.exists(place + "/go"):
        time.sleep(0.01)
    open(place + "/done", "w").close()
elif words[0] == "exit":
    sys.exit(int(words[1]))
elif words[0] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
elif words[0] == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(6))
    open(place + "/ready", "w").close()
    while not waiting_parent.was_killed():
        time.sleep(0.01)
    open(place + "/done", "w").close()
"""


@pytest.fixture
def start(tmp_path):
    """``start(*words)``: a command that forks, and does as its words say."""

    def begin(*words):
        return subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path, *words])

    return begin


def appears(path):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("words", "code"), [(["exit", "0"], 0), (["exit", "12"], 12), (["die"], -signal.SIGKILL)]
)
def test_it_ends_as_the_console_does(start, words, code):
    """Its exit code, or its signal, is the command's."""
    assert start(*words).wait(20) == code


def test_the_shell_goes_on_while_the_run_does(start, tmp_path):
    """What is left goes on in a session of its own, whatever the end of the old one sends."""
    assert start("leave").wait(20) == 0
    assert not (tmp_path / "done").exists()
    (tmp_path / "go").touch()
    appears(tmp_path / "done")


def test_another_command_takes_its_place(start, tmp_path):
    """On the same terminal, with its own exit code, while the first one goes on."""
    assert start("leave", "exit", "7").wait(20) == 7
    assert not (tmp_path / "done").exists()
    (tmp_path / "go").touch()
    appears(tmp_path / "done")


def test_signals_are_for_the_console(start, tmp_path):
    """Those that somebody sends to the process that the shell knows."""
    for number, code in ((signal.SIGTERM, 5), (signal.SIGHUP, 6)):
        keeper = start("wait")
        appears(tmp_path / "ready")
        keeper.send_signal(number)
        assert keeper.wait(20) == code
        (tmp_path / "ready").unlink()


def test_a_console_knows_that_nobody_waits_any_more(start, tmp_path):
    """The process that the shell knows was killed."""
    keeper = start("wait")
    appears(tmp_path / "ready")
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.wait(20)
    appears(tmp_path / "done")
