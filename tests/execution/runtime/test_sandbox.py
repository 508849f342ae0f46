"""Workers write where their job does, and nowhere else; they use no TCP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from geobatch_tui.execution.runtime import sandbox

pytestmark = pytest.mark.disk

needs_landlock = pytest.mark.skipif(not sandbox.landlock(), reason="this kernel has no Landlock")

SCRIPT = """
import json, os, pathlib, socket, subprocess, sys, tempfile
from geobatch_tui.execution.runtime.sandbox import Sandbox
here = pathlib.Path(sys.argv[1])
Sandbox((str(here / "out"), str(here / "temporary")), str(here / "temporary")).apply()
said = {}
def attempt(name, what):
    try:
        what()
        said[name] = "done"
    except OSError as error:
        said[name] = type(error).__name__
attempt("write in", lambda: (here / "out" / "a").write_text("a"))
attempt("folder in", lambda: (here / "out" / "b" / "c").mkdir(parents=True))
attempt("move in", lambda: (here / "out" / "a").rename(here / "out" / "b" / "c" / "a"))
attempt("temporary", lambda: tempfile.NamedTemporaryFile().close())
attempt("devices", lambda: pathlib.Path("/dev/null").write_text("a"))
attempt("read out", lambda: (here / "mine").read_text())
attempt("append out", lambda: (here / "mine").open("a"))
attempt("cut out", lambda: os.truncate(here / "mine", 0))
attempt("new out", lambda: (here / "new").write_text("a"))
attempt("remove out", lambda: (here / "mine").unlink())
attempt("move out", lambda: (here / "out" / "b" / "c" / "a").rename(here / "stolen"))
attempt("through a link", lambda: (here / "out" / "link").write_text("a"))
attempt("connect", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2]))).close())
attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)).close())
attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\\0" + sys.argv[3]))
attempt("signal out", lambda: os.kill(os.getppid(), 0))
attempt("signal itself", lambda: os.kill(os.getpid(), 0))
with subprocess.Popen(["sleep", "60"]) as started:
    attempt("signal in", started.kill)
child = f"open({str(here / 'mine')!r}, 'a')"
said["child"] = subprocess.run([sys.executable, "-c", child], stderr=subprocess.DEVNULL).returncode
print(json.dumps(said))
"""


@needs_landlock
def test_what_is_left_to_a_worker(tmp_path):
    """Its own folders; nothing elsewhere, by no name, nor in what it starts."""
    for name in ("out", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "mine")
    name = f"geobatch-{tmp_path}"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        words = [sys.executable, "-c", SCRIPT, str(tmp_path), str(server.getsockname()[1]), name]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    version = sandbox.landlock()
    allowed = {
        "write in",
        "folder in",
        "temporary",
        "devices",
        "read out",
        "signal itself",
        "signal in",
    }
    allowed |= {"move in"} if version >= 2 else set()
    refused = {"append out", "new out", "remove out", "through a link"}
    refused |= {"cut out"} if version >= 3 else set()
    refused |= {"connect", "listen"} if version >= 4 else set()
    refused |= {"abstract", "signal out"} if version >= 6 else set()
    assert {name for name, what in said.items() if what == "done"} >= allowed
    assert {name for name, what in said.items() if what == "PermissionError"} >= refused
    assert said["move out"] != "done"
    assert said["child"] == 1
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize(
    ("wanted", "executor", "said"),
    [(False, "process", "off"), (True, "thread", "threads"), (True, "process", "no Landlock")],
)
def test_why_nothing_confines_workers(wanted, executor, said, monkeypatch):
    monkeypatch.setattr(sandbox, "landlock", lambda: 0)
    assert said in sandbox.state(wanted=wanted, executor=executor)


def test_without_landlock_nothing_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "landlock", lambda: 0)
    sandbox.Sandbox((), str(tmp_path)).apply()
    (tmp_path / "a").write_text("a")
