"""Compiles functions with numba, and keeps the machine code in the user's cache.

Numba looks at the file of a function alone to tell whether kept code is stale, not at the files of
what it calls; :mod:`.code_cache` does.

Numba itself is imported at the first call only. Modules of compiled functions are imported for
their constants too, and most calls go to machine code that is there already (:mod:`.linker`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.native.code_cache import cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CellType, ModuleType


class Deferred:
    """Something of numba that is made when it is first used.

    Args:
        make: makes it of the module numba.
        scope: the globals that it is used with.
        cells: the variables of the function round it that it is used with.
    """

    def __init__(
        self,
        make: Callable[[ModuleType], Any],
        scope: dict[str, object],
        cells: tuple[CellType, ...] = (),
    ) -> None:
        self._make, self._scope, self._cells = make, scope, cells
        self._made: object = None

    def made(self) -> Any:
        """Make it now, and all others that it uses, so that numba finds them made."""
        if self._made is None:
            self._made = self._make(_numba())
            for name, value in list(self._scope.items()):
                if isinstance(value, Deferred):
                    self._scope[name] = value.made()
            for cell in self._cells:
                if isinstance(cell.cell_contents, Deferred):
                    cell.cell_contents = cell.cell_contents.made()
        return self._made

    def __call__(self, *values: object) -> Any:
        return self.made()(*values)


def _numba() -> ModuleType:
    numba = importlib.import_module("numba")
    directory = cache_directory()
    if directory is not None:
        numba.config.CACHE_DIR = str(directory)
    return numba


def jit(function: Callable[..., object]) -> Any:
    """Compile ``function`` at its first call for each combination of types, without the GIL."""
    cached = cache_directory() is not None

    def make(numba: ModuleType) -> Any:
        return numba.njit(nogil=True, error_model="numpy", cache=cached)(function)

    return Deferred(make, function.__globals__, function.__closure__ or ())


def external(name: str, result: str, arguments: str, scope: dict[str, object]) -> Any:
    """Name a function of libc for numba, by its names of types; ``scope``: the caller's globals."""

    def make(numba: ModuleType) -> Any:
        kinds = [getattr(numba.types, kind) for kind in arguments.split()]
        return numba.types.ExternalFunction(name, getattr(numba.types, result)(*kinds))

    return Deferred(make, scope)


def dispatcher(function: object) -> object:
    """Return numba's own object for what :func:`jit` returned."""
    return function.made() if isinstance(function, Deferred) else function
