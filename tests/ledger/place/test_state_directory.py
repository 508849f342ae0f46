"""Where state lives, and that it is written whole."""

from __future__ import annotations

import errno
import json
import os
import stat

import pytest

from geobatch_tui.errors import DiskFullError, OutputGoneError, StateError
from geobatch_tui.ledger.place.durable import Reserve, output_error, write_json_atomic
from geobatch_tui.ledger.place.filesystem import holds_wal, type_of
from geobatch_tui.ledger.place.state_directory import StateDir

MOUNTS = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:40 / /mnt/share rw - nfs4 host:/x rw
31 22 0:41 / /mnt/my\\040disk rw shared:1 - fuse.sshfs x rw
32 22 0:42 / /mnt/share/local rw - xfs /dev/b rw
33 22 0:43 / /mnt/usb rw - fuseblk /dev/c rw
34 22 0:44 / /mnt/twice rw - ext4 /dev/d rw
35 22 0:45 / /mnt/twice rw - cifs //h/s rw
"""


def test_state_is_private(tmp_path):
    """Nobody but the user reads the state, whatever the umask."""
    old = os.umask(0)
    try:
        state = StateDir.open(tmp_path / "a" / "out", create=True)
        write_json_atomic(state.plan, {"x": 1})
    finally:
        os.umask(old)
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.plan.stat().st_mode) == 0o600


def test_names_are_the_documented_ones(tmp_path):
    """Every name of the state directory is part of the contract."""
    state = StateDir.open(tmp_path / "out", create=True)
    root = tmp_path / "out" / ".geobatch"
    assert (state.output_dir, state.root) == (tmp_path / "out", root)
    found = (state.lock, state.ledger, state.log, state.plan, state.summary, state.dead)
    names = ("lock", "ledger.db", "log.jsonl", "plan.json", "summary.json", "dead")
    assert found == tuple(root / name for name in names)
    assert state.work(7) == root / "work" / "7"


def test_no_run_no_directory(tmp_path):
    """Looking at a directory without a run makes nothing in it."""
    with pytest.raises(StateError, match="holds no run"):
        StateDir.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("create", [True, False])
def test_a_linked_state_directory_is_refused(tmp_path, create):
    """A symbolic link in place of the state directory is never followed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".geobatch").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="symbolic link"):
        StateDir.open(tmp_path / "out", create=create)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_in_its_place_is_refused(tmp_path):
    """A file named like the state directory is left alone."""
    (tmp_path / ".geobatch").write_text("mine")
    with pytest.raises(StateError, match="not a directory"):
        StateDir.open(tmp_path, create=True)
    assert (tmp_path / ".geobatch").read_text() == "mine"


def test_an_output_that_cannot_be_made(tmp_path):
    """An output directory below a file is a lost output, not a crash."""
    (tmp_path / "file").write_text("")
    with pytest.raises((OutputGoneError, StateError), match="cannot write"):
        StateDir.open(tmp_path / "file" / "out", create=True)


@pytest.mark.parametrize(
    ("path", "kind", "safe"),
    [
        ("/home/u", "ext4", True),
        ("/mnt/share/out", "nfs4", False),
        ("/mnt/shared", "ext4", True),
        ("/mnt/my disk/out", "fuse.sshfs", False),
        ("/mnt/share/local/out", "xfs", True),
        ("/mnt/usb", "fuseblk", True),
        ("/mnt/twice/x", "cifs", False),
    ],
)
def test_the_longest_mount_decides(path, kind, safe):
    """The filesystem is that of the innermost, latest mount; network and FUSE ones are unfit."""
    from pathlib import Path

    assert type_of(Path(path), MOUNTS) == kind
    assert holds_wal(kind) is safe


@pytest.fixture
def state_home(monkeypatch, tmp_path):
    """Where the user's state is kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))


def test_the_ledger_lies_beside_the_outputs(tmp_path):
    """Any machine that sees the outputs can resume their run."""
    state = StateDir.open(tmp_path / "out", create=True)
    assert state.ledger == tmp_path / "out" / ".geobatch" / "ledger.db"


def test_a_ledger_of_this_machine_is_pointed_at(tmp_path, state_home):
    """On request the ledger lies in the user's state directory, and a pointer leads to it."""
    state = StateDir.open(tmp_path / "out", create=True, local=True)
    assert state.ledger.is_relative_to(tmp_path / "xdg" / "geobatch")
    assert stat.S_IMODE(state.ledger.parent.stat().st_mode) == 0o700
    assert StateDir.open(tmp_path / "out") == state
    assert StateDir.open(tmp_path / "out", create=True) == state


