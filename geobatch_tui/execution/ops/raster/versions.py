"""Versions of the libraries that decide output bytes, from package metadata alone."""

from __future__ import annotations

from importlib.metadata import version

#: rasterio stands for the GDAL in its wheel, which cannot be asked without loading it.
_LIBRARIES = ("rasterio", "imagecodecs", "tifffile")


def libraries() -> dict[str, str]:
    """Name to major.minor."""
    return {name: ".".join(version(name).split(".")[:2]) for name in _LIBRARIES}
