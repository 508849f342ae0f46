"""A final name always means a whole, durable file; ``done`` comes last."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from geobatch_tui.errors import DiskFullError, OutputGoneError, StateError
from geobatch_tui.ledger.schema.updates import ItemPlanned, ItemPublished, ItemState
from geobatch_tui.ledger.write.publish import ItemPublishError, Publisher


@pytest.fixture
def published(part):
    """``published(1)``: item 1's part file is ready."""

    def make(item_id, stem=None, data=b"whole"):
        path = part(stem or str(item_id), data)
        return ItemPublished(item_id, path, len(data), "e" * 32, {"tiles": 4})

    return make


@pytest.fixture
def calls(monkeypatch, ledger):
    """What happens on the disk, in order: renames, syncs, commits."""
    found = []
    fsync, rename = os.fsync, os.rename

    def synced(fd):
        name = Path(f"/proc/self/fd/{fd}").readlink()
        found.append(("sync" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file", name.name))
        fsync(fd)

    def renamed(old, new):
        found.append(("rename", Path(new).name))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    ledger._connection.set_trace_callback(
        lambda sql: found.append(("sql", sql)) if sql in ("BEGIN IMMEDIATE", "COMMIT") else None
    )
    yield found
    ledger._connection.set_trace_callback(None)


def state_of(reader, item_id):
    found = reader.item(item_id)
    assert found is not None
    return found.state


def test_rename_then_sync_once_then_commit(ledger, item, published, calls):
    """Three files in one directory: three renames, one sync of it, and only then the commit."""
    ledger.apply([ItemPlanned(item(n, n)) for n in (1, 2, 3)])
    updates = [published(n) for n in (1, 2, 3)]
    calls.clear()
    ledger.apply(updates)
    assert calls == [
        ("sql", "BEGIN IMMEDIATE"),
        ("rename", "1.tif"),
        ("rename", "2.tif"),
        ("rename", "3.tif"),
        ("sync", "out"),
        ("sql", "COMMIT"),
    ]


def test_a_new_directory_is_synced_up_to_the_root(ledger, item, state, published, calls):
    """The name of a new directory must be durable as well; later batches need not repeat it."""
    ledger.apply([ItemPlanned(item(n, n, key=f"a/b/{n}.tif")) for n in (1, 2)])
    updates = [published(n, f"a/b/{n}") for n in (1, 2)]
    calls.clear()
    ledger.apply(updates[:1])
    assert [name for kind, name in calls if kind == "sync"] == ["b", "a", "out"]
    calls.clear()
    ledger.apply(updates[1:])
    assert [name for kind, name in calls if kind == "sync"] == ["b"]


def test_a_published_item_says_where_and_what(ledger, reader, item, state, published):
    """Size, time, digest and facts are recorded, the time as the filesystem has it."""
    ledger.apply([ItemPlanned(item(1, 1)), published(1)])
    found, target = reader.item(1), state.output_dir / "1.tif"
    assert found is not None
    assert target.read_bytes() == b"whole"
    assert found.state is ItemState.PUBLISHED
    assert (found.out_size, found.out_digest, found.facts) == (5, "e" * 32, {"tiles": 4})
    assert found.out_mtime_ns == target.stat().st_mtime_ns
    assert list(state.output_dir.glob(".*.part")) == []


def test_an_output_lies_below_the_directory(ledger, item, state, published):
    """The output directory of today counts, not that of the plan: a tree that was moved goes on."""
    ledger.apply([ItemPlanned(item(1, 1, out_path="/elsewhere/1.tif")), published(1)])
    assert (state.output_dir / "1.tif").read_bytes() == b"whole"


@pytest.mark.parametrize("key", ["/elsewhere/1.tif", "../1.tif", "a/../../1.tif", "..", "", "."])
def test_no_name_leads_out_of_the_directory(ledger, item, published, key):
    """A name in the ledger is not trusted."""
    ledger.apply([ItemPlanned(item(1, 1, key=key))])
    update = published(1)
    with pytest.raises(StateError, match="outside of it"):
        ledger.apply([update])
    assert Path(update.part_path).exists()


def test_a_commit_that_fails_after_the_rename_is_harmless(
    ledger, reader, item, published, monkeypatch
):
    """The name is given, the ledger does not know it; applying the batch again settles it."""
    ledger.apply([ItemPlanned(item(1, 1))])
    update = published(1)

    def fail(*_):
        raise OSError(errno.EIO, "after the rename")

    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "sync", fail)
        with pytest.raises(OutputGoneError):
            ledger.apply([update])
    assert state_of(reader, 1) is ItemState.PLANNED
    assert not Path(update.part_path).exists()
    ledger.apply([update])
    assert state_of(reader, 1) is ItemState.PUBLISHED


@pytest.mark.parametrize("size", [4, 6])
def test_a_part_of_another_size_is_not_published(ledger, reader, item, state, published, size):
    """A part that changed since it was verified is refused."""
    ledger.apply([ItemPlanned(item(1, 1))])
    update = published(1)
    Path(update.part_path).write_bytes(b"x" * size)
    with pytest.raises(ItemPublishError, match=f"has {size} bytes") as caught:
        ledger.apply([update])
    assert caught.value.update is update
    assert not (state.output_dir / "1.tif").exists()
    assert state_of(reader, 1) is ItemState.PLANNED


def test_a_missing_part_is_not_published(ledger, item, state, published):
    """Neither part nor target: the item is not published. A target of another size is no proof."""
    ledger.apply([ItemPlanned(item(1, 1))])
    update = published(1)
    Path(update.part_path).unlink()
    with pytest.raises(ItemPublishError, match="missing"):
        ledger.apply([update])
    (state.output_dir / "1.tif").write_bytes(b"older")
    (state.output_dir / "1.tif").write_bytes(b"old")
    with pytest.raises(ItemPublishError, match="missing"):
        ledger.apply([update])


def test_a_part_that_is_a_link_is_refused(ledger, item, state, published):
    """A symbolic link in place of the part is not what was verified."""
    ledger.apply([ItemPlanned(item(1, 1))])
    update = published(1)
    other = state.output_dir / "other"
    Path(update.part_path).rename(other)
    Path(update.part_path).symlink_to(other)
    with pytest.raises(ItemPublishError):
        ledger.apply([update])


def test_a_directory_in_the_way_blames_the_item(ledger, item, state, published):
    """Someone made a directory of that name: this item fails, the run does not."""
    ledger.apply([ItemPlanned(item(1, 1))])
    update = published(1)
    (state.output_dir / "1.tif").mkdir()
    with pytest.raises(ItemPublishError, match="cannot name"):
        ledger.apply([update])


def test_a_link_in_the_way_is_replaced_not_followed(ledger, item, state, published, tmp_path):
    """A symbolic link under the final name is replaced; its target stays."""
    (tmp_path / "precious").write_text("text")
    (state.output_dir / "1.tif").symlink_to(tmp_path / "precious")
    ledger.apply([ItemPlanned(item(1, 1)), published(1)])
    assert not (state.output_dir / "1.tif").is_symlink()
    assert (tmp_path / "precious").read_text() == "text"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.EROFS, OutputGoneError),
        (errno.EACCES, OutputGoneError),
        (errno.ENOENT, OutputGoneError),
        (errno.ENOSPC, DiskFullError),
        (errno.EIO, OutputGoneError),
    ],
)
def test_a_rename_that_fails_by_the_root(ledger, reader, item, published, monkeypatch, code, kind):
    """A read-only, vanished or full output ends or pauses the run; nothing is recorded."""
    ledger.apply([ItemPlanned(item(1, 1))])
    update = published(1)

    def fail(old, new):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        with pytest.raises(kind):
            ledger.apply([update])
    assert state_of(reader, 1) is ItemState.PLANNED
    ledger.apply([update])
    assert state_of(reader, 1) is ItemState.PUBLISHED


def test_a_vanished_directory_is_a_lost_output(ledger, item, state, published):
    """Part and directory gone: the output is gone, not the item at fault."""
    target = state.output_dir / "sub" / "1.tif"
    ledger.apply([ItemPlanned(item(1, 1, key="sub/1.tif"))])
    update = published(1, "sub/1")
    Path(update.part_path).unlink()
    target.parent.rmdir()
    with pytest.raises(OutputGoneError):
        ledger.apply([update])


def test_a_failed_sync_is_not_recorded(ledger, reader, item, published, monkeypatch):
    """If the directory can't be synced, the item is not done."""
    ledger.apply([ItemPlanned(item(1, 1))])
    update = published(1)

    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises((OutputGoneError, StateError)):
            ledger.apply([update])
    assert state_of(reader, 1) is ItemState.PLANNED
