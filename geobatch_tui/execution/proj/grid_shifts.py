"""Finds the grids of datum shifts that PROJ finds: they change coordinates, and may be installed at
any time."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIXES = frozenset({".tif", ".gsb", ".gtx", ".gvb", ".ct2", ".lla"})
_PACKAGES = (("rasterio", "proj_data"), ("pyproj", "proj_dir/share/proj"), ("pyogrio", "proj_data"))


def grids() -> dict[str, str]:
    """Return ``{"grids": hash}`` of the names and sizes of all grids; empty where there is none.

    It stands among the libraries of operations that transform coordinates: a grid that is installed
    later makes their outputs stale, and none is half with it and half without.
    """
    files = sorted({(path.name, path.stat().st_size) for path in _files()})
    if not files:
        return {}
    text = "\n".join(f"{size} {name}" for name, size in files)
    return {"grids": hashlib.blake2b(os.fsencode(text), digest_size=8).hexdigest()}


def _files() -> Iterator[Path]:
    for folder in _folders():
        if folder.is_dir():
            yield from (path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


def _folders() -> Iterator[Path]:
    """Yield the folders that PROJ searches, by its own rules and those of the packages with it."""
    for name in ("PROJ_DATA", "PROJ_LIB"):
        yield from (Path(part) for part in os.environ.get(name, "").split(os.pathsep) if part)
    yield _own_folder()
    for package, inside in _PACKAGES:
        spec = find_spec(package)
        yield from (
            Path(place, inside) for place in (spec and spec.submodule_search_locations) or ()
        )


def _own_folder() -> Path:
    """Return the folder of the grids that the user has downloaded."""
    if given := os.environ.get("PROJ_USER_WRITABLE_DIRECTORY"):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", ""), "proj")
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises where there is none
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "proj"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share", "proj")
