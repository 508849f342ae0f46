"""OGR's drivers that may open a vector file, by its first bytes and its name."""

from __future__ import annotations

from pathlib import Path

from geobatch_tui.errors import SourceNotFoundError, UnsafeInputError, UnsupportedFormatError
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.vector.ogr import archive

_HEAD = 4096
_BOM = b"\xef\xbb\xbf"

#: Before the name of a file, for OGR: it is a GeoJSON text sequence, whatever it looks like.
SEQUENCE = "GeoJSONSeq:"
#: What OGR may find behind the first bytes of a file.
_MAGIC = {
    b"SQLite format 3\0": ("GPKG", "SQLite"),
    b"fgb\x03fgb": ("FlatGeobuf",),
    b"PAR1": ("Parquet",),
    b"\x00\x00\x27\x0a": ("ESRI Shapefile",),
}
#: What OGR may find behind a text file with this suffix.
_TEXT = {
    ".csv": ("CSV",),
    ".kml": ("KML", "LIBKML"),
    ".gml": ("GML",),
    **dict.fromkeys((".geojson", ".json"), ("GeoJSON", "GeoJSONSeq")),
    **dict.fromkeys((".geojsonl", ".geojsons", ".ndjson", ".jsonl"), ("GeoJSONSeq", "GeoJSON")),
}


def drivers_of(path: str) -> tuple[str, ...]:
    """Return the drivers that may open ``path``, an absolute name of a source; ``Parquet`` is
    pyarrow.

    Raises:
        SourceNotFoundError, UnsafeInputError, UnsupportedFormatError.
    """
    file = Path(path)
    if not file.is_absolute() or path.startswith("/vsi") or "\0" in path:
        raise UnsafeInputError(
            f"{path!r} is not the absolute name of a file",
            hint="OGR's own syntax (/vsi..., DRIVER:name) and URLs are not taken as sources",
        )
    try:
        if source_files.is_dataset(file):
            return ("OpenFileGDB",)
        if not file.is_file():
            raise SourceNotFoundError(f"{path} does not exist or is no regular file")
        with file.open("rb") as handle:
            head = handle.read(_HEAD)
    except PermissionError as error:
        raise SourceNotFoundError(f"{path} may not be read: {error.strerror}") from error
    if not head:
        raise UnsupportedFormatError(f"{path} is empty")
    if head.startswith(archive.MAGIC):
        return archive.look_into(path)[1]
    found = _by_magic(head) or _by_text(head, file.suffix.lower())
    if not found:
        raise UnsupportedFormatError(f"{path} is no vector format that is read here")
    return found


def _by_magic(head: bytes) -> tuple[str, ...]:
    return next((drivers for magic, drivers in _MAGIC.items() if head.startswith(magic)), ())


def _by_text(head: bytes, suffix: str) -> tuple[str, ...]:
    start = head.removeprefix(_BOM).lstrip()
    if start.startswith((b"{", b"\x1e")):
        return _TEXT.get(suffix, ("GeoJSON", "GeoJSONSeq"))
    if start.startswith(b"<"):
        lowered = start.lower()
        named = b"<kml" in lowered or suffix == ".kml"
        return _TEXT[".kml"] if named else _TEXT[".gml"] if suffix == ".gml" else ()
    return _TEXT[".csv"] if suffix == ".csv" else ()


def place_of(path: str) -> str:
    """Return what OGR opens for a source: the file itself, or the one inside of a zip archive.

    Raises: as :func:`drivers_of`, which comes first.
    """
    if source_files.is_dataset(path):
        return path
    with Path(path).open("rb") as handle:
        packed = handle.read(len(archive.MAGIC)) == archive.MAGIC
    return archive.look_into(path)[0] if packed else path
