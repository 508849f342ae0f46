"""Files that need not be put together to be read: the places of their bytes, in order.

A finished output that goes to a store has nearly all of its bytes in the spools of its chunks. Its
part file holds the rest, and behind that the table of its pieces::

    bytes that no spool has
    table: for each piece the number of its file (0: this one, n: the n-th spool), offset, length
    end:   magic, bytes before the table, pieces, CRC-32 of table and counts

Which spools these are is told by whoever made it, and not by the file.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from typing import TYPE_CHECKING

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io.disk import fill, read_exactly, write_all

if TYPE_CHECKING:
    from collections.abc import Buffer, Iterable, Sequence
    from pathlib import Path

MAGIC = b"GBPIECE1"
_COUNTS, _CRC = struct.Struct("=8sQQ"), struct.Struct("=I")
_END = _COUNTS.size + _CRC.size
#: Files that one reader has open at once; there may be a spool for each worker of each run.
OPEN = 16

Piece = tuple[int, int, int]


def write_table(fd: int, own: int, pieces: Iterable[Piece]) -> None:
    """Write the table of pieces behind the ``own`` bytes of a part file. Raises OSError."""
    table = array("q")
    count = 0
    for number, offset, length in joined(pieces):
        table.extend((number, offset, length))
        count += 1
    body = table.tobytes() + _COUNTS.pack(MAGIC, own, count)
    write_all(fd, body + _CRC.pack(zlib.crc32(body)))


def joined(pieces: Iterable[Piece]) -> Iterable[Piece]:
    """Yield pieces, those that follow each other in their file as one."""
    last: Piece | None = None
    for number, offset, length in pieces:
        if last is not None and (number, offset) == (last[0], last[1] + last[2]):
            last = number, last[1], last[2] + length
            continue
        if last is not None:
            yield last
        last = number, offset, length
    if last is not None:
        yield last


class PiecedFile(io.RawIOBase):
    """Reads such a file as if it were one. For one thread.

    Raises:
        VerifyError: the table is damaged, or a piece lies beyond the end of its file.
        OSError: a file cannot be opened or read.
    """

    def __init__(self, path: Path, spools: Sequence[Path]) -> None:
        super().__init__()
        self._paths = [path, *spools]
        self._fds: OrderedDict[int, int] = OrderedDict()
        self._place = 0
        try:
            self._numbers, self._offsets, lengths = self._table()
        except BaseException:
            self.close()
            raise
        #: Where each piece begins, and at last the size of the whole.
        self._starts = array("q", accumulate(lengths, initial=0))

    def _table(self) -> tuple[array[int], array[int], array[int]]:
        fd, name = self._fd(0), self._paths[0].name
        wrong = VerifyError(f"{name!r}: the table of its pieces is damaged")
        size = os.fstat(fd).st_size
        if size < _END:
            raise wrong
        end = read_exactly(fd, size - _END, _END)
        magic, own, count = _COUNTS.unpack(end[: _COUNTS.size])
        if magic != MAGIC or own + count * 3 * 8 + _END != size:
            raise wrong
        body = read_exactly(fd, own, count * 3 * 8)
        if zlib.crc32(body + end[: _COUNTS.size]) != _CRC.unpack(end[_COUNTS.size :])[0]:
            raise wrong
        table = array("q", body)
        if count and (min(table) < 0 or max(table[::3]) >= len(self._paths)):
            raise wrong
        return table[::3], table[1::3], table[2::3]

    def _fd(self, number: int) -> int:
        if number in self._fds:
            self._fds.move_to_end(number)
            return self._fds[number]
        if len(self._fds) >= OPEN:
            os.close(self._fds.popitem(last=False)[1])
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = self._fds[number] = os.open(self._paths[number], flags)
        return fd

    @property
    def name(self) -> str:
        """The name of the part file."""
        return self._paths[0].name

    @property
    def size(self) -> int:
        return self._starts[-1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("there is nothing before the file's start")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer``, but for what lies beyond the end; return how many bytes it got."""
        view = memoryview(buffer).cast("B")
        view = view[: max(self.size - self._place, 0)]
        done = 0
        at = bisect_right(self._starts, self._place) - 1
        while done < len(view):
            within = self._place - self._starts[at]
            length = min(self._starts[at + 1] - self._place, len(view) - done)
            fd = self._fd(self._numbers[at])
            fill(fd, self._offsets[at] + within, view[done : done + length])
            done += length
            self._place += length
            at += 1
        return done

    def read_at(self, offset: int, length: int) -> bytes:
        """Read ``length`` bytes from ``offset``. Raises VerifyError if the file ends before."""
        self.seek(offset)
        data = self.read(length)
        if len(data) < length:
            raise VerifyError(f"the file ends at byte {offset + len(data)}")
        return data

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])
        super().close()
