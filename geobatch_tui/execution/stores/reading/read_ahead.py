"""Blocks of an object on their way: those of what is computed now, and of what follows.

Blocks are wanted in batches, one for each chunk. Their places are joined to long requests over all
batches at once: chunks beside each other lie in the same rows of tiles, so that the rows of a strip
of chunks become one stretch of the file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.stores import network_faults, request_pool, store_client

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from concurrent.futures import Future

    from geobatch_tui.execution.stores.object_url import ObjectUrl
    from geobatch_tui.execution.stores.store_client import Range, StoreClient, Version

    #: The places of the blocks of batches, by what they are for, in the order of their use. They
    #: are asked for only of batches that are fetched now.
    Batches = Mapping[Any, Callable[[], Iterable[Range]]]

#: Bytes that may be fetched and not yet used, by default; more only where a block is waited for.
ROOM = 32 * 2**20


class ReadAhead:
    """The requests for blocks of one version of an object; belongs to one thread.

    A block is kept until each batch that wants it has taken it, or is dropped. ``room``: bytes that
    are fetched before they are used.
    """

    def __init__(self, client: StoreClient, url: ObjectUrl, version: Version) -> None:
        self._url, self._size = url, version.size
        self._read = partial(client.read_bytes, url, wanted=version)
        self.room = ROOM
        self._batches: dict[Hashable, list[Range]] = {}
        self._now: Hashable = None
        #: The batches that want a block, and the request that it comes by.
        self._wants: dict[Range, set[Hashable]] = {}
        self._by: dict[Range, int] = {}
        #: Requests: their bytes, how many blocks are wanted of each, and what comes of those that
        #: run.
        self._spans: dict[int, Range] = {}
        self._left: Counter[int] = Counter()
        self._reads: dict[int, Future[bytes]] = {}
        self._queue: deque[int] = deque()
        self._number = self._held = 0

    def turn_to(self, batches: Batches) -> None:
        """Want these batches, the first of them now, and drop all others.

        Where the second is on its way, nothing more is asked for: so requests reach over as many
        batches as there is room for, and not over one more each time.
        """
        self._now = next(iter(batches), None)
        for old in self._batches.keys() - batches.keys():
            for block in self._batches.pop(old):
                self._release(block, old)
        fresh: list[Range] = []
        urgent = size = 0
        for place, (key, places) in enumerate(batches.items()):
            if key in self._batches:
                if place:
                    break
                continue
            blocks = list(places())
            size += sum(block[1] - block[0] for block in blocks if block not in self._by)
            if place and size > self.room:
                break
            self._batches[key] = blocks
            for block in blocks:
                self._wants.setdefault(block, set()).add(key)
            fresh += blocks
            urgent = urgent or len(fresh)
        self._ask(fresh, urgent)

    def expect(self, blocks: Iterable[Range]) -> None:
        """Want blocks that are not on their way yet, each once."""
        fresh = [block for block in blocks if block not in self._by]
        for block in fresh:
            self._wants.setdefault(block, set()).add(None)
        self._ask(fresh, 0)

    def _ask(self, blocks: list[Range], urgent: int) -> None:
        """Join the places of blocks to requests; those with one of the first go first."""
        new = {block: None for block in blocks if block not in self._by}
        if any(end > self._size for _, end in new):
            raise network_faults.beyond(self._url, self._size)
        spans = store_client.coalesced(list(new))
        starts = [start for start, _ in spans]
        numbers = range(self._number, self._number + len(spans))
        self._number += len(spans)
        self._spans.update(zip(numbers, spans, strict=True))
        for block in new:
            number = self._by[block] = numbers[bisect_right(starts, block[0]) - 1]
            self._left[number] += 1
        first = {self._by[block] for block in blocks[:urgent]}
        self._queue.extend(sorted(numbers, key=lambda number: number not in first))
        self._go_on()

    def _go_on(self) -> None:
        while self._queue:
            start, end = self._spans[self._queue[0]]
            if self._held and self._held + end - start > self.room:
                return
            self._submit(self._queue.popleft())

    def _submit(self, number: int) -> Future[bytes]:
        start, end = self._spans[number]
        self._held += end - start
        read = self._reads[number] = request_pool.submit(self._read, start, end)
        return read

    def take(self, block: Range) -> bytes | None:
        """Return the bytes of a block; None if it is not on its way."""
        number = self._by.get(block)
        if number is None:
            return None
        read = self._reads.get(number)
        if read is None:  # blocks are not read in the order of the file
            self._queue.remove(number)
            read = self._submit(number)
        first = self._spans[number][0]
        data = read.result()[block[0] - first : block[1] - first]
        self._release(block, self._now, None)
        self._go_on()
        return data

    def _release(self, block: Range, *batches: Hashable) -> None:
        """Note that these batches want a block no more."""
        wants = self._wants.get(block)
        if wants is None:
            return
        wants.difference_update(batches)
        if wants:
            return
        del self._wants[block]
        number = self._by.pop(block)
        self._left[number] -= 1
        if not self._left[number]:
            self._drop(number)

    def _drop(self, number: int) -> None:
        start, end = self._spans.pop(number)
        del self._left[number]
        read = self._reads.pop(number, None)
        if read is None:
            self._queue.remove(number)
        else:
            read.cancel()
            self._held -= end - start

    def close(self) -> None:
        """Want nothing any more; requests that have not begun never do."""
        for number in list(self._spans):
            self._drop(number)
        self._batches.clear()
        self._by.clear()
        self._wants.clear()
