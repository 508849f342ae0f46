"""The output directories of a user's runs: one small file each below ``$XDG_STATE_HOME``.

An index for people, never relied on: the truth about a run is in its ledger.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Final

KEPT: Final = 500
"""Directories in the index; the longest unused are dropped."""


def index_dir() -> Path:
    """Return the directory of the index."""
    home = os.environ.get("XDG_STATE_HOME") or ""
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "state"
    return base / "geobatch" / "runs"


def note(directory: Path) -> None:
    """Add an output directory to the index. A home that cannot be written is no error."""
    place = directory.absolute()
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:24]
    with contextlib.suppress(OSError, RuntimeError):
        index = index_dir()
        index.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = index / f".{name}.{os.getpid()}"
        part.write_text(json.dumps({"directory": str(place)}), encoding="ascii")
        part.replace(index / f"{name}.json")
        for entry in _entries(index)[KEPT:]:
            entry.unlink(missing_ok=True)


def known() -> list[Path]:
    """List the directories of the index that hold a run, the last used first."""
    directories = []
    with contextlib.suppress(OSError, RuntimeError):
        for entry in _entries(index_dir()):
            directory = _directory(entry)
            if directory is not None and (directory / ".geobatch").is_dir():
                directories.append(directory)
    return directories


def _entries(index: Path) -> list[Path]:
    """List the files of the index, the last written first."""
    ages = [(path.stat().st_mtime_ns, path) for path in index.glob("*.json")]
    return [path for _, path in sorted(ages, reverse=True)]


def _directory(entry: Path) -> Path | None:
    try:
        return Path(json.loads(entry.read_text(encoding="utf-8"))["directory"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
