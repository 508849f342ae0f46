"""A zip archive with one vector file in it, read where it is. It is unpacked only where the file
itself has to be looked at: for what OGR leaves out unsaid.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Self

from geobatch_tui.errors import (
    CorruptSourceError,
    SchemaError,
    UnsafeInputError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.sources import source_files

if TYPE_CHECKING:
    from collections.abc import Iterator

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
BOMB_BYTES, BOMB_RATIO = 2**28, 500
_PIECE = 1 << 20


def is_inside(place: str) -> bool:
    """Whether what OGR opens lies in an archive."""
    return place.startswith("/vsi")


@contextmanager
def opened(path: str, place: str) -> Iterator[IO[bytes]]:
    """Open the bytes of what OGR opens at ``place``: of the file ``path``, or of one in that
    archive. Raises CorruptSourceError where they cannot be unpacked."""
    if is_inside(place):
        with _files(path) as (archive, there), archive.open(there[_name(path, place)]) as member:
            yield member
    else:
        with Path(path).open("rb") as file:
            yield file


@contextmanager
def _files(path: str) -> Iterator[tuple[zipfile.ZipFile, dict[PurePosixPath, zipfile.ZipInfo]]]:
    """Open an archive, and its files by their names."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive, {PurePosixPath(each.filename): each for each in archive.infolist()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise CorruptSourceError(f"{path} cannot be unpacked: {error}") from error


def _inside(path: str) -> str:
    """Return GDAL's name of an archive's content. Braces end its name, but those in the name do,
    too."""
    odd = not {"{", "}"}.isdisjoint(path) and path.lower().endswith(".zip")
    return f"/vsizip/{path}/" if odd else f"/vsizip/{{{path}}}/"


def _name(path: str, place: str) -> PurePosixPath:
    return PurePosixPath(place.removeprefix(_inside(path)))


class Plain:
    """The file that OGR opens at ``place``, for others to read: one in the archive ``path`` is
    unpacked when first asked for, into ``folder``, until this is closed."""

    def __init__(self, path: str, place: str, folder: str | None = None) -> None:
        self.path, self.place, self._folder = path, place, folder
        self._unpacked: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._unpacked is not None:
            self._unpacked.cleanup()

    def name(self) -> str:
        """Return its name, beside which the index of a Shapefile lies.

        Raises:
            CorruptSourceError: it cannot be unpacked.
            OSError: there is no room for it.
        """
        if not is_inside(self.place):
            return self.path
        own = _name(self.path, self.place)
        others = [own.with_suffix(end) for end in (".SHX", ".shx") if own.suffix.lower() == ".shp"]
        return str(self._unpacked_as(own.suffix, own, *others))

    def beside(self, *ends: str) -> Path | None:
        """Return the file beside it whose name has one of these ``ends``, if there is one.

        Raises: as :meth:`name`.
        """
        if not is_inside(self.place):
            others = (Path(self.path).with_suffix(end) for end in ends)
            return next((one for one in others if one.exists()), None)
        own = _name(self.path, self.place)
        made = self._unpacked_as(ends[0], *map(own.with_suffix, ends))
        return made if made.exists() else None

    def _unpacked_as(self, suffix: str, *wanted: PurePosixPath) -> Path:
        """Unpack the ``wanted`` files, unless they are; return the one with ``suffix``."""
        if self._unpacked is None:
            self._unpacked = TemporaryDirectory(prefix="unpacked-", dir=self._folder)
        folder = Path(self._unpacked.name)
        made = folder / f"it{suffix.lower()}"
        if made.exists():
            return made
        with _files(self.path) as (archive, there):
            for one in wanted:
                if one in there:
                    target = folder / f"it{one.suffix.lower()}"
                    with archive.open(there[one]) as member, target.open("wb") as file:
                        shutil.copyfileobj(member, file, _PIECE)
        return made


def look_into(path: str) -> tuple[str, tuple[str, ...], int]:
    """Return GDAL's name of the one vector file in an archive, drivers that may open it, and its
    size unpacked, with the files beside it that have its name.

    Raises:
        UnsupportedFormatError: there is none.
        SchemaError: there are several.
        UnsafeInputError: a name leads out of the archive, a file is encrypted, or is a bomb.
        CorruptSourceError: the archive cannot be read.
    """
    one, members = _found(path)
    size = sum(each.file_size for each in members)
    return f"{_inside(path)}{one}", _DRIVERS[one.suffix.lower()], size


def check(path: str) -> None:
    """Read the one vector file in an archive, and what belongs to it, by the checksums. GDAL looks
    at these only where it unpacks a file from start to end.

    Raises:
        CorruptSourceError: it holds other bytes than were packed; and as :func:`look_into`.
    """
    _, members = _found(path)
    with _files(path) as (archive, _):
        for each in members:
            with archive.open(each) as member:
                while member.read(_PIECE):
                    pass


def _found(path: str) -> tuple[PurePosixPath, list[zipfile.ZipInfo]]:
    """Find the one vector file in an archive, and its files. Raises as :func:`look_into`."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = [each for each in archive.infolist() if not each.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise CorruptSourceError(f"{path} cannot be read: {error}") from error
    for each in files:
        _refuse_unsafe(path, each)
    vectors = sorted({str(one) for each in files for one in _vectors(PurePosixPath(each.filename))})
    if not vectors:
        raise UnsupportedFormatError(f"{path} has no vector file that is read here")
    if len(vectors) > 1:
        raise SchemaError(
            f"{path} has {len(vectors)} vector files: {', '.join(map(repr, vectors[:20]))}",
            hint="unpack it, and give the files",
        )
    one = PurePosixPath(vectors[0])
    members = [each for each in files if _is_of(PurePosixPath(each.filename), one)]
    names = Counter(each.filename for each in members)
    if twice := [name for name, count in names.items() if count > 1]:
        raise SchemaError(
            f"{path} has several files with the name {twice[0]!r}",
            hint="pack it anew: which one is meant is not known",
        )
    return one, members


def _is_of(name: PurePosixPath, one: PurePosixPath) -> bool:
    """Whether a file is ``one``, in it, or beside it with its name."""
    parts = {name, name.with_suffix(""), *name.parents}
    return not parts.isdisjoint({one, one.with_suffix("")})


def _vectors(name: PurePosixPath) -> list[PurePosixPath]:
    """Return the vector file that a file in an archive is, or is a part of, if any."""
    if any(part.startswith((".", "__MACOSX")) for part in name.parts):
        return []
    whole = [one for one in name.parents if one.suffix.lower() in source_files.DIRECTORIES]
    return whole[-1:] or [name] * (name.suffix.lower() in _DRIVERS)


def _refuse_unsafe(path: str, each: zipfile.ZipInfo) -> None:
    name = PurePosixPath(each.filename)
    if name.is_absolute() or ".." in name.parts:
        raise UnsafeInputError(f"{path}: {each.filename!r} leads out of the archive")
    if "\\" in each.filename:
        raise UnsafeInputError(f"{path}: {each.filename!r} may lead out: it has a backslash")
    if each.flag_bits & 1:
        raise UnsafeInputError(f"{path}: {each.filename!r} is encrypted")
    if each.file_size > max(BOMB_BYTES, BOMB_RATIO * each.compress_size):
        raise UnsafeInputError(
            f"{path}: {each.filename!r} unpacks to {each.file_size:,} bytes, "
            f"{each.file_size // max(each.compress_size, 1)} times its own"
        )
