"""One run per output directory, and no stale lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from geobatch_tui.errors import ExitCode, LockHeldError, StateError
from geobatch_tui.ledger.place.lock import RunLock, is_held, read_holder

HOLD = """
import sys, time
from pathlib import Path
from geobatch_tui.ledger.place.lock import RunLock
RunLock.acquire(Path(sys.argv[1]), run_id="other-run", epoch=3)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / ".geobatch").mkdir()
    return tmp_path / ".geobatch" / "lock"


@pytest.fixture
def other(path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_process_is_told_who_holds_it(path, other):
    """The refusal names process, host, time and run, and ends with exit code 13."""
    with pytest.raises(LockHeldError) as caught:
        RunLock.acquire(path, run_id="mine")
    message = str(caught.value)
    for word in (str(other.pid), os.uname().nodename, "other-run", "since 20"):
        assert word in message
    assert caught.value.exit_code == ExitCode.LOCKED
    assert is_held(path)
    holder = read_holder(path)
    assert holder is not None
    assert (holder.pid, holder.run_id, holder.epoch) == (other.pid, "other-run", 3)
    assert holder.start_ticks > 0
    assert holder.boot_id


def test_a_kill_frees_the_lock(path, other):
    """SIGKILL leaves no stale lock, and the next holder takes over the same file."""
    inode = path.stat().st_ino
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert not is_held(path)
    with RunLock.acquire(path, run_id="mine"):
        assert path.stat().st_ino == inode
        holder = read_holder(path)
        assert holder is not None
        assert holder.run_id == "mine"
    assert not is_held(path)
    assert path.exists()


def test_body_is_not_touched_before_the_lock_is_held(path, other):
    """A process that is refused does not wipe the holder's name."""
    before = path.read_bytes()
    with pytest.raises(LockHeldError):
        RunLock.acquire(path)
    assert path.read_bytes() == before


def test_update_replaces_the_body(path):
    """A shorter body leaves nothing of a longer one."""
    with RunLock.acquire(path, run_id="x" * 500) as lock:
        lock.update(run_id="y", epoch=9, socket="/run/s")
        holder = read_holder(path)
    assert holder is not None
    assert (holder.run_id, holder.epoch, holder.socket) == ("y", 9, "/run/s")
    assert holder.pid == os.getpid()


def test_a_look_does_not_refuse_a_run(path, monkeypatch):
    """The shared lock of ``is_held`` lasts an instant; a run that starts then waits for it."""
    import fcntl

    path.touch()
    looks = [os.open(path, os.O_RDONLY)]
    fcntl.flock(looks[0], fcntl.LOCK_SH)
    monkeypatch.setattr(
        "geobatch_tui.ledger.place.lock.time.sleep", lambda _: os.close(looks.pop())
    )
    RunLock.acquire(path).release()
    assert not looks


def test_a_replaced_file_is_not_the_lock(path, monkeypatch):
    """If the file was replaced before it was locked, the new file is locked instead."""
    import fcntl

    flock = fcntl.flock
    swapped = []

    def swap(fd, operation):
        if not swapped:
            swapped.append(True)
            path.rename(path.with_name("old"))
            path.touch()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", swap)
    with RunLock.acquire(path, run_id="r"):
        assert path.read_bytes()
        assert path.with_name("old").read_bytes() == b""


def test_a_link_is_not_followed(path, tmp_path):
    """A symbolic link as lock file is refused, and its target is not truncated."""
    target = tmp_path / "precious"
    target.write_text("text")
    path.symlink_to(target)
    with pytest.raises(StateError, match="symbolic link"):
        RunLock.acquire(path)
    assert target.read_text() == "text"
    assert read_holder(path) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"pid": 1, "new": 2}', b"\xff\xfe"])
def test_any_body_can_be_read(path, body):
    """The body may be empty, torn or newer: it informs, and decides nothing."""
    path.write_bytes(body)
    holder = read_holder(path)
    assert holder is None or holder.pid == 1
    RunLock.acquire(path).release()


def test_no_file_is_not_held(path):
    """Without its file a lock is not held, and looking makes none."""
    assert not is_held(path)
    assert read_holder(path) is None
    assert not path.exists()


def test_the_descriptor_is_not_inherited(path):
    """A child keeps no copy of the lock: it would outlive its holder."""
    with RunLock.acquire(path) as lock:
        assert not os.get_inheritable(lock._fd)
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        assert not is_held(path)
    finally:
        child.kill()
        child.wait()