def test_a_ledger_that_is_there_stays(tmp_path, state_home):
    """A new ledger at another place would know nothing of the run."""
    here = StateDir.open(tmp_path / "out", create=True).ledger
    here.write_bytes(b"x")
    assert StateDir.open(tmp_path / "out", create=True, local=True).ledger == here


def test_two_outputs_have_two_ledgers(tmp_path, state_home):
    """A ledger elsewhere is named by its output directory."""
    first = StateDir.open(tmp_path / "out" / "a", create=True, local=True)
    second = StateDir.open(tmp_path / "out" / "b", create=True, local=True)
    assert first.ledger != second.ledger


def test_a_pointer_to_another_host_is_explained(tmp_path, state_home):
    """A ledger on a machine that is not this one is named, not replaced by an empty one."""
    state = StateDir.open(tmp_path / "out", create=True, local=True)
    pointer = state.root / "ledger.pointer"
    write_json_atomic(pointer, {"ledger": "/nowhere/geobatch/1/ledger.db", "host": "node7"})
    for create in (True, False):
        with pytest.raises(StateError, match="node7"):
            StateDir.open(tmp_path / "out", create=create)
    pointer.write_text("{")
    with pytest.raises(StateError, match="damaged"):
        StateDir.open(tmp_path / "out")


def test_a_pointer_leads_to_one_place_only(tmp_path, state_home):
    """The file that it names is written, renamed and removed: it may name the user's state
    directory alone."""
    wallet = tmp_path / "wallet"
    wallet.write_text("precious")
    state = StateDir.open(tmp_path / "out", create=True, local=True)
    write_json_atomic(state.root / "ledger.pointer", {"ledger": str(wallet), "host": "x"})
    for create in (True, False):
        with pytest.raises(StateError, match="wallet") as caught:
            StateDir.open(tmp_path / "out", create=create)
        assert "ledger.pointer" in caught.value.hint
    state.ledger.parent.rmdir()
    write_json_atomic(state.root / "ledger.pointer", {"ledger": str(state.ledger), "host": "x"})
    with pytest.raises(StateError, match="not there"):
        StateDir.open(tmp_path / "out")


def test_json_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    """A failed write leaves the old file, and no temporary one."""
    path = tmp_path / "plan.json"
    write_json_atomic(path, {"n": 1})

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError):
        write_json_atomic(path, {"n": 2})
    assert json.loads(path.read_text()) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_json_is_durable_before_it_has_its_name(tmp_path, monkeypatch):
    """The order is: sync the bytes, rename, sync the directory."""
    calls = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (
            calls.append("dir" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file") or fsync(fd)
        ),
    )
    monkeypatch.setattr(os, "rename", lambda a, b: calls.append("rename") or rename(a, b))
    write_json_atomic(tmp_path / "x.json", {})
    assert calls == ["file", "rename", "dir"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EFBIG, DiskFullError),
        (errno.ENOENT, OutputGoneError),
        (errno.EROFS, OutputGoneError),
        (errno.EACCES, OutputGoneError),
        (errno.ESTALE, OutputGoneError),
        (errno.EINVAL, StateError),
    ],
)
def test_system_errors_are_classified(tmp_path, code, kind):
    """Each errno of a failed write has its class."""
    assert type(output_error(OSError(code, os.strerror(code)), tmp_path)) is kind


def test_reserve_holds_real_bytes_once(tmp_path):
    """The reserve occupies blocks, is made once, and can be given back once."""
    reserve = Reserve(tmp_path / "reserve", 1 << 20)
    assert reserve.ensure()
    status = reserve.path.stat()
    assert status.st_size == 1 << 20
    assert status.st_blocks * 512 >= 1 << 20
    assert reserve.ensure()
    assert reserve.path.stat().st_ino == status.st_ino
    assert reserve.release()
    assert not reserve.release()
    assert not Reserve(tmp_path / "missing" / "reserve").ensure()
