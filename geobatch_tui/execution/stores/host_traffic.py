"""What passes between this process and stores: requests, bytes, and requests made again.

A worker tells with each answer what passed since the one before; the engine adds up what workers
tell, and what it asked for and sent itself.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What is counted of each store, in this order.
COUNTED = ("requests", "bytes_in", "bytes_out", "retries")
#: Name of the counts in a worker's answer.
TRAFFIC = "traffic"

#: Counts by the root of a store: ``s3://bucket``, ``https://host``.
type Counts = Mapping[str, Sequence[int]]


@dataclass(slots=True)
class Traffic:
    """Counts of this process; used by many threads."""

    _counts: dict[str, list[int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, root: str, *, got: int = 0, sent: int = 0) -> None:
        """Count a request that was answered, and the bytes of objects in it."""
        self._add(root, (1, got, sent, 0))

    def tried_again(self, root: str, times: int = 1) -> None:
        """Count requests that are made again, as they failed for now."""
        if times:
            self._add(root, (0, 0, 0, times))

    def _add(self, root: str, more: Sequence[int]) -> None:
        with self._lock:
            add(self._counts, {root: more})

    def taken(self) -> Counts:
        """Return what was counted since the last call."""
        if not self._counts:  # most runs use no store
            return {}
        with self._lock:
            counts, self._counts = self._counts, {}
        return counts


def add(counts: dict[str, list[int]], more: Counts) -> None:
    """Add counts to those of the same stores."""
    for root, values in more.items():
        before = counts.get(root, [0] * len(COUNTED))
        counts[root] = [one + other for one, other in zip(before, values, strict=True)]


traffic = Traffic()
