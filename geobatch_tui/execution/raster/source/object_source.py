"""A raster in a store: its head as a small file for GDAL, its blocks without GDAL, and a whole copy
where neither will do.

GDAL tells what a GeoTIFF is by its directories alone. So it gets a file that ends behind the last
of them: whatever it would read beyond is an error and never a pixel.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from geobatch_tui.errors import (
    CorruptSourceError,
    GeobatchError,
    UnsafeInputError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.io.disk import replacing
from geobatch_tui.execution.raster.encode.tiff_tag import TiffForm
from geobatch_tui.execution.raster.source import magic
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.stores import local_copy
from geobatch_tui.execution.stores.network_faults import RangesRefusedError
from geobatch_tui.execution.stores.object_file import ObjectFile
from geobatch_tui.execution.stores.object_url import ObjectUrl, is_url, relative_name, shown
from geobatch_tui.execution.stores.store_client import client_of, submit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from geobatch_tui.execution.protocol.messages import SourceIdentity
    from geobatch_tui.execution.stores.store_client import Version

#: Bytes of the largest head that is fetched without the rest.
LARGEST_HEAD = 16 * 2**20
_MOST_DIRECTORIES = 256
#: Bytes of a value, by TIFF's types.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
#: Georeference in files beside an image.
_WORLD = (".tfw", ".wld", ".pgw", ".jgw")
#: Tags that lead to further directories.
_LEADING = frozenset({330, 34665, 34853, 40965})


class BlockFile(Protocol):
    """A file, or an object, whose blocks are read by their places."""

    def expect(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Prepare for these blocks, (start, end) in bytes, to be read next."""
        ...

    def turn_to(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Forget what was expected, and prepare for these blocks, to be read in several calls."""
        ...

    def pread(self, count: int, offset: int) -> bytes:
        """Read ``count`` bytes from ``offset`` on; fewer at the end of a file."""
        ...


class LocalBlocks:
    """The blocks of a file on a disk: the system reads ahead."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def expect(self, ranges: Iterable[tuple[int, int]]) -> None:
        del ranges

    turn_to = expect

    def pread(self, count: int, offset: int) -> bytes:
        return os.pread(self.fd, count, offset)


class _Last(threading.local):
    """The object that a thread opened last: its head is asked for by several readers in turn."""

    text: str = ""
    file: ObjectFile | None = None


_last = _Last()


def object_at(text: str, wanted: Version | None = None) -> ObjectFile:
    """Open the object at a URL, or return it as it is open in this thread; errors as
    ``ObjectFile.open``."""
    file = _last.file
    if file is None or _last.text != text or (wanted and not file.version.is_same(wanted)):
        forget()
        file = _last.file = ObjectFile.open(text, wanted)
        _last.text = text
    return file


def forget() -> None:
    """Close the object that is open in this thread."""
    file, _last.file = _last.file, None
    if file is not None:
        file.close()


def open_bytes(path: str | Path) -> contextlib.AbstractContextManager[BinaryIO | ObjectFile]:
    """Open a file, or the object at a URL, to read its head."""
    if isinstance(path, str) and is_url(path):
        return contextlib.nullcontext(object_at(path))
    return Path(path).open("rb")


def size_of(path: str) -> int:
    """Return the bytes of a source that was opened before."""
    return object_at(path).size if is_url(path) else os.stat(path).st_size  # noqa: PTH116


def byte_size(file: BinaryIO | ObjectFile) -> int:
    """Return the bytes of an open file."""
    return file.size if isinstance(file, ObjectFile) else os.fstat(file.fileno()).st_size


@contextlib.contextmanager
def as_file(text: str, *, head: bool, wanted: Version | None = None) -> Iterator[str]:
    """Yield the path of a file for GDAL with the bytes of the object at a URL; with ``head`` it may
    hold no more than the directories of a GeoTIFF. Errors inside name the URL.

    Raises:
        SourceChangedError: the object is not the one that is ``wanted``.
        and as ``local_copy``.
    """
    url, version, data = _looked_at(text, wanted, head=head)
    with contextlib.ExitStack() as stack:
        if data is None:
            name = str(local_copy.local_copy(url, version))
        else:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="head-", dir=local_copy.directory())
            )
            suffix = Path(relative_name(url.name)).suffix.lower()
            name = str(Path(folder, "head.tiff" if suffix == ".tiff" else "head.tif"))
            Path(name).write_bytes(data)
        if head:
            _refuse_beside(url)
        _take_metadata(url, name)
        try:
            yield name
        except GeobatchError as error:
            error.args = (error.message.replace(name, shown(text)), *error.args[1:])
            raise


