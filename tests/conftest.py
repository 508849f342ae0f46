"""The operations for tests must be known before the fork server starts: it keeps its environment."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["GEOBATCH_OPS"] = "geobatch_tui.testing.ops:NOOP,geobatch_tui.testing.ops:FAULTY"

# Where bytecode is not to be written beside sources, it is kept here: else each of the hundreds of
# processes that tests start compiles all that it imports.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No example is wrong for being slow: the machine may have other things to do.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Runs of tests are nothing that the user ran.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="geobatch-state-")


def pytest_xdist_auto_num_workers() -> int:
    """Processes that run tests: tests wait a third of the time, for processes of their own."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items):
    """Files are shared out in the order of their tests. Those of chaos, few and long, come first;
    then each room's from its largest to its smallest, spread over the run: tests of the console
    wait for most of their time, and others compute meanwhile."""
    tests = Path(__file__).parent
    rooms = {}
    for path in dict.fromkeys(item.path for item in items):
        rooms.setdefault(path.relative_to(tests).parts[0], {})[path] = path.stat().st_size
    places = {}
    for room, sizes in rooms.items():
        before = 0
        for path in sorted(sizes, key=sizes.__getitem__, reverse=True):
            places[path] = 0 if room == "chaos" else before / sum(sizes.values())
            before += sizes[path]
    items.sort(key=lambda item: places[item.path])


def pytest_collection_finish(session):
    """What was collected stays, so the garbage collector passes it over: each of its looks at all
    objects would take half a second."""
    gc.freeze()


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Call ``here(*words)``: the command in this process, with threads for workers; gives its exit
    code and streams as a finished process. It takes a tenth of what a process takes."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOBATCH_ENGINE__EXECUTOR", "thread")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))

    from geobatch_tui.cli.boundary import run_command

    def call(*words, check=None):
        capsys.readouterr()
        code = run_command([str(word) for word in words])
        said = capsys.readouterr()
        if check is not None:
            assert code == check, said.err
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    yield call
    # What workers set for themselves.
    os.environ.clear()
    os.environ.update(before)
