"""A zip archive with one vector file in it, read where it is: nothing is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import PurePosixPath

from geobatch_tui.errors import (
    CorruptSourceError,
    SchemaError,
    UnsafeInputError,
    UnsupportedFormatError,
)
from geobatch_tui.execution import sources

MAGIC = b"PK\x03\x04"
#: Drivers for the names of files. GeoJSON text sequences are not among them: records that OGR
#: leaves out could not be counted.
_DRIVERS = {
    ".shp": ("ESRI Shapefile",),
    ".gpkg": ("GPKG", "SQLite"),
    ".fgb": ("FlatGeobuf",),
    ".geojson": ("GeoJSON",),
    ".json": ("GeoJSON",),
    ".csv": ("CSV",),
    ".kml": ("KML", "LIBKML"),
    ".gml": ("GML",),
    ".gdb": ("OpenFileGDB",),
}
#: A file that unpacks to more than this many bytes, and so many times its own, is no data.
_LARGE, _RATIO = 2**28, 500


def is_inside(place: str) -> bool:
    """Whether what OGR opens lies in an archive."""
    return place.startswith("/vsi")


def look_into(path: str) -> tuple[str, tuple[str, ...], int]:
    """GDAL's name of the one vector file in an archive, drivers that may open it, and its size
    unpacked, with the files beside it that have its name.

    Raises:
        UnsupportedFormatError: there is none.
        SchemaError: there are several.
        UnsafeInputError: a name leads out of the archive, a file is encrypted, or is a bomb.
        CorruptSourceError: the archive cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = [each for each in archive.infolist() if not each.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise CorruptSourceError(f"{path} cannot be read: {error}") from error
    for each in files:
        _refuse_unsafe(path, each)
    found = sorted({str(one) for each in files for one in _vectors(PurePosixPath(each.filename))})
    if not found:
        raise UnsupportedFormatError(f"{path} has no vector file that is read here")
    if len(found) > 1:
        raise SchemaError(
            f"{path} has {len(found)} vector files: {', '.join(map(repr, found[:20]))}",
            hint="unpack it, and give the files",
        )
    (name,) = found
    one = PurePosixPath(name)
    beside = {one.with_suffix(""), one}
    size = sum(
        each.file_size
        for each in files
        if not {
            PurePosixPath(each.filename),
            PurePosixPath(each.filename).with_suffix(""),
            *PurePosixPath(each.filename).parents,
        }.isdisjoint(beside)
    )
    return f"/vsizip/{{{path}}}/{name}", _DRIVERS[one.suffix.lower()], size


def _vectors(name: PurePosixPath) -> list[PurePosixPath]:
    """The vector file that a file in an archive is, or is a part of, if any."""
    if any(part.startswith((".", "__MACOSX")) for part in name.parts):
        return []
    whole = [one for one in name.parents if one.suffix.lower() in sources.DIRECTORIES]
    return whole[-1:] or [name] * (name.suffix.lower() in _DRIVERS)


def _refuse_unsafe(path: str, each: zipfile.ZipInfo) -> None:
    name = PurePosixPath(each.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in each.filename:
        raise UnsafeInputError(f"{path}: {each.filename!r} leads out of the archive")
    if each.flag_bits & 1:
        raise UnsafeInputError(f"{path}: {each.filename!r} is encrypted")
    if each.file_size > max(_LARGE, _RATIO * each.compress_size):
        raise UnsafeInputError(
            f"{path}: {each.filename!r} unpacks to {each.file_size:,} bytes, "
            f"{each.file_size // max(each.compress_size, 1)} times its own"
        )
