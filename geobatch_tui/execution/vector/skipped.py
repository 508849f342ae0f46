"""Drivers to skip that a build of GDAL lacks: it warns of each on fd 2, which may be the user's.

rasterio hands such warnings to ``logging``. pyogrio takes GDAL's messages over only after it has
registered the drivers, and no two builds have the same ones.
"""

from __future__ import annotations

import ctypes
import re
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING

from geobatch_tui.execution.environment import INDIRECT_DRIVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_char_p)
_LACKING = re.compile(rb"Unable to find driver (\S+) to unload from GDAL_SKIP")
_OURS = frozenset(name.encode() for name in INDIRECT_DRIVERS)


@contextmanager
def unsaid() -> Iterator[None]:
    """Drop these warnings about names of our own while pyogrio is imported; nothing else.

    Not by its stack of handlers: pyogrio leaves its own on top. Without effect where pyogrio's GDAL
    is not to be found.
    """
    library = _library()
    if library is None:
        yield
        return
    library.CPLSetErrorHandler.restype = _HANDLER
    library.CPLSetErrorHandler.argtypes = (_HANDLER,)

    def handle(kind: int, number: int, message: bytes) -> None:
        found = _LACKING.match(message)
        if found is None or found[1] not in _OURS:
            before(kind, number, message)

    handler = _HANDLER(handle)  # held here for as long as GDAL may call it
    before = library.CPLSetErrorHandler(handler)
    try:
        yield
    finally:
        library.CPLSetErrorHandler(before)


def _library() -> ctypes.CDLL | None:
    """A module of pyogrio, which brings its GDAL along; loaded now, it is not loaded later."""
    package = find_spec("pyogrio")
    places = package.submodule_search_locations if package else None
    module = PathFinder.find_spec("_err", places) if places else None
    if module is None or module.origin is None:
        return None
    import_module("shapely")  # with its own GEOS, before GDAL brings another: as pyogrio does
    try:
        library = ctypes.CDLL(module.origin)
        library.CPLSetErrorHandler  # noqa: B018 - whether it is there
    except (OSError, AttributeError):
        return None
    return library
