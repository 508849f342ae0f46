"""Paths of a job: which are remote, what they are relative to, and where the example jobs are."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]
#: Keys of a catalogue's entry that are paths.
_PATHS: Final = frozenset({"stac", "within"})
_REMOTE: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]*://|/vsi\w+/")


def is_remote(path: str) -> bool:
    """Whether a path is a URL, or GDAL's name of something that is no local file."""
    return _REMOTE.match(path) is not None


def absolute(value: object, base: Path) -> object:
    """Join the relative paths of ``value`` (a path or a list of paths) to ``base``.

    URLs and GDAL's ``/vsi`` names stay; ``@list.txt`` is joined behind its ``@``; ``~/`` is the
    home directory; of a catalogue its file and its directory are joined. Where a glob is joined,
    ``base`` is escaped: brackets in a directory's own name are no pattern. Values of other types
    come back as they are: the schema refuses them.
    """
    if isinstance(value, list | tuple):
        return [absolute(entry, base) for entry in value]
    if isinstance(value, Mapping):
        return {
            key: absolute(entry, base) if key in _PATHS or _is_code(key, entry) else entry
            for key, entry in value.items()
        }
    if not isinstance(value, str) or not value or "://" in value:
        return value
    if value.startswith("@") and len(value) > 1:
        return f"@{absolute(value[1:], base)}"
    path = os.path.expanduser(value) if value.startswith("~/") else value  # noqa: PTH111
    folder = os.path.abspath(base)  # noqa: PTH100 - Path.absolute keeps "a/../b"
    if not os.path.isabs(path) and glob.has_magic(path):  # noqa: PTH117
        folder = glob.escape(folder)
    return os.path.join(folder, _without_dot(path))  # noqa: PTH118


def _is_code(key: object, entry: object) -> bool:
    """Whether an entry names a function by its file, and not by its module."""
    return key == "sign" and ".py:" in str(entry)


def _without_dot(path: str) -> str:
    """Remove a leading ``./``; ``..`` stays, for it may follow a symbolic link."""
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path if path != "." else ""


def sample_dir() -> Path | None:
    """Return the directory of the example jobs and their data, in the package or beside it.

    None: they are missing from this installation.
    """
    for place in (_PACKAGE / "sample_configs", _PACKAGE.parent / "sample_configs"):
        if (place / "demo.toml").is_file():
            return place
    return None


def presets() -> list[Path]:
    """List the example job files, by name."""
    place = sample_dir()
    if place is None:
        return []
    return sorted(path for path in place.iterdir() if path.suffix in {".toml", ".yaml"})
