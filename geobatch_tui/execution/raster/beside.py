"""Looks at the files beside a raster that GDAL opens with it.

GDAL takes a mask, an overview or an ``.aux`` file by its name and opens it by any of its drivers;
what the file says decides which. So each has to begin as what it is for.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from geobatch_tui.errors import UnsafeInputError

_IMAGES = (".msk", ".MSK", ".ovr", ".OVR")
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_AUX = (".aux", ".AUX")
#: GDAL takes an ``.aux`` that begins by these letters in any case. The driver VRT, which is asked
#: first, looks for its own element in what follows, up to a zero.
_HFA = b"EHFA_HEADER_TAG"
#: Text that GDAL reads from its beginning to its end.
_BEHIND = (".aux.xml", ".hdr", ".tfw", ".wld")
_INSTEAD = (".hdr", ".tfw", ".wld", ".prj", ".jgw", ".pgw", ".clr", ".rrd")


def refuse_unsafe(path: Path) -> None:
    """Raises UnsafeInputError if a file beside the raster ``path`` would be opened by a driver that
    only its content chooses, or is no regular file."""
    for suffix in _IMAGES:
        image = Path(f"{path}{suffix}")
        head = _head(image)
        if head is None:
            continue
        if not head.startswith(_TIFF):
            raise UnsafeInputError(
                f"{image} is no TIFF, as a mask or overview beside a raster has to be",
                hint="GDAL would open it as whatever it says it is: remove it, or write it anew "
                "(gdaladdo -ro, gdal_translate -co COMPRESS=DEFLATE)",
            )
        refuse_unsafe(image)  # which may have overviews of its own
    for aux in (*map(path.with_suffix, _AUX), *(Path(f"{path}{suffix}") for suffix in _AUX)):
        head = _head(aux) or b""
        if head[: len(_HFA)].upper() == _HFA and head != _HFA + b"\0":
            raise UnsafeInputError(f"{aux} begins as an HFA file and is none", hint="remove it")
    for text in (
        *(Path(f"{path}{suffix}") for suffix in _BEHIND),
        *map(path.with_suffix, _INSTEAD),
    ):
        _mode(text)


def _mode(path: Path) -> int:
    """Mode of the file at ``path``; 0 if there is none. Raises UnsafeInputError if it is a pipe or
    a device, which GDAL would wait for."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return 0
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnsafeInputError(f"{path} is no regular file", hint="remove it")
    return mode


def _head(path: Path) -> bytes | None:
    """The first bytes of a file, none of a directory; None if it is not there or may not be read,
    by GDAL neither."""
    if not (mode := _mode(path)):
        return None
    if stat.S_ISDIR(mode):
        return b""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, len(_HFA) + 1)
    finally:
        os.close(fd)
