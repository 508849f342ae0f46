"""The operations for tests must be known before the fork server starts: it keeps its environment."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from bisect import bisect
from contextlib import suppress
from itertools import accumulate, count
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

# No example is wrong for being slow: the machine may have other things to do. Each run tries other
# examples, and again those that failed before.
EXAMPLES = int(os.environ.get("GEOBATCH_TEST_EXAMPLES", "40"))
settings.register_profile(
    "patient",
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")

# Runs of tests are nothing that the user ran.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="geobatch-state-")

TESTS = Path(__file__).parent
#: Seconds after which a test fails that is not marked "slow".
PATIENCE = 300
#: Folders of tests lie in memory, if there is room: a sync of a disk takes milliseconds, and a run
#: of three chunks asks for dozens.
MEMORY = Path("/dev/shm")
ROOM = 4 << 30
#: Rooms whose folders lie on the disk, as outputs do; so do those of tests that are marked "disk".
ON_DISK = {"chaos", "cli"}
#: Files of a few long tests, which come early: one that began at the end would run alone.
LONG = {"test_console_hardships.py", "test_evil_corpus.py", "test_key_storm.py"}
NUMBERS = count(1)


def pytest_xdist_auto_num_workers() -> int:
    """Processes that run tests: tests wait a third of the time, for processes of their own."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def _plans_of_its_own():
    """What a test changes of planning is not in the plans that the next one shares."""
    yield
    probe = sys.modules.get("geobatch_tui.execution.raster.chain_probe")
    if probe is not None:
        probe._shared.clear()


def pytest_configure(config):
    # The many kills of slow tests are to hit syncs of a disk, too.
    fast = config.option.markexpr == "not slow"
    if fast and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if hasattr(config, "workerinput") and [Path(arg).absolute() for arg in config.args] == [TESTS]:
        config.args[:] = map(str, files_from(**config.workerinput))


def files_from(workerid, workercount, **_):
    """Files of tests in the order in which a process imports them. Each imports all, and begins
    with others: where no bytecode is kept yet, what one has compiled the others only read, and they
    do not all compile the same file at the same time."""
    files = sorted(TESTS.rglob("test_*.py"))
    ends = list(accumulate(path.stat().st_size for path in files))
    first = bisect(ends, ends[-1] * int(workerid.removeprefix("gw")) // workercount)
    return files[first:] + files[:first]


def pytest_collection_modifyitems(items):
    """Files are shared out in the order of their tests: each room's from its largest to its smallest,
    spread over the run, for tests of the console wait for most of their time, and others compute
    meanwhile. Those of chaos and others that are few and long come in its second quarter: long before
    the end, but when most loops are compiled. Workers that compile load the compiler each, and lose
    what they have done when they are killed; a process of tests loads it once, and compiles what
    loops share once."""
    rooms = {}
    for path in dict.fromkeys(item.path for item in items):
        rooms.setdefault(path.relative_to(TESTS).parts[0], {})[path] = path.stat().st_size
    places = {}
    for room, sizes in rooms.items():
        before = 0
        for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
            place = before / sum(sizes.values())
            early = room == "chaos" or path.name in LONG
            places[path] = 0.25 + place / 4 if early else place
            before += sizes[path]
    items.sort(key=lambda item: (places[item.path], item.path))
    for item in items:
        if item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session):
    """What is imported and collected stays, so the garbage collector does not look at it, neither
    meanwhile nor later: each of its looks at all objects would take half a second. It looks for the
    garbage of tests when there are some more objects than it waits for by itself."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()
    return collected


def pytest_unconfigure(config):
    """Close the raster that this thread still has open: while Python is taken down, GDAL's way back
    into it fails with "Error in sys.excepthook", and says nothing else."""
    opened_source = sys.modules.get("geobatch_tui.execution.raster.source.opened_source")
    if opened_source is not None:
        opened_source.release()


@pytest.fixture(scope="session")
def disk():
    """A folder on the disk for tests of this process; it goes if all of them passed."""
    place = Path(tempfile.mkdtemp(prefix="geobatch-tests-"))
    yield place
    with suppress(OSError):
        place.rmdir()


@pytest.fixture
def tmp_path(request, tmp_path_factory):
    """A folder of the test: in memory, where workers may write anywhere, or on the disk. If the
    test passes it goes; no other gets its name, by which GDAL and workers know what they opened."""
    room = request.path.relative_to(TESTS).parts[0]
    disk = room in ON_DISK or request.node.get_closest_marker("disk") is not None
    base = request.getfixturevalue("disk") if disk else tmp_path_factory.getbasetemp()
    place = base / f"{request.node.originalname[:30]}-{next(NUMBERS)}"
    place.mkdir(0o700)
    failed = request.session.testsfailed
    yield place
    if request.session.testsfailed == failed:
        shutil.rmtree(place, ignore_errors=True)


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
