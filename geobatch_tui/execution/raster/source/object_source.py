"""A raster in a store: its head as a small file for GDAL, its blocks without GDAL, and a whole copy
where neither will do.

GDAL tells what a GeoTIFF is by its directories alone. So it gets a file that ends behind the last
of them: whatever it would read beyond is an error and never a pixel.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rasterio.io import MemoryFile

from geobatch_tui.errors import (
    CorruptSourceError,
    GeobatchError,
    UnsafeInputError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.io.disk import replacing
from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.encode.tiff_tag import TiffForm
from geobatch_tui.execution.raster.source import magic
from geobatch_tui.execution.raster.source.block_file import object_at
from geobatch_tui.execution.sources.object_sources import (
    MASK,
    METADATA,
    WORLD,
    key_beside,
    version_in,
)
from geobatch_tui.execution.stores import local_copy
from geobatch_tui.execution.stores.network_faults import RangesRefusedError
from geobatch_tui.execution.stores.object_url import ObjectUrl, relative_name, shown
from geobatch_tui.execution.stores.reading import foreseen, kept_heads
from geobatch_tui.execution.stores.store_client import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from geobatch_tui.execution.protocol.messages import SourceIdentity
    from geobatch_tui.execution.stores.reading.object_file import ObjectFile
    from geobatch_tui.execution.stores.store_client import Version

#: Bytes of the largest head that is fetched without the rest.
LARGEST_HEAD = 16 * 2**20
_MOST_DIRECTORIES = 256
#: Bytes of a value, by TIFF's types.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
#: The tag of a whole matrix, and its values; values of a tie point; TIFF's number of doubles.
_TRANSFORMATION, _MATRIX, _TIEPOINT, _DOUBLE = 34264, 16, 6, 12
#: Where GDAL has files in memory.
IN_MEMORY = "/vsimem/"
#: Tags that lead to further directories.
_LEADING = frozenset({330, 34665, 34853, 40965})


@contextlib.contextmanager
def as_file(
    text: str, *, head: bool, wanted: Version | None = None, alone: bool = False
) -> Iterator[str]:
    """Yield the path of a file for GDAL with the bytes of the object at a URL; with ``head`` it may
    hold no more than the directories of a GeoTIFF, and lie in GDAL's memory (:data:`IN_MEMORY`).
    ``alone``: it is known that nothing lies beside it. Errors inside name the URL.

    Raises:
        SourceChangedError: the object is not the one that is ``wanted``.
        and as ``local_copy``.
    """
    url = ObjectUrl.of(text)
    beside = {} if alone else _ask_beside(url, head=head)
    version, data = _looked_at(url, wanted, head=head)
    with contextlib.ExitStack() as stack:
        if data is None:
            name = str(local_copy.local_copy(url, version))
        elif alone or beside[METADATA].result() is None:
            name = stack.enter_context(MemoryFile(data, ext=".tif")).name
        else:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="head-", dir=local_copy.directory())
            )
            suffix = Path(relative_name(url.name)).suffix.lower()
            name = str(Path(folder, "head.tiff" if suffix == ".tiff" else "head.tif"))
            Path(name).write_bytes(data)
        if head and not alone:
            _refuse_beside(url, beside, placed=data is not None and is_placed(object_at(text)))
        if not alone:
            _take_metadata(url, name, beside)
        try:
            yield name
        except GeobatchError as error:
            error.args = (error.message.replace(name, shown(text)), *error.args[1:])
            raise


def _ask_beside(url: ObjectUrl, *, head: bool) -> dict[str, Future[Version | None]]:
    """Ask for the versions of objects beside one, by what their names end in."""
    endings = (MASK, METADATA) if head else (METADATA,)
    return {ending: _version_beside(url, ending) for ending in endings}


def _version_beside(url: ObjectUrl, ending: str) -> Future[Version | None]:
    beside = _named(url, ending)
    return foreseen.taken(beside, client_of(beside).version_if_there, beside)


def _named(url: ObjectUrl, ending: str) -> ObjectUrl:
    return ObjectUrl(url.root, key_beside(url.key, ending))


def _refuse_beside(
    url: ObjectUrl, beside: dict[str, Future[Version | None]], *, placed: bool
) -> None:
    """Raise UnsupportedFormatError if there are objects beside one that are part of it, as a mask
    or a world file is, and are not read. A GeoTIFF that is ``placed`` needs no world file."""
    asked = {MASK: beside[MASK]}
    asked |= {} if placed else {ending: _version_beside(url, ending) for ending in WORLD}
    there = [_named(url, ending) for ending, one in asked.items() if one.result() is not None]
    if there:
        raise UnsupportedFormatError(
            f"{shown(str(url))} has {shown(there[0].name)} beside it, which is part "
            "of it and is not read from a store yet",
            hint="fetch both to a local disk, or write them into one GeoTIFF (gdal_translate)",
        )


def _take_metadata(url: ObjectUrl, name: str, beside: dict[str, Future[Version | None]]) -> None:
    """Put GDAL's own metadata of an object, if there are any, beside the file ``name``."""
    source, target = _named(url, METADATA), Path(f"{name}{METADATA}")
    version = beside[METADATA].result()
    if version is None or not version.size or target.exists():
        return
    if version.size > LARGEST_HEAD:
        raise UnsafeInputError(f"{shown(str(source))} has {version.size} bytes")
    with replacing(target) as file:
        file.write(client_of(source).read_bytes(source, 0, version.size, wanted=version))


