"""Compiles functions with numba, and keeps the machine code in the user's cache.

Numba looks at the file of a function alone to tell whether kept code is stale, not at the files of
what it calls. So the folder is named after the contents of all of them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

#: The modules of compiled functions.
MODULES = (
    "weights",
    "patches",
    "kernels",
    "masked",
    "means",
    "halving",
    "predictors",
    "../vector/kernels",
    "../vector/flatbuffer",
    "../vector/properties",
    "../vector/sqlitepages",
    "../vector/sqliterows",
)


def cache_directory() -> Path | None:
    """Where machine code is kept: ``NUMBA_CACHE_DIR`` or the user's cache; None if nothing can be
    written there."""
    own = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    directory = Path(own) if own else base / "geobatch" / "kernels" / _digest()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError):  # the latter: no home
        return None
    return directory if os.access(directory, os.W_OK | os.X_OK) else None


def _digest() -> str:
    total = hashlib.sha256()
    for name in MODULES:
        total.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return total.hexdigest()[:16]


_directory = cache_directory()
if _directory is not None:
    numba.config.CACHE_DIR = str(_directory)  # type: ignore[attr-defined]


def jit(function: Callable[..., Any]) -> Any:
    """``function`` compiled at its first call for each combination of types, without the GIL."""
    return numba.njit(nogil=True, error_model="numpy", cache=_directory is not None)(function)
