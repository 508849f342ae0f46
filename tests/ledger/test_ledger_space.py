"""A full disk: the ledger still records how it ended, and nothing is torn."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from geobatch_tui.errors import DiskFullError
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import ItemPlanned, Noted, RunEnded
from geobatch_tui.ledger.write.committer import Committer
from geobatch_tui.ledger.write.writer import Ledger

MIB = 1 << 20


@pytest.fixture
def small(tmp_path):
    """A filesystem of 12 MiB."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("mount and umount are not installed")
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("a tmpfs can't be mounted here")
    yield place
    subprocess.run([umount, "-l", str(place)], check=True)


def fill(directory, leave=0):
    """Fill the filesystem but for ``leave`` bytes; returns the file that does."""
    path = directory / "filler"
    with path.open("wb") as file:
        try:
            while shutil.disk_usage(directory).free > leave:
                file.write(b"\1" * min(65_536, shutil.disk_usage(directory).free - leave))
                file.flush()
        except OSError:
            pass
    return path


def test_the_reserve_records_the_end(small, item):
    """Disk full, reserve spent: the end of the run is durable. Then errors, but no damage; with
    space again, everything that was kept is written."""
    state = StateDir.open(small / "out", create=True)
    ledger = Ledger.open(state.ledger, state.output_dir)
    ledger.begin_run("r", {}, {})
    assert ledger.reserve.path.exists()
    errors = []
    committer = Committer(ledger, lambda batch: None, lambda error, batch: errors.append(error))
    committer.put(ItemPlanned(item(1, 1, 100)))
    committer.flush().result(20)
    filler = fill(small)
    # Larger than what the write-ahead log has room for in the pages that it holds already.
    committer.put(Noted("big", {"text": "x" * MIB}))
    committer.put(RunEnded("failed", 17, "disk full"))
    committer.flush().result(20)
    assert errors == []
    assert not ledger.reserve.path.exists()
    with LedgerReader(state.ledger) as reader:
        run = reader.run()
        assert run is not None
        assert (run.state, run.exit_code) == ("failed", 17)
    for _ in range(6):
        committer.put(Noted("more", {"text": "y" * MIB}))
    with pytest.raises(DiskFullError) as caught:
        committer.flush().result(20)
    assert "space" in caught.value.hint
    filler.unlink()
    committer.flush().result(20)
    committer.close()
    with LedgerReader(state.ledger) as reader:
        assert reader.audit() == []
        assert len([event for event in reader.events() if event.kind == "more"]) == 6
    ledger.close()


def test_the_log_makes_room_for_itself(state, ledger, item, done):
    """Folding the write-ahead log in frees its space, once, and loses nothing."""
    ledger.reserve.release()
    ledger.apply([ItemPlanned(item(1, 1, 50))])
    for chunk in range(1, 51):
        ledger.apply([done(chunk, 1)])
    log = state.root / "ledger.db-wal"
    assert log.stat().st_size > 0
    assert ledger.make_room()
    assert log.stat().st_size == 0
    assert not ledger.make_room()
    with LedgerReader(state.ledger) as reader:
        assert reader.counts()["done"] == 50


def test_a_new_ledger_on_a_full_disk(small):
    """No space for a ledger is said so, and leaves nothing that looks like one."""
    state = StateDir.open(small / "out", create=True)
    filler = fill(small, leave=20_000)
    with pytest.raises(DiskFullError):
        Ledger.open(state.ledger)
    filler.unlink()
    with Ledger.open(state.ledger) as ledger:
        assert ledger.begin_run("r", {}, {}) == 1


LIMITED = """
import resource, signal, sys
from pathlib import Path
from geobatch_tui.errors import DiskFullError
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.ledger.schema.updates import Noted
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
state = StateDir.open(Path(sys.argv[1]), create=True)
n = 0
try:
    ledger = Ledger.open(state.ledger)
    ledger.begin_run("r", {}, {})
    for n in range(1, 400):
        ledger.apply([Noted("n", {"n": n, "text": "x" * 4000})])
except DiskFullError as error:
    print(n - 1)
"""


@pytest.mark.parametrize("limit", [10_000, 60_000, 200_000, 700_000])
def test_a_file_size_limit_damages_nothing(tmp_path, limit):
    """Whatever file hits the limit, all that was committed before is there, and no more."""
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path / "out"), str(limit)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    count = ended.stdout
    state = StateDir.open(Path(tmp_path / "out"))
    with Ledger.open(state.ledger) as ledger, LedgerReader(state.ledger) as reader:
        ledger.recover()
        ledger.begin_run("again", {}, {})
        assert reader.audit() == []
        kept = [event.data["n"] for event in reader.events(0, 1000) if event.kind == "n"]
        assert kept == list(range(1, max(int(count), 0) + 1))
