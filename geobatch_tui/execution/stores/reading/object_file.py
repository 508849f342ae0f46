"""An object as a file to read its head from, and its blocks by their places."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from geobatch_tui.execution.stores import store_client
from geobatch_tui.execution.stores.object_url import ObjectUrl
from geobatch_tui.execution.stores.reading import kept_heads
from geobatch_tui.execution.stores.reading.read_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from geobatch_tui.execution.stores.reading.kept_heads import ObjectHead
    from geobatch_tui.execution.stores.reading.read_ahead import Batches
    from geobatch_tui.execution.stores.store_client import Range, StoreClient, Version

#: Bytes of the longest request for a directory; each asks for twice as many as the one before.
MOST = 4 * 2**20


@dataclass(slots=True)
class ObjectFile:
    """The bytes of one version of an object; belongs to one thread.

    It reads as a file does (``read``, ``seek``), by a few requests, and keeps what came: that is
    for heads and directories. ``pread`` gives blocks, which :meth:`expect` fetches many at a time.
    """

    url: ObjectUrl
    client: StoreClient
    head: ObjectHead
    _ahead: ReadAhead
    _at: int = 0

    @classmethod
    def open(cls, text: str, wanted: Version | None = None) -> ObjectFile:
        """Open the object at a URL, with at most one request for its head; errors as
        the client's ``read``."""
        url = ObjectUrl.of(text)
        client = store_client.client_of(url)
        head = kept_heads.head_of(url, wanted)
        return cls(url, client, head, ReadAhead(client, url, head.version))

    @property
    def version(self) -> Version:
        return self.head.version

    @property
    def size(self) -> int:
        return self.version.size

    @property
    def is_known(self) -> bool:
        """Whether its first bytes are all of it, as those of small objects are."""
        return any(not first and len(data) >= self.size for first, data in self.head.parts)

    def read(self, count: int = -1) -> bytes:
        """Read the next ``count`` bytes, fewer at the end."""
        end = self.size if count < 0 else min(self._at + count, self.size)
        data = self._cached(self._at, end) if end > self._at else b""
        self._at += len(data)
        return data

    def _cached(self, start: int, end: int) -> bytes:
        kept = self._kept(start, end)
        if kept is not None:
            return kept
        parts = self.head.parts
        step = min(kept_heads.HEAD << len(parts), MOST)
        stop = min(max(end, start + step), self.size)
        data, _ = self.client.read(self.url, start, stop, self.version)
        parts.append((start, data))
        return data[: end - start]

    def _kept(self, start: int, end: int) -> bytes | None:
        for first, data in self.head.parts:
            if first <= start and end <= first + len(data):
                return data[start - first : end - first]
        return None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def expect(self, ranges: Iterable[Range]) -> None:
        """Fetch blocks that will be read next, in about this order, each by :meth:`pread` once. A
        few requests run ahead of what is read, no more."""
        self._ahead.expect(each for each in ranges if self._kept(*each) is None)

    def turn_to(self, batches: Batches, room: int) -> None:
        """Fetch the blocks of the first of these batches, and of those that follow as far as there
        is ``room`` for their bytes; forget those of others."""
        if self.is_known:
            return
        self._ahead.room = room
        self._ahead.turn_to({key: partial(self._missing, one) for key, one in batches.items()})

    def _missing(self, places: Callable[[], Iterable[Range]]) -> list[Range]:
        return [each for each in places() if self._kept(*each) is None]

    def pread(self, count: int, offset: int) -> bytes:
        """Read the bytes of a block."""
        place = offset, offset + count
        data = self._kept(*place)
        if data is None:
            data = self._ahead.take(place)
        return (
            self.client.read_bytes(self.url, *place, wanted=self.version) if data is None else data
        )

    def close(self) -> None:
        """Forget what was to be read; its head stays known to this process."""
        self._ahead.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
