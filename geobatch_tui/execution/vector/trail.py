"""Which feature a chunk is at, on disk, so that the next try knows what the last one died of.

A worker that is killed for a chunk that takes too long, or by a crash in GEOS, cannot say where it
was. So the number of the feature is written to a mapped page before it is touched: the page
outlives the process. Whether the last try died of its own doing, or was killed by somebody, is what
the engine's count of crashes tells: a feature is condemned only if that count rose.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeometryError
from geobatch_tui.execution.raster.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from geobatch_tui.execution.messages import ChunkTask

#: Feature now worked on (one more than its number; 0: none), crashes before this try, crashes that
#: named no feature, how many are condemned; then the condemned.
_HEAD = struct.Struct("<QQQQ")
_SIZE = 4096
_ROOM = (_SIZE - _HEAD.size) // 8
#: Crashes outside of any feature after which the chunk is given up.
_BLIND = 2


class Trail:
    """The trail of one try of a chunk. Features are counted from the chunk's first.

    Raises:
        GeometryError: the chunk ends its workers and no feature can be named, or too many are.
    """

    def __init__(self, task: ChunkTask) -> None:
        path = Path(task.item.work_dir) / f"chunk-{task.index:06d}.trail"
        with disk_errors("cannot write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(fd, _SIZE)
                self._page = mmap.mmap(fd, _SIZE)
            finally:
                os.close(fd)
        self._base = 0
        self.condemned = self._judge(task)

    def _judge(self, task: ChunkTask) -> frozenset[int]:
        current, crashes, blind, count = _HEAD.unpack_from(self._page)
        known = list(struct.unpack_from(f"<{count}Q", self._page, _HEAD.size))
        if task.crashes > crashes:
            if current:
                known.append(current - 1)
                blind = 0
            else:
                blind += 1
        if blind >= _BLIND or len(known) > _ROOM:
            raise GeometryError(
                f"the chunk ended its workers {task.crashes} times"
                + (", at no feature that could be named" if blind >= _BLIND else "")
            )
        struct.pack_into(f"<{len(known)}Q", self._page, _HEAD.size, *known)
        _HEAD.pack_into(self._page, 0, 0, task.crashes, blind, len(known))
        return frozenset(known)

    def begin(self, first: int) -> None:
        """The batch that comes begins with this feature of the chunk."""
        self._base = first

    def is_condemned(self, row: int) -> bool:
        """Whether an earlier try died at this row of the batch."""
        return self._base + row in self.condemned

    @contextmanager
    def at(self, row: int) -> Iterator[None]:
        """This row of the batch is being worked on."""
        struct.pack_into("<Q", self._page, 0, self._base + row + 1)
        try:
            yield
        finally:
            # An exception is the feature's answer, not a death.
            struct.pack_into("<Q", self._page, 0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._page.close()
