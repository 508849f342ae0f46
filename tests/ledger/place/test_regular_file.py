"""Files of a state directory may be anything: nothing waits for them, or reads without an end."""

from __future__ import annotations

import os
import sqlite3

import pytest

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.place.lock import RunLock, is_held, read_holder
from geobatch_tui.ledger.place.regular_file import open_fd, read, read_json
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.schema.database import open_reader, open_writer, refuse_to_remove
from geobatch_tui.ledger.write.writer import Ledger


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
def test_only_regular_files_are_opened(tmp_path, pipe, flags):
    """A pipe, a link, a directory or a device is refused."""
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").touch()
    for path in (pipe, tmp_path / "link", tmp_path, "/dev/zero"):
        with pytest.raises(OSError, match=r"."):
            open_fd(path, flags)
    os.close(open_fd(tmp_path / "file", flags))


def test_what_is_too_large_or_too_deep_is_refused(tmp_path):
    """Reading it ends before memory or the stack does."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 11)
    assert read(path, 11) == b"x" * 11
    with pytest.raises(OSError, match="larger than 10"):
        read(path, 10)
    path.write_text("[" * 200_000)
    with pytest.raises(ValueError, match="deep"):
        read_json(path)
    path.write_text('{"a": "\udcff"}', errors="surrogateescape")
    with pytest.raises(ValueError, match=r"."):
        read_json(path)


def test_pipes_hold_nobody_up(tmp_path, pipe):
    """A pipe in place of the lock, or of the pointer to a ledger, blocks nobody."""
    with pytest.raises(StateError, match="not a regular file"):
        is_held(pipe)
    assert read_holder(pipe) is None
    with pytest.raises(StateError, match="not a regular file"):
        RunLock.acquire(pipe)
    state = StateDir.open(tmp_path / "out", create=True)
    os.mkfifo(state.root / "ledger.pointer")
    with pytest.raises(StateError, match="not a regular file"):
        StateDir.open(tmp_path / "out")


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_sqlite_is_given_regular_files_only(tmp_path, suffix, kind):
    """SQLite would wait for a pipe as its journal, and write through a link."""
    path = tmp_path / "ledger.db"
    Ledger.open(path, tmp_path).close()
    odd = tmp_path / f"ledger.db{suffix}"
    other = tmp_path / "other"
    odd.rename(other) if odd.exists() else other.touch()
    odd.symlink_to(other) if kind == "link" else os.mkfifo(odd)
    before = other.read_bytes()
    with pytest.raises(StateError, match="not a regular file"):
        open_writer(path)
    if suffix or kind == "link":
        with pytest.raises(StateError, match="not a regular file"):
            open_reader(path)
    assert other.read_bytes() == before


def test_only_ledgers_are_removed(tmp_path):
    """A database of another program is kept; so is any other file outside of a state directory."""
    path = tmp_path / "ledger.db"
    refuse_to_remove(path, tmp_path)
    sqlite3.connect(path).execute("CREATE TABLE precious (x)").connection.close()
    with pytest.raises(StateError, match="not a ledger"):
        refuse_to_remove(path, tmp_path)
    path.unlink()
    Ledger.open(path, tmp_path).close()
    refuse_to_remove(path, tmp_path / "elsewhere")
    path.write_bytes(b"")
    refuse_to_remove(path, tmp_path)
    with pytest.raises(StateError, match="not a ledger"):
        refuse_to_remove(path, tmp_path / "elsewhere")
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(StateError, match="cannot read"):
        refuse_to_remove(path, tmp_path)
