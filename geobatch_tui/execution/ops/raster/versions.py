"""Versions of the libraries that decide output bytes, from package metadata alone."""

from __future__ import annotations

from importlib.metadata import version

#: rasterio and pyproj stand for the GDAL and the PROJ in their wheels, which cannot be asked
#: without loading them; numba for the order in which its LLVM adds.
_LIBRARIES = ("rasterio", "pyproj", "imagecodecs", "tifffile", "numba")


def libraries() -> dict[str, str]:
    """Name to major.minor."""
    return {name: ".".join(version(name).split(".")[:2]) for name in _LIBRARIES}
