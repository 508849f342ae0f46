"""Checks the files beside a raster that GDAL opens with it.

GDAL finds a mask, an overview or an ``.aux`` file by its name and opens it by any of its drivers,
as the file's content decides. So each must begin as a file of its kind.
"""

from __future__ import annotations

import os
import stat

from geobatch_tui.errors import UnsafeInputError
from geobatch_tui.execution.raster.source.magic import TIFF

_IMAGES = (".msk", ".MSK", ".ovr", ".OVR")
_AUX = (".aux", ".AUX")
#: GDAL takes an ``.aux`` that begins by these letters in any case. The driver VRT, which is asked
#: first, looks for its own element in what follows, up to a zero.
_HFA = b"EHFA_HEADER_TAG"
#: Text that GDAL reads from its beginning to its end.
_BEHIND = (".aux.xml", ".hdr", ".tfw", ".wld")
_INSTEAD = (".hdr", ".tfw", ".wld", ".prj", ".jgw", ".pgw", ".clr", ".rrd")


def refuse_unsafe(path: str) -> None:
    """Raise UnsafeInputError if a file beside the raster ``path`` would be opened by a driver that
    only its content chooses, or is no regular file.

    It runs for each of thousands of small rasters, so paths are text here.
    """
    stem = os.path.splitext(path)[0]  # noqa: PTH122
    for suffix in _IMAGES:
        image = path + suffix
        head = _head(image)
        if head is None:
            continue
        if not head.startswith(TIFF):
            raise UnsafeInputError(
                f"{image} is no TIFF, as a mask or overview beside a raster has to be",
                hint="GDAL would open it as whatever it says it is: remove it, or write it anew "
                "(gdaladdo -ro, gdal_translate -co COMPRESS=DEFLATE)",
            )
        refuse_unsafe(image)  # which may have overviews of its own
    for place in (stem, path):
        for suffix in _AUX:
            head = _head(place + suffix) or b""
            if head[: len(_HFA)].upper() == _HFA and head != _HFA + b"\0":
                raise UnsafeInputError(
                    f"{place}{suffix} begins as an HFA file and is none", hint="remove it"
                )
    for place, suffixes in ((path, _BEHIND), (stem, _INSTEAD)):
        for suffix in suffixes:
            _mode(place + suffix)


def _mode(path: str) -> int:
    """Return the mode of the file at ``path``; 0 if there is none. Raises UnsafeInputError if it is
    a pipe or a device, which GDAL would wait for."""
    if not os.access(path, os.F_OK):  # of most: an error takes longer than to look
        return 0
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return 0
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnsafeInputError(f"{path} is no regular file", hint="remove it")
    return mode


def _head(path: str) -> bytes | None:
    """Return the first bytes of a file, none of a directory; None if it is not there or may not be
    read."""
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
