"""Takes from GDAL in a worker all drivers but those of formats that are used here, and networks.

GDAL opens files by itself: a mask or an overview beside a raster, the dataset that another one
names. It tries every driver that it has, and some of those write files, fetch URLs or start
programs that a file asks for. A list of names to leave out would miss those of the next GDAL, so
every driver that is not named here is deregistered after GDAL has loaded.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from geobatch_tui.errors import StateError

if TYPE_CHECKING:
    from types import ModuleType

#: Drivers that ``raster.source`` reads by, and those that write. GDAL registers VRT again by itself
#: with the first WarpedVRT; every source is opened by a pinned driver, and no file beside one is a
#: VRT.
RASTER = frozenset(
    {
        "AAIGrid", "BMP", "COG", "DTED", "ENVI", "GIF", "GRIB", "GTiff", "HDF5", "HFA",
        "JP2OpenJPEG", "JPEG", "MEM", "NITF", "PNG", "SRTMHGT", "VRT", "WEBP", "netCDF",
    }
)  # fmt: skip
#: Drivers that ``vector.ogr`` reads by, and those that write.
VECTOR = frozenset(
    {
        "CSV", "ESRI Shapefile", "FlatGeobuf", "GML", "GPKG", "GeoJSON", "GeoJSONSeq", "KML",
        "LIBKML", "MEM", "OpenFileGDB", "SQLite",
    }
)  # fmt: skip
#: GDAL's own filesystems that lead to no network, no pipe and no other file than the one that is
#: named. Those of Python's file objects, which rasterio brings, stay too.
_FILESYSTEMS = ("/vsimem/", "/vsisubfile/", "/vsizip/", "/vsipythonfilelike/", "/vsirio")
#: Names further drivers to keep, separated by commas: for operations of plug-ins.
EXTRA = "GEOBATCH_DRIVERS"


def keep_only(names: frozenset[str], module: ModuleType) -> None:
    """Take all drivers but ``names``, and filesystems of the network, from the GDAL that
    ``module``, a compiled one of rasterio or pyogrio, has loaded. Raises StateError if that GDAL
    cannot be reached."""
    gdal = _library(module)
    extra = os.environ.get(EXTRA, "").split(",")
    allowed = {*names, *(name.strip() for name in extra)}
    drivers = [gdal.GDALGetDriver(number) for number in range(gdal.GDALGetDriverCount())]
    for driver in drivers:
        if gdal.GDALGetDriverShortName(driver).decode() not in allowed:
            gdal.GDALDeregisterDriver(driver)
    prefixes = gdal.VSIGetFileSystemsPrefixes()
    number = 0
    while prefixes[number]:
        if not prefixes[number].decode().startswith(_FILESYSTEMS):
            gdal.VSIRemovePluginHandler(prefixes[number])
        number += 1
    gdal.CSLDestroy(prefixes)


def _library(module: ModuleType) -> ctypes.CDLL:
    """Load the library ``module``, through which functions of its GDAL are reached."""
    words = ctypes.POINTER(ctypes.c_char_p)
    signatures = {
        "GDALGetDriverCount": (ctypes.c_int, ()),
        "GDALGetDriver": (ctypes.c_void_p, (ctypes.c_int,)),
        "GDALGetDriverShortName": (ctypes.c_char_p, (ctypes.c_void_p,)),
        "GDALDeregisterDriver": (None, (ctypes.c_void_p,)),
        "VSIGetFileSystemsPrefixes": (words, ()),
        "VSIRemovePluginHandler": (ctypes.c_int, (ctypes.c_char_p,)),
        "CSLDestroy": (None, (words,)),
    }
    try:
        library = ctypes.CDLL(str(module.__file__))
        for name, (result, arguments) in signatures.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise StateError(
            f"drivers that files may misuse cannot be taken from {module.__name__}: {error}",
            hint="install rasterio and pyogrio from their wheels, or build them against a shared "
            "GDAL of 3.8 or newer",
        ) from error
    return library
