"""An object as a file to read its head from, and its blocks by their places."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

from geobatch_tui.errors import SourceChangedError
from geobatch_tui.execution.stores import network_faults, store_client
from geobatch_tui.execution.stores.object_url import ObjectUrl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from geobatch_tui.execution.stores.store_client import Range, StoreClient, Version

#: Bytes of the first request, which hold the directories of most GeoTIFFs; each further one asks
#: for twice as many.
HEAD = 32 * 1024
MOST = 4 * 2**20


class Ahead:
    """Blocks on their way: their places joined to requests, some of which run before they are asked
    for."""

    def __init__(
        self, client: StoreClient, url: ObjectUrl, version: Version, ranges: Sequence[Range]
    ) -> None:
        if any(end > version.size for _, end in ranges):
            raise network_faults.beyond(url, version.size)
        self._joined = store_client.coalesced(ranges)
        starts = [start for start, _ in self._joined]
        self._place = {each: bisect_right(starts, each[0]) - 1 for each in ranges}
        self._left = Counter(self._place.values())
        self._reads: dict[int, Future[bytes]] = {}
        self._read = partial(client.read_bytes, url, wanted=version)
        self._next = 0
        self._go_on()

    def _go_on(self) -> None:
        while self._next < len(self._joined) and len(self._reads) < store_client.TOGETHER:
            start, end = self._joined[self._next]
            self._reads[self._next] = store_client.submit(self._read, start, end)
            self._next += 1

    def __contains__(self, block: Range) -> bool:
        """Whether a block is on its way, and was not taken yet."""
        return block in self._place

    @property
    def waiting(self) -> bool:
        """Whether blocks are on their way."""
        return bool(self._place)

    def take(self, block: Range) -> bytes:
        """Return the bytes of a block that is on its way."""
        number = self._place.pop(block)
        read = self._reads.get(number)
        if read is None:  # blocks are not read in the order of the file
            read = self._reads[number] = store_client.submit(self._read, *self._joined[number])
            self._next = max(self._next, number + 1)
        first = self._joined[number][0]
        data = read.result()[block[0] - first : block[1] - first]
        self._left[number] -= 1
        if not self._left[number]:
            del self._reads[number]
            self._go_on()
        return data

    def cancel(self) -> None:
        """Stop what has not begun."""
        for read in self._reads.values():
            read.cancel()
        self._reads.clear()
        self._place.clear()


@dataclass(slots=True)
class ObjectFile:
    """The bytes of one version of an object; belongs to one thread.

    It reads as a file does (``read``, ``seek``), by a few requests, and keeps what came: that is
    for heads and directories. ``pread`` gives blocks, which :meth:`expect` fetches many at a time.
    """

    url: ObjectUrl
    client: StoreClient
    version: Version
    parts: list[tuple[int, bytes]]
    _at: int = 0
    _ahead: list[Ahead] = field(default_factory=list)

    @classmethod
    def open(cls, text: str, wanted: Version | None = None) -> ObjectFile:
        """Open the object at a URL with one request for its head; errors as
        the client's ``read``."""
        url = ObjectUrl.of(text)
        client = store_client.client_of(url)
        try:
            data, version = client.read(url, 0, HEAD, wanted)
        except SourceChangedError:
            version = client.version(url)
            if version.size or (wanted and not version.is_same(wanted)):
                raise
            data = b""  # an empty object has no byte that could be asked for
        return cls(url, client, version, [(0, data)])

    @property
    def size(self) -> int:
        return self.version.size

    def read(self, count: int = -1) -> bytes:
        """Read the next ``count`` bytes, fewer at the end."""
        end = self.size if count < 0 else min(self._at + count, self.size)
        data = self._cached(self._at, end) if end > self._at else b""
        self._at += len(data)
        return data

    def _cached(self, start: int, end: int) -> bytes:
        for first, data in self.parts:
            if first <= start and end <= first + len(data):
                return data[start - first : end - first]
        step = min(HEAD << len(self.parts), MOST)
        stop = min(max(end, start + step), self.size)
        data, _ = self.client.read(self.url, start, stop, self.version)
        self.parts.append((start, data))
        return data[: end - start]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def expect(self, ranges: Iterable[Range]) -> None:
        """Fetch blocks that will be read next, in about this order, each by :meth:`pread` once. A
        few requests run ahead of what is read, no more."""
        missing = [each for each in ranges if not any(each in one for one in self._ahead)]
        if missing:
            self._ahead = [one for one in self._ahead if one.waiting]
            self._ahead.append(Ahead(self.client, self.url, self.version, missing))

    def turn_to(self, ranges: Iterable[Range]) -> None:
        """Forget what was to be read, and fetch these blocks in its place."""
        self._cancel()
        self.expect(ranges)

    def pread(self, count: int, offset: int) -> bytes:
        """Read the bytes of a block."""
        place = offset, offset + count
        for one in self._ahead:
            if place in one:
                return one.take(place)
        return self.client.read_bytes(self.url, *place, wanted=self.version)

    def _cancel(self) -> None:
        for one in self._ahead:
            one.cancel()
        self._ahead.clear()

    def close(self) -> None:
        """Forget what was read."""
        self.parts.clear()
        self._cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
