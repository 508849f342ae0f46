"""Where machine code is kept between runs.

The folder is named after the contents of all modules of compiled functions: which of them calls
which is not looked at.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

#: The modules of compiled functions.
MODULES = (
    "weights",
    "patches",
    "kernels",
    "quads",
    "masked",
    "means",
    "halving",
    "averages",
    "predictors",
    "../vector/kernels",
    "../vector/flatbuffer",
    "../vector/properties",
    "../vector/sqlitepages",
    "../vector/sqlitevalues",
)


@cache
def cache_directory() -> Path | None:
    """Where machine code is kept: ``NUMBA_CACHE_DIR`` or the user's cache; None if nothing can be
    written there."""
    own = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    directory = Path(own) if own else base / "geobatch" / "kernels" / digest()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError):  # the latter: no home
        return None
    return directory if os.access(directory, os.W_OK | os.X_OK) else None


def digest() -> str:
    """Of the contents of the modules of compiled functions."""
    total = hashlib.sha256()
    for name in MODULES:
        total.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return total.hexdigest()[:16]
