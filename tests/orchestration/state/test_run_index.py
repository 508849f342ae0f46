"""The index of a user's runs: one file each, never relied on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from geobatch_tui.orchestration.state import run_index
from geobatch_tui.orchestration.state.run_index import index_dir, known, note

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(root: Path, name: str, age: int = 0) -> Path:
    """A directory with a run, noted so many seconds ago."""
    directory = root / name
    (directory / ".geobatch").mkdir(parents=True)
    before = set(index_dir().glob("*.json"))
    note(directory)
    (entry,) = set(index_dir().glob("*.json")) - before
    os.utime(entry, (1_000_000 - age, 1_000_000 - age))
    return directory


def test_directories_are_known_the_last_used_first(tmp_path: Path) -> None:
    old, new = run(tmp_path, "old", 10), run(tmp_path, "new", 5)
    assert known() == [new, old]
    note(old)
    assert known() == [old, new]
    assert len(list(index_dir().iterdir())) == 2


def test_a_name_of_any_bytes_is_kept(tmp_path: Path) -> None:
    odd = run(tmp_path, os.fsdecode(b"caf\xe9\n\xff"))
    assert known() == [odd]


def test_a_directory_whose_run_is_gone_is_left_out(tmp_path: Path) -> None:
    gone, here = run(tmp_path, "gone"), run(tmp_path, "here", 5)
    (gone / ".geobatch").rmdir()
    assert known() == [here]


def test_entries_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    here = run(tmp_path, "here")
    for name, text in (("a", "{"), ("b", "[]"), ("c", "{}"), ("d", '{"directory": 3}')):
        (index_dir() / f"{name}.json").write_text(text)
    assert known() == [here]


def test_the_longest_unused_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [run(tmp_path, str(age), age) for age in range(5)]
    monkeypatch.setattr(run_index, "KEPT", 3)
    note(made[0])
    assert known() == made[:3]


def test_a_home_that_cannot_be_written_is_no_error(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_text("a file")
    note(tmp_path)
    assert known() == []
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert index_dir() == tmp_path / ".local/state/geobatch/runs"
