"""Chooses by a file's first bytes the GDAL driver that may open it.

GDAL tries each of its drivers on any file, and some of them open other files, URLs or commands that
the file names. Here the bytes decide, and the driver is then pinned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.errors import UnsafeInputError, UnsupportedFormatError

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes that :func:`driver_of` needs to see.
HEAD_BYTES = 512

#: Beginnings of a TIFF: little-endian or big-endian, classic or BigTIFF.
TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_MAGIC = {
    "GTiff": TIFF,
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "JP2OpenJPEG": (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "HFA": (b"EHFA_HEADER_TAG",),
    "netCDF": (b"CDF\x01", b"CDF\x02", b"CDF\x05"),
    "HDF5": (b"\x89HDF\r\n\x1a\n",),
    "GRIB": (b"GRIB",),
    "GIF": (b"GIF8",),
    "BMP": (b"BM",),
    "NITF": (b"NITF", b"NSIF"),
    "DTED": (b"UHL1",),
    "AAIGrid": (b"ncols", b"NCOLS"),
}
#: Formats that need their extension too: a short or common magic, or none.
_EXTENSIONS = {"BMP": (".bmp",), "NITF": (".ntf", ".nitf", ".nsf"), "GRIB": ()}
_NETCDF = (".nc", ".nc4", ".cdf")
_HGT_BYTES = {1201 * 1201 * 2, 3601 * 3601 * 2, 1801 * 3601 * 2}

_DISGUISES: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML document"),
    (b"<", "XML or HTML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"pk\x03\x04", "a ZIP archive: unpack it first"),
    (b"\x1f\x8b", "gzip: unpack it first"),
    (b"%pdf", "a PDF"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself"),
)


def driver_of(path: Path, head: bytes, *, size: int, allow_vrt: bool) -> str:
    """Return the one GDAL driver that may open ``path``, whose first bytes are ``head``.

    ``size`` is that of the file, in bytes.

    Raises:
        UnsupportedFormatError: empty, disguised, or in no format that this project reads.
        UnsafeInputError: a VRT, and ``allow_vrt`` is not set; a link with an ENVI header.
    """
    if not head:
        raise UnsupportedFormatError(f"{path} is empty (0 bytes)")
    if _is_vrt(head):
        if not allow_vrt:
            raise UnsafeInputError(
                f"{path} is a VRT, which can name any other file",
                hint="set source.allow_vrt = true if you trust it",
            )
        return "VRT"
    suffix = path.suffix.lower()
    for driver, magics in _MAGIC.items():
        if head.startswith(magics) and suffix in (_EXTENSIONS.get(driver) or (suffix,)):
            return "netCDF" if driver == "HDF5" and suffix in _NETCDF else driver
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if suffix == ".hgt" and size in _HGT_BYTES:
        return "SRTMHGT"
    if _has_envi_header(path):
        if path.is_symlink():
            raise UnsafeInputError(
                f"{path} is a link, and the ENVI header beside it would make a raster of any file",
                hint="put header and data side by side, or name the file that the link leads to",
            )
        return "ENVI"
    raise UnsupportedFormatError(f"{path} is no raster that geobatch reads: {describe(head)}")


def describe(head: bytes) -> str:
    """Describe the first bytes, for a message."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, name in _DISGUISES:
        if start.startswith(magic):
            return f"it holds {name} (first bytes {head[:24]!r})"
    return f"its first bytes are {head[:24]!r}"


def _is_vrt(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    # An XML declaration or comments may come first; GDAL looks for the element in its header too.
    return start.startswith(b"<") and b"<VRTDataset" in start


def _has_envi_header(path: Path) -> bool:
    for header in (path.with_suffix(".hdr"), path.with_name(path.name + ".hdr")):
        try:
            with header.open("rb") as file:
                if file.read(4) == b"ENVI":
                    return True
        except OSError:
            continue
    return False