def _refuse_beside(url: ObjectUrl) -> None:
    """Raise UnsupportedFormatError if there are objects beside one that are part of it, as a mask
    or a world file is, and are not read."""
    client, stem = client_of(url), url.key.removesuffix(Path(url.name).suffix)
    names = [f"{url.key}.msk", *(stem + suffix for suffix in _WORLD)]
    asked = [submit(client.version_if_there, ObjectUrl(url.root, name)) for name in names]
    there = [name for name, one in zip(names, asked, strict=True) if one.result() is not None]
    if there:
        raise UnsupportedFormatError(
            f"{shown(str(url))} has {shown(there[0].rpartition('/')[2])} beside it, which is part "
            "of it and is not read from a store yet",
            hint="fetch both to a local disk, or write them into one GeoTIFF (gdal_translate)",
        )


def _take_metadata(url: ObjectUrl, name: str) -> None:
    """Put GDAL's own metadata of an object, if there are any, beside the file ``name``."""
    beside = ObjectUrl(url.root, f"{url.key}.aux.xml")
    target = Path(f"{name}.aux.xml")
    if target.exists():
        return
    client = client_of(beside)
    version = client.version_if_there(beside)
    if version is None or not version.size:
        return
    if version.size > LARGEST_HEAD:
        raise UnsafeInputError(f"{shown(str(beside))} has {version.size} bytes")
    with replacing(target) as file:
        file.write(client.read_bytes(beside, 0, version.size, wanted=version))


def _looked_at(
    text: str, wanted: Version | None, *, head: bool
) -> tuple[ObjectUrl, Version, bytes | None]:
    """Return the URL and version of an object, and its head, if that is enough for GDAL."""
    url = ObjectUrl.of(text)
    if wanted is not None and not head:
        return url, wanted, None
    try:
        file = object_at(text, wanted)
    except RangesRefusedError:
        return url, wanted or client_of(url).version(url), None
    file.seek(0)
    first = file.read(magic.HEAD_BYTES)
    if first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"<VRTDataset" in first:
        raise UnsafeInputError(
            f"{shown(text)} is a VRT, which names other files; those of a store are not followed",
            hint="give the files that it names, or build a VRT on a local disk",
        )
    end = directories_end(file) if head and first.startswith(magic.TIFF) else 0
    if not end:
        return url, file.version, None
    file.seek(0)
    return url, file.version, file.read(end)


def drop_copy(source: str, identity: SourceIdentity) -> None:
    """Remove the copy of an object whose item is finished, if there is one."""
    if is_url(source):
        local_copy.drop(ObjectUrl.of(source), version_in(identity))


def directories_end(file: ObjectFile) -> int:
    """Return where the last directory of a TIFF ends, with all its values; 0 if that is far behind
    the beginning, or cannot be told, so that only the whole file will do."""
    try:
        return _walk(file)
    except (struct.error, KeyError, CorruptSourceError):
        return 0


def _walk(file: ObjectFile) -> int:
    head = _bytes(file, 0, 16)
    order = "<" if head[:2] == b"II" else ">"
    form = TiffForm(order, struct.unpack_from(order + "H", head, 2)[0] == 43)
    (offset,) = struct.unpack_from(form.pointer, head, 8 if form.big else 4)
    end, seen = 16, 0
    counter, step = struct.calcsize(form.counter), struct.calcsize(form.entry)
    while offset:
        seen += 1
        (count,) = struct.unpack(form.counter, _bytes(file, offset, counter))
        tail = struct.calcsize(form.pointer)
        data = _bytes(file, offset + counter, count * step + tail)
        end = max(end, offset + counter + len(data))
        for start in range(0, count * step, step):
            code, kind, values, inline = struct.unpack_from(form.entry, data, start)
            length = _SIZES[kind] * values
            if code in _LEADING:
                return 0
            if length > form.inline:
                end = max(end, struct.unpack(form.pointer, inline)[0] + length)
        (offset,) = struct.unpack_from(form.pointer, data, count * step)
        if end > min(LARGEST_HEAD, file.size) or offset > LARGEST_HEAD or seen > _MOST_DIRECTORIES:
            return 0
    return end


def _bytes(file: ObjectFile, offset: int, count: int) -> bytes:
    """Raises struct.error where a directory lies beyond the end, or claims to be vast."""
    if offset + count > min(LARGEST_HEAD, file.size):
        raise struct.error
    file.seek(offset)
    return file.read(count)
