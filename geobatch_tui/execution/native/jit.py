"""Compiles functions with numba, and keeps the machine code in the user's cache.

Numba looks at the file of a function alone to tell whether kept code is stale, not at the files of
what it calls; :mod:`.code_cache` does.

Numba itself is imported at the first call only. Modules of compiled functions are imported for
their constants too, and most calls go to machine code that is there already (:mod:`.linker`).

What compiled functions call of each other is compiled without numba's ways in from Python, which
take a fifth of the time to compile all loops, and nobody goes in there.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.native.code_cache import cache_directory
from geobatch_tui.execution.native.linker import object_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


@dataclass(slots=True, eq=False)
class Deferred:
    """Something of numba that is made when it is first used.

    ``make_whole`` makes what Python calls, of the module numba; ``make_part`` what other compiled
    functions call.
    """

    make_whole: Callable[[ModuleType], Any]
    make_part: Callable[[ModuleType], Any]
    _whole: Any = None
    _part: Any = None

    def part(self) -> Any:
        """Make what compiled functions call. Python must not: there is no way in."""
        if self._part is None:
            self._part = self.make_part(_numba())
        return self._part

    def __call__(self, *values: object) -> Any:
        """Call it from Python."""
        if self._whole is None:
            self._whole = self.make_whole(_numba())
        return self._whole(*values)


@cache
def _numba() -> ModuleType:
    numba = importlib.import_module("numba")
    directory = cache_directory()
    if directory is not None:
        # Code that calls linked parts needs them in the process, and is not for one without.
        kept = "linked" if object_folder() is not None else "whole"
        numba.config.CACHE_DIR = str(directory / kept)

    def type_of(value: Deferred, _context: object) -> Any:
        part = value.part()
        return part if isinstance(part, numba.types.ExternalFunction) else numba.typeof(part)

    # So numba finds the part where a compiled function names a deferred one.
    numba.extending.typeof_impl.register(Deferred, type_of)
    return numba


def jit(function: Callable[..., object]) -> Deferred:
    """Compile ``function`` at its first call for each combination of types, without the GIL."""
    cached = cache_directory() is not None

    def whole(numba: ModuleType) -> Any:
        return numba.njit(nogil=True, error_model="numpy", cache=cached)(function)

    def part(numba: ModuleType) -> Any:
        # Not in numba's cache, which would take it for the whole.
        ways_in = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        return numba.njit(error_model="numpy", **ways_in)(function)

    return Deferred(whole, part)


def external(name: str, result: str, arguments: str) -> Deferred:
    """Name a function of libc for numba, by its names of types."""

    def make(numba: ModuleType) -> Any:
        kinds = [getattr(numba.types, kind) for kind in arguments.split()]
        return numba.types.ExternalFunction(name, getattr(numba.types, result)(*kinds))

    return Deferred(make, make)
