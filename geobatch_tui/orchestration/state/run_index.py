"""The output directories of a user's runs: one small file each below ``$XDG_STATE_HOME``.

An index for people: the truth about a run is in its ledger. Only in one thing it is relied on: the
functions that a job file of this user named there may be run again from the directory alone, whose
own record anybody may have written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT: Final = 500
"""Directories in the index; the longest unused are dropped."""


def index_dir() -> Path:
    """Return the directory of the index."""
    home = os.environ.get("XDG_STATE_HOME") or ""
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "state"
    return base / "geobatch" / "runs"


def note(directory: Path, functions: Sequence[Sequence[str]] = ()) -> None:
    """Add an output directory to the index, with the ``functions`` (file and code) of its job. A
    home that cannot be written is no error."""
    place = directory.absolute()
    name = _name(place)
    with contextlib.suppress(OSError, RuntimeError):
        index = index_dir()
        index.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = index / f".{name}.{os.getpid()}"
        entry = {"directory": str(place), **({"functions": functions} if functions else {})}
        part.write_text(json.dumps(entry), encoding="ascii")
        part.replace(index / f"{name}.json")
        for old in _entries(index)[KEPT:]:
            old.unlink(missing_ok=True)


def is_noted(directory: Path, functions: Sequence[Sequence[str]]) -> bool:
    """Whether the last run there was of these functions."""
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError, TypeError):
        text = (index_dir() / f"{_name(directory.absolute())}.json").read_text(encoding="utf-8")
        return bool(json.loads(text)["functions"] == [list(each) for each in functions])
    return False


def _name(place: Path) -> str:
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:24]


def known() -> list[Path]:
    """List the directories of the index that hold a run, the last used first."""
    return [directory for directory, _ in noted() if _holds_a_run(directory)]


def gone() -> list[tuple[Path, float]]:
    """List the directories of the index that hold no run any more, the last used first, each with
    the UNIX time at which a run last began there."""
    return [(directory, t) for directory, t in noted() if not _holds_a_run(directory)]


def noted() -> list[tuple[Path, float]]:
    """List all directories of the index, the last used first, each with the UNIX time of that."""
    directories = []
    with contextlib.suppress(OSError, RuntimeError):
        for entry in _entries(index_dir()):
            directory = _directory(entry)
            if directory is not None:
                directories.append((directory, entry.stat().st_mtime))
    return directories


def forget(directory: Path) -> None:
    """Take a directory off the index. Nothing in it is touched."""
    with contextlib.suppress(OSError, RuntimeError):
        (index_dir() / f"{_name(directory.absolute())}.json").unlink(missing_ok=True)


def _holds_a_run(directory: Path) -> bool:
    try:
        return (directory / ".geobatch").is_dir()
    except OSError:
        return False


def _entries(index: Path) -> list[Path]:
    """List the files of the index, the last written first."""
    ages = [(path.stat().st_mtime_ns, path) for path in index.glob("*.json")]
    return [path for _, path in sorted(ages, reverse=True)]


def _directory(entry: Path) -> Path | None:
    try:
        return Path(json.loads(entry.read_text(encoding="utf-8"))["directory"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
