"""Versions of what makes the output, from package metadata: nothing is imported to ask it."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("geobatch-tui", "rasterio", "pyogrio", "pyproj", "numpy", "imagecodecs")


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return (*found, ("python", platform.python_version()), ("platform", system))


def versions() -> dict[str, str]:
    """Versions by name: geobatch-tui, its raster libraries, ``python`` and ``platform``.

    GDAL's own version is not among them: it takes loading GDAL, which workers do.
    """
    return dict(_versions())
