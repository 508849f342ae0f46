"""An object as a file for libraries that read files by themselves: what they ask for, and no more.

Each read is of the version that was planned. Parts that are named beforehand come by a few requests
at once, and each is kept until it is read.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from geobatch_tui.execution.stores.reading import object_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geobatch_tui.execution.stores.store_client import Range, Version

#: Bytes of the longest read that is kept for the process, as directories at an object's end are.
MOST_KEPT = 2**20


class ObjectStream(io.RawIOBase):
    """The bytes of one version of an object; belongs to one thread at a time.

    Reads raise as the client's ``read``.
    """

    def __init__(self, text: str, wanted: Version) -> None:
        super().__init__()
        self._file = object_file.ObjectFile.open(text, wanted)
        self._expected: set[Range] = set()
        self._at = 0

    def expect(self, ranges: Iterable[Range]) -> None:
        """Fetch these parts, (start, end) in bytes, each of which will be read once and whole."""
        ranges = [one for one in ranges if one not in self._expected]
        self._expected.update(ranges)
        self._file.expect(ranges)

    def read(self, count: int | None = -1, /) -> bytes:
        start = self._at
        end = self._file.size if count is None or count < 0 else start + count
        end = min(end, self._file.size)
        if end <= start:
            return b""
        if (start, end) in self._expected or end - start > MOST_KEPT:
            self._expected.discard((start, end))
            data = self._file.pread(end - start, start)
        else:
            self._file.seek(start)
            data = self._file.read(end - start)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        """Return the bytes of the object."""
        return self._file.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
