"""Runs gdalwarp from the GDAL that rasterio brings: the utility's own code, through its C API.

An installed ``gdalwarp`` is mostly of another version, and rounds some pixels otherwise.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import rasterio

if TYPE_CHECKING:
    from collections.abc import Sequence

_POINTER = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "GDALAllRegister": (None, []),
    "GDALOpenEx": (_POINTER, [ctypes.c_char_p, ctypes.c_uint, *[_POINTER] * 3]),
    "GDALClose": (ctypes.c_int, [_POINTER]),
    "GDALWarpAppOptionsNew": (_POINTER, [_POINTER, _POINTER]),
    "GDALWarpAppOptionsFree": (None, [_POINTER]),
    "GDALWarp": (
        _POINTER,
        [ctypes.c_char_p, _POINTER, ctypes.c_int, _POINTER, _POINTER, _POINTER],
    ),
}
_RASTER = 2


@cache
def library() -> ctypes.CDLL:
    """The libgdal that rasterio has loaded into this process."""
    with rasterio.Env():
        maps = Path("/proc/self/maps").read_text().split()
    path = next(word for word in maps if "libgdal" in word)
    lib = ctypes.CDLL(path)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.GDALAllRegister()
    return lib


def gdalwarp(words: Sequence[str], source: Path, target: Path) -> None:
    """``gdalwarp WORDS source target``.

    Raises:
        RuntimeError: it failed; GDAL says why on fd 2.
    """
    lib = library()
    argv = (ctypes.c_char_p * (len(words) + 1))(*[word.encode() for word in words], None)
    options = lib.GDALWarpAppOptionsNew(argv, None)
    dataset = lib.GDALOpenEx(bytes(source), _RASTER, None, None, None)
    if not options or not dataset:
        raise RuntimeError(f"gdalwarp cannot begin with {source}")
    made = lib.GDALWarp(bytes(target), None, 1, (_POINTER * 1)(dataset), options, None)
    failed = not made or lib.GDALClose(made) != 0
    lib.GDALClose(dataset)
    lib.GDALWarpAppOptionsFree(options)
    if failed:
        raise RuntimeError(f"gdalwarp failed to write {target}")
