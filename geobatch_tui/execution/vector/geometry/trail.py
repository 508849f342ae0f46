"""The feature that a chunk is at, on disk, so that the next try knows what the last one died of.

A worker that is killed for a chunk that takes too long, or by a crash in GEOS, cannot say where it
was. So the number of the feature is written to a mapped page before it is touched: the page
outlives the process. Whether the last try died of its own doing, or was killed by somebody, is what
the engine's count of crashes tells: a feature is condemned only if that count rose.

A feature at which a long try ended is not condemned if much of the time went to others: it is tried
once more. What took long is kept on disk when it is done, so that no try does it again, and the
feature then has the time to itself.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeometryError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import disk_errors, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    import pyarrow as pa

    from geobatch_tui.execution.protocol.messages import ChunkTask

#: Feature now worked on (one more than its number; 0: none), crashes before this try, crashes that
#: named no feature, the feature spared by the last try (as the first), how many are condemned; when
#: the try and the feature began, and when the process was last alive; then the condemned.
_HEAD = struct.Struct("<QQQQQddd")
_CURRENT, _SINCE, _ALIVE = 0, 48, 56
_SIZE = 4096
_ROOM = (_SIZE - _HEAD.size) // 8
#: Crashes outside of any feature after which the chunk is given up.
_BLIND = 2
#: Seconds of a try below which it was no timeout, and the share of it that convicts a feature.
_LONG, _SHARE = 5.0, 0.9
_BEAT = 0.2
#: Seconds that a feature must take to be kept; number, bytes and CRC-32 of one that is.
_SLOW = 0.02
_KEPT = struct.Struct("<QQI")


class Trail:
    """The trail of one try of a chunk. Features are counted from the chunk's first.

    Raises:
        GeometryError: the chunk ends its workers and no feature can be named, or too many are.
    """

    def __init__(self, task: ChunkTask) -> None:
        grid = f"{task.item.fingerprint} {task.item.plan.grid.chunk_width}"
        of_what = hashlib.blake2b(grid.encode(), digest_size=4).hexdigest()
        path = Path(task.item.work_dir) / f"chunk-{task.index:06d}-{of_what}.trail"
        with disk_errors("cannot write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                # With its room on the disk: a page that has none ends the process that writes it.
                os.posix_fallocate(fd, 0, _SIZE)
                self._page = mmap.mmap(fd, _SIZE)
            finally:
                os.close(fd)
        self._base = 0
        self._step = 0
        self._key: Callable[[int], bytes] | None = None
        self._spent: dict[int, float] = {}
        #: Whether features are to be taken one by one, where all at once would be quicker: an
        #: earlier try died, and perhaps at none that it had named.
        self.careful = task.crashes > 0
        self.condemned = self._judge(task)
        with disk_errors("cannot write", path):
            self._made = _Made(path.with_suffix(".made"))
        self._ended = threading.Event()

    def _judge(self, task: ChunkTask) -> frozenset[int]:
        current, crashes, blind, spared, count, began, since, alive = _HEAD.unpack_from(self._page)
        known = list(struct.unpack_from(f"<{count}Q", self._page, _HEAD.size))
        sparing = spared
        if task.crashes < crashes:  # the chunk was given a new chance: so are its features
            known, blind, sparing = [], 0, 0
        elif task.crashes > crashes:
            sparing = 0
            blind = 0 if current else blind + 1
            shared = alive - began > _LONG and alive - since < _SHARE * (alive - began)
            if shared and current != spared:
                sparing = current
            elif current:
                known.append(current - 1)
        if blind >= _BLIND or len(known) > _ROOM:
            raise GeometryError(
                f"the chunk ended its workers {task.crashes} times"
                + (", at no feature that could be named" if blind >= _BLIND else "")
            )
        struct.pack_into(f"<{len(known)}Q", self._page, _HEAD.size, *known)
        now = time.monotonic()
        head = (0, task.crashes, blind, sparing, len(known), now, now, now)
        _HEAD.pack_into(self._page, 0, *head)
        return frozenset(known)

    def begin(self, first: int) -> None:
        """Begin a batch with this feature of the chunk."""
        self._base = first

    def begin_step(self, step: int, column: pa.Array) -> None:
        """Begin a step of a chain on the geometries of ``column``. Their rows change from step to
        step, so a feature is known by the step and its WKB."""
        self._step, self._key = step, lambda row: column[row].as_py()

    def know_rows_by(self, key: Callable[[int], bytes]) -> None:
        """Know the rows of this step by ``key``, where more than its WKB makes a feature."""
        self._key = key

    def _number(self, row: int) -> int:
        if self._key is None:
            return self._base + row
        digest = hashlib.blake2b(self._key(row), digest_size=8, salt=b"%d" % self._step).digest()
        return int.from_bytes(digest, "little") >> 1

    def is_condemned(self, row: int) -> bool:
        """Whether an earlier try died at this row of the batch."""
        return self._number(row) in self.condemned

    def made(self, row: int) -> bytes | None:
        """Return what an earlier try made of this row of the batch; None: nothing."""
        return self._made.found.get(self._number(row)) if self._made.found else None

    @contextmanager
    def at(self, row: int) -> Iterator[list[bytes]]:
        """Work on this row of the batch; what it gives is kept, if it took long.

        What the row took in this try before, at another step, counts as its time, too.
        """
        began, number = time.monotonic(), self._number(row)
        struct.pack_into("<d", self._page, _SINCE, began - self._spent.get(number, 0.0))
        struct.pack_into("<Q", self._page, _CURRENT, number + 1)
        given: list[bytes] = []
        try:
            yield given
        finally:
            # An exception is the feature's answer, not a death.
            struct.pack_into("<Q", self._page, _CURRENT, 0)
        took = time.monotonic() - began
        if took > _SLOW:
            self._spent[number] = self._spent.get(number, 0.0) + took
            if given:
                self._made.keep(number, given[0])

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT):
            struct.pack_into("<d", self._page, _ALIVE, time.monotonic())

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._beat, name="trail", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._page.close()
        self._made.close()


class _Made:
    """Geometries that tries of a chunk made, in a file; it need not survive a power cut."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._path = path
        self._fd = os.open(path, flags, 0o600)
        self.found: dict[int, bytes] = {}
        with open(self._fd, "rb", closefd=False) as file:
            data = file.read()
        at = 0
        while at + _KEPT.size <= len(data):
            number, size, crc = _KEPT.unpack_from(data, at)
            value = data[at + _KEPT.size : at + _KEPT.size + size]
            if len(value) != size or crc32(value) != crc:
                break
            self.found[number] = value
            at += _KEPT.size + size
        os.ftruncate(self._fd, at)
        os.lseek(self._fd, at, os.SEEK_SET)

    def keep(self, number: int, value: bytes) -> None:
        with disk_errors("cannot write", self._path):
            write_all(self._fd, _KEPT.pack(number, len(value), crc32(value)) + value)

    def close(self) -> None:
        os.close(self._fd)
