"""Names of files as GDAL is to get them: byte for byte.

pyogrio takes names for addresses. It cuts them at ``;``, drops line breaks, looks for an archive
before ``!``, and refuses bytes that are not UTF-8: so another file may be meant than was named.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, override

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What a name has that pyogrio changes.
_ODD = frozenset("!;\n\r\t")


class _Exact(str):
    """A name that pyogrio hands on: as GDAL's own names, which it knows by how they start."""

    __slots__ = ()

    @override
    def __str__(self) -> str:
        return self

    @override
    def startswith(self, prefix: Any, *ends: Any) -> bool:
        return prefix == "/vsi" or super().startswith(prefix, *ends)

    @override
    def encode(self, *how: Any, **more: Any) -> bytes:
        return os.fsencode(super().__str__())


def plain(name: str) -> str:
    """``name`` without what pyogrio would change."""
    return "".join("_" if sign in _ODD else sign for sign in name)


def exact(place: str | Path) -> str:
    """What pyogrio is to read by: ``place``, what OGR opens, as it is."""
    return _Exact(place)


@contextmanager
def writable(path: Path) -> Iterator[str]:
    """What pyogrio is to write by, while the context is: it takes nothing but plain text there.

    The folder of an odd name is reached through an open descriptor.

    Raises OSError if the folder is not there.
    """
    name = os.fspath(path)
    if name.isprintable() and _ODD.isdisjoint(name):
        yield name
        return
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
