"""The fork server does not outlive its engine, not even while it loads."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import geobatch_tui
from geobatch_tui.orchestration.workers import fork_server

ENGINE = """
import sys, time
from multiprocessing import forkserver
from geobatch_tui.orchestration.workers.fork_server import start_fork_server
start_fork_server()
print(forkserver._forkserver._forkserver_pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.3, 0.6])
def test_it_dies_with_an_engine_that_is_killed(pause: float, tmp_path: Path) -> None:
    """SIGKILL to the engine at any moment of the loading: no orphan, and no folder of a socket."""
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert engine.stdout is not None
    server = int(engine.stdout.readline())
    # The first of our code leaves the process group of the engine; before it there is no folder.
    until = time.monotonic() + 30
    while os.getpgid(server) != server:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(pause)
    assert alive(server)
    engine.kill()
    engine.communicate()
    deadline = time.monotonic() + 30
    while alive(server) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(server)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_is_killed_leaves_no_folder() -> None:
    """The fork server removes its socket, and the folder that was made for it."""
    # In a folder of a short name: that of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="gb-") as short:
        _kill_in(Path(short))


def _kill_in(folder: Path) -> None:
    # It answers once it has loaded.
    asked = "forkserver.read_signed(forkserver.connect_to_new_process([])[0])\nprint(flush=True)\n"
    loaded = ENGINE.replace("time.sleep(60)", f"{asked}time.sleep(60)")
    engine = subprocess.Popen(
        [sys.executable, "-c", loaded],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert engine.stdout is not None
    server = int(engine.stdout.readline())
    engine.stdout.readline()
    assert len(list(folder.glob("pymp-*/listener-*"))) == 1
    engine.kill()
    engine.communicate()
    deadline = time.monotonic() + 30
    while alive(server) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(folder.iterdir()) == []


def test_a_long_tmpdir_is_not_too_long(tmp_path: Path) -> None:
    """As on clusters: names of sockets have 107 bytes at most, so that one lies below /tmp."""
    place = tmp_path / ("x" * 100)
    place.mkdir()
    shown = "import tempfile\nfrom multiprocessing import util\n"
    shown += "print(util.get_temp_dir(), tempfile.gettempdir(), flush=True)\n"
    done = subprocess.run(
        [sys.executable, "-c", ENGINE.replace("time.sleep(60)", shown)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(place)},
        check=True,
    )
    folder, temporary = done.stdout.splitlines()[1].split()
    assert folder.startswith("/tmp/pymp-")
    assert temporary == str(place)
    assert not Path(folder).exists()


def test_nothing_is_imported_from_the_current_directory(tmp_path: Path) -> None:
    """``cd downloads; geobatch plan``: a ``signal.py`` that lies there is no part of the program,
    for the tracker, the fork server and what workers start."""
    program = tmp_path / "program" / "engine.py"
    program.parent.mkdir()
    asked = "import os\nserver = forkserver._forkserver._forkserver_pid\n"
    asked += "forkserver.read_signed(forkserver.connect_to_new_process([])[0])\n"
    asked += "print('PYTHONSAFEPATH' in os.environ)\n"
    asked += "print(open(f'/proc/{server}/environ').read().count('PYTHONSAFEPATH=1'), flush=True)\n"
    asked += "os._exit(0)\n"
    program.write_text(ENGINE.replace("time.sleep(60)", asked))
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    hit = tmp_path / "hit"
    (downloads / "signal.py").write_text(f"open({str(hit)!r}, 'a')\nraise SystemExit\n")
    done = subprocess.run(
        [sys.executable, program], stdout=subprocess.PIPE, text=True, check=True, cwd=downloads
    )
    assert not hit.exists()
    assert done.stdout.split()[1:] == ["False", "1"]


def test_each_python_that_is_started_leaves_out_the_current_directory() -> None:
    """``python -m geobatch_tui`` would run a ``geobatch_tui.py`` that lies there."""
    package = Path(geobatch_tui.__file__).parent
    texts = [path.read_text() for path in package.rglob("*.py") if path.parent.name != "testing"]
    started = re.findall(r"sys\.executable(, \"-\S+?\")?", "".join(texts))
    assert set(started) == {', "-P"'}


def test_a_spawned_process_has_a_folder_of_its_own() -> None:
    """As a Dask worker is: its fork server would remove the sockets of others with its own."""
    ours = fork_server._socket_folder()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        theirs = pool.apply(fork_server._socket_folder)
        assert pool.apply(fork_server._socket_folder) == theirs
    assert theirs != ours
    assert Path(ours).is_dir()
