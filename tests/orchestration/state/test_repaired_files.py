"""Files of repaired features on their way into the state directory."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from geobatch_tui.errors import GeobatchError
from geobatch_tui.orchestration.state.repaired_files import install


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


@pytest.mark.parametrize("step", ["rename", "unlink"])
def test_an_engine_that_dies_leaves_one_of_both(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever step: the earlier file, or the later one, which then is the one that counts."""
    root = tmp_path / "state"
    install(root, "a.gpkg", _file(tmp_path, "x.fgb", "one"))
    place = root / "replaced" / "a.gpkg"
    os.utime(place / "repaired.fgb", (1, 1))

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, die)
        with pytest.raises(Killed):
            install(root, "a.gpkg", _file(tmp_path, "x.gpkg", "two"))
    newest = max(place.iterdir(), key=lambda one: one.stat().st_mtime_ns)
    assert newest.read_text() == ("one" if step == "rename" else "two")
    install(root, "a.gpkg", _file(tmp_path, "x.gpkg", "two"))
    assert [one.read_text() for one in place.iterdir()] == ["two"]
