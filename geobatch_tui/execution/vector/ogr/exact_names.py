"""Names of files as GDAL is to get them: byte for byte.

pyogrio takes names for addresses. It cuts them at ``;``, drops line breaks, looks for an archive
before ``!``, and refuses bytes that are not UTF-8: so another file may be meant than was named.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, override

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import SupportsIndex

#: What a name has that pyogrio changes.
_ODD = frozenset("!;\n\r\t")
#: Before the name of a file, for OGR: the part of it from its start to its end.
WHOLE = "/vsisubfile/0,"
#: What OGR knows GML by, among so many bytes.
_GML = (b"opengis.net/gml", b"<csw:GetRecordsResponse")
_HEAD = 4096


class _Exact(str):
    """A name that pyogrio hands on: as GDAL's own names, which it knows by how they start."""

    __slots__ = ()

    @override
    def __str__(self) -> str:
        return self

    @override
    def startswith(self, prefix: str | tuple[str, ...], *ends: SupportsIndex | None) -> bool:
        return prefix == "/vsi" or super().startswith(prefix, *ends)

    @override
    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return os.fsencode(super().__str__())


def plain(name: str) -> str:
    """Return ``name`` without signs that pyogrio would change."""
    return "".join("_" if sign in _ODD else sign for sign in name)


def exact(place: str | Path) -> str:
    """Return ``place``, what OGR opens, so that pyogrio reads by it as it is.

    GML is read as a part of a file, the whole: OGR can make no file beside that. Else it writes a
    schema beside the source (.gfs), through a link too, and the option against it is for none of
    pyogrio's ways to list layers.
    """
    return _Exact(f"{WHOLE}{place}" if _may_be_gml(os.fspath(place)) else place)


def _may_be_gml(place: str) -> bool:
    try:
        with open(place, "rb") as file:  # noqa: PTH123 - odd bytes in names
            head = file.read(_HEAD)
    except OSError:  # of OGR's own names, or said by OGR
        return False
    marked = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
    return marked and (place.lower().endswith(".gml") or any(sign in head for sign in _GML))


@contextmanager
def writable(path: Path) -> Iterator[str]:
    """Give ``path`` a name of plain text, which is all that pyogrio takes to write. The folder of
    an odd name is reached through an open descriptor. Raises OSError if it is not there."""
    name = os.fspath(path)
    if name.isprintable() and _ODD.isdisjoint(name):
        yield name
        return
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
