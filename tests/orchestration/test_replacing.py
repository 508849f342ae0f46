"""Files of repaired features on their way into the state directory."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from geobatch_tui.errors import GeobatchError
from geobatch_tui.orchestration.replacing import install


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_later_file_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    """Of another format, too: there is one at a time."""
    root = tmp_path / "state"
    install(root, "sub/a.gpkg", _file(tmp_path, "x.GPKG", "one"))
    install(root, "sub/a.gpkg", _file(tmp_path, "y.fgb", "two"))
    found = [path for path in (root / "replaced").rglob("*") if path.is_file()]
    assert [(path.name, path.read_text()) for path in found] == [("repaired.fgb", "two")]


def test_a_full_disk_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of the one that did not fit."""
    root = tmp_path / "state"
    install(root, "a.gpkg", _file(tmp_path, "x.gpkg", "one"))

    def full(source: Path, target: Path) -> None:
        del source
        Path(target).write_text("hal")
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(GeobatchError):
        install(root, "a.gpkg", tmp_path / "x.gpkg")
    found = [path for path in (root / "replaced").rglob("*") if path.is_file()]
    assert [(path.name, path.read_text()) for path in found] == [("repaired.gpkg", "one")]
