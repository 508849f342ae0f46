"""Compiles functions with numba, and keeps the machine code in the user's cache.

Numba looks at the file of a function alone to tell whether kept code is stale, not at the files of
what it calls; :mod:`.cache` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba

from geobatch_tui.execution.raster.cache import cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable

_directory = cache_directory()
if _directory is not None:
    numba.config.CACHE_DIR = str(_directory)  # type: ignore[attr-defined]


def jit(function: Callable[..., Any]) -> Any:
    """``function`` compiled at its first call for each combination of types, without the GIL."""
    return numba.njit(nogil=True, error_model="numpy", cache=_directory is not None)(function)