def _looked_at(
    url: ObjectUrl, wanted: Version | None, *, head: bool
) -> tuple[Version, bytes | None]:
    """Return the version of an object, and its head, if that is enough for GDAL."""
    if wanted is not None and not head:
        return wanted, None
    try:
        file = object_at(str(url), wanted)
    except RangesRefusedError:
        return wanted or client_of(url).version(url), None
    file.seek(0)
    first = file.read(magic.HEAD_BYTES)
    if first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"<VRTDataset" in first:
        raise UnsafeInputError(
            f"{shown(str(url))} is a VRT, which names other files; those of a store are not "
            "followed",
            hint="give the files that it names, or build a VRT on a local disk",
        )
    end = directories_end(file) if head and first.startswith(magic.TIFF) else 0
    if not end:
        return file.version, None
    file.seek(0)
    return file.version, file.read(end)


def foresee(text: str, wanted: Version | None, *, beside: bool = False) -> None:
    """Begin to ask for what a task will need that waits: the head of the version of the object at a
    URL that is ``wanted`` (None: any), and, for a probe, what lies ``beside`` it."""
    with contextlib.suppress(GeobatchError):  # whoever opens it says what is wrong
        url = ObjectUrl.of(text)
        kept_heads.foresee(url, wanted)
        for ending in (MASK, METADATA) if beside else ():
            other = _named(url, ending)
            foreseen.begin(other, client_of(other).version_if_there, other)


def drop_copy(source: str, identity: SourceIdentity) -> None:
    """Remove the copy of the object at the URL ``source``, if there is one."""
    local_copy.drop(ObjectUrl.of(source), version_in(identity))


def directories_end(file: ObjectFile) -> int:
    """Return where the last directory of a TIFF ends, with all its values; 0 if that is far behind
    the beginning, or cannot be told, so that only the whole file will do."""
    try:
        return _walk(file)
    except (struct.error, KeyError, CorruptSourceError):
        return 0


def _walk(file: ObjectFile) -> int:
    form, offset, end = _form(file)
    seen = 0
    while offset:
        seen += 1
        entries, offset, after = _entries(file, form, offset)
        end = max(end, after)
        for code, kind, values, inline in entries:
            length = _SIZES[kind] * values
            if code in _LEADING:
                return 0
            if length > form.inline:
                end = max(end, struct.unpack(form.pointer, inline)[0] + length)
        if end > min(LARGEST_HEAD, file.size) or offset > LARGEST_HEAD or seen > _MOST_DIRECTORIES:
            return 0
    return end


def is_placed(file: ObjectFile) -> bool:
    """Whether the first directory of a TIFF says where its pixels lie on the ground, so that GDAL
    asks no world file."""
    try:
        form, offset, _ = _form(file)
        found = {entry[0]: entry for entry in _entries(file, form, offset)[0]}
        if _TRANSFORMATION in found:
            return found[_TRANSFORMATION][2] >= _MATRIX
        _, kind, values, inline = found[tag.MODEL_PIXEL_SCALE]
        if found[tag.MODEL_TIE_POINT][2] < _TIEPOINT or kind != _DOUBLE or values < 2:
            return False
        (where,) = struct.unpack(form.pointer, inline)
        return all(struct.unpack(f"{form.order}2d", _bytes(file, where, 16)))
    except (struct.error, KeyError):
        return False


def _form(file: ObjectFile) -> tuple[TiffForm, int, int]:
    """Return the form of a TIFF, the place of its first directory, and the end of its header."""
    head = _bytes(file, 0, 16)
    order = "<" if head[:2] == b"II" else ">"
    form = TiffForm(order, struct.unpack_from(order + "H", head, 2)[0] == 43)
    (offset,) = struct.unpack_from(form.pointer, head, 8 if form.big else 4)
    return form, offset, 16


def _entries(
    file: ObjectFile, form: TiffForm, offset: int
) -> tuple[list[tuple[int, int, int, bytes]], int, int]:
    """Return the entries of a directory (tag, type, number of values, value or its place), the
    place of the next directory, and the end of this one."""
    counter, step = struct.calcsize(form.counter), struct.calcsize(form.entry)
    (count,) = struct.unpack(form.counter, _bytes(file, offset, counter))
    size = count * step
    data = _bytes(file, offset + counter, size + struct.calcsize(form.pointer))
    entries = list(struct.iter_unpack(form.entry, data[:size]))
    (following,) = struct.unpack_from(form.pointer, data, size)
    return entries, following, offset + counter + len(data)


def _bytes(file: ObjectFile, offset: int, count: int) -> bytes:
    """Raises struct.error where a directory lies beyond the end, or claims to be vast."""
    if offset + count > min(LARGEST_HEAD, file.size):
        raise struct.error
    file.seek(offset)
    return file.read(count)
