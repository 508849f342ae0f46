"""A run obeys a state directory that is the user's own, and no other; and removes nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.place.owner import (
    FOLDERS,
    followed_links,
    refuse_foreign,
    refuse_foreign_links,
    remove_tree,
)
from geobatch_tui.ledger.place.state_directory import StateDir

OTHER = 4_000_000_000


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path, mode):
    """Anybody may have put files there; the error says what to do."""
    state = StateDir.open(tmp_path / "out", create=True)
    state.root.chmod(mode)
    with pytest.raises(StateError, match="other users may write") as caught:
        StateDir.open(tmp_path / "out", create=True)
    assert "chmod go-w" in caught.value.hint
    assert StateDir.open(tmp_path / "out") == state  # for readers
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".geobatch"]


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o2750])
def test_a_directory_that_others_may_read_is_accepted(tmp_path, mode):
    """A directory that others may only read is accepted."""
    StateDir.open(tmp_path, create=True).root.chmod(mode)
    assert StateDir.open(tmp_path, create=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_directory_of_another_user_is_refused(tmp_path):
    """As git refuses a repository that is another user's; root's own is taken."""
    state = StateDir.open(tmp_path, create=True)
    os.chown(state.root, OTHER, OTHER)
    with pytest.raises(StateError, match="the user of id 4000000000") as caught:
        StateDir.open(tmp_path, create=True)
    assert "chown" in caught.value.hint
    assert StateDir.open(tmp_path) == state


def test_filesystems_without_owners_and_modes_are_taken(tmp_path, monkeypatch):
    """FAT, SMB and NFS with squashed users give each file the same owner, and perhaps 0777."""
    state = StateDir.open(tmp_path, create=True)
    state.root.chmod(0o777)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    mkdir = Path.mkdir

    def of_any_mode(path, *_words, **_more):
        mkdir(path)
        path.chmod(0o777)

    monkeypatch.setattr(Path, "mkdir", of_any_mode)
    refuse_foreign(state.root)


@pytest.mark.parametrize("name", FOLDERS)
def test_linked_folders_are_refused(tmp_path, name):
    """A run would empty the directory that the link leads to."""
    papers = tmp_path / "papers"
    papers.mkdir()
    state = StateDir.open(tmp_path / "out", create=True)
    (state.root / name).symlink_to(papers)
    with pytest.raises(StateError, match=f"{name} is a symbolic link"):
        StateDir.open(tmp_path / "out", create=True)
    (state.root / name).unlink()
    (state.root / name).write_text("")
    with pytest.raises(StateError, match=f"{name} is not a directory"):
        StateDir.open(tmp_path / "out", create=True)


def test_removing_follows_no_link(tmp_path):
    """No link is followed: at the name that is removed, above it, or below it."""
    papers = tmp_path / "papers"
    (papers / "7").mkdir(parents=True)
    (papers / "7" / "text").write_text("mine")
    work = tmp_path / "work"
    work.symlink_to(papers)
    remove_tree(work / "7")
    remove_tree(work)
    work.unlink()
    (work / "7").mkdir(parents=True)
    (work / "7" / "link").symlink_to(papers)
    remove_tree(work / "7")
    assert not (work / "7").exists()
    assert (papers / "7" / "text").read_text() == "mine"


def test_where_links_of_outputs_lead(tmp_path):
    """Each directory is listed once; what is missing or no directory is not."""
    (tmp_path / "big" / "inner").mkdir(parents=True)
    (tmp_path / "bigger").mkdir()
    (tmp_path / "file").write_text("")
    out = tmp_path / "out"
    (out / "plain" / "deep").mkdir(parents=True)
    for place, to in (
        (out / "2024", "../big"),
        (tmp_path / "big" / "inner" / "on", tmp_path / "bigger"),
        (out / "gone", tmp_path / "nowhere"),
        (out / "file", tmp_path / "file"),
        (out / "unused", tmp_path),
    ):
        place.symlink_to(to)
    names = ("", "2024", "2024/inner", "2024/inner/on/x", "2024/inner/on/y", "gone/x", "file/x")
    found = list(followed_links(out, (out / name for name in (*names, "plain/deep", "new/x"))))
    assert found == [str(tmp_path / "big"), str(tmp_path / "bigger")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_links_of_others_are_not_followed(tmp_path):
    """In a directory for all: a link of another user's, where outputs would go, is refused; one of
    ours leads to another disk."""
    (tmp_path / "disk" / "inner").mkdir(parents=True)
    out = tmp_path / "out"
    out.mkdir()
    (out / "2024").symlink_to(tmp_path / "disk")
    for directory in (out, out / "2024", out / "2024" / "inner", out / "new" / "inner"):
        refuse_foreign_links(out, directory)
    assert list(followed_links(out, [out / "2024" / "inner"])) == [str(tmp_path / "disk")]
    os.chown(out / "2024", OTHER, OTHER, follow_symlinks=False)
    refuse_foreign_links(out, out)
    assert list(followed_links(out, [out / "2024", out / "2024" / "inner"])) == []
    for directory in (out / "2024", out / "2024" / "inner"):
        with pytest.raises(StateError, match="2024 is a link of the user of id 4000000000"):
            refuse_foreign_links(out, directory)
