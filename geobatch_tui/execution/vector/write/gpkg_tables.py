"""Tables of an SQLite file, written at its end page after page, in the order of their ids."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.io.write_behind import Behind
from geobatch_tui.execution.vector.kernels import feature_loops, sqlite_pages
from geobatch_tui.execution.vector.kernels.sqlite_pages import LEAVES, NEXT, PAGE, ROWS, STATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobatch_tui.execution.native.loop import Loop

    Numbers = NDArray[np.int64]

#: Bytes that are written at a time, and leaves that are noted before they are copied.
_BLOCK, _LEAVES = 4 * 2**20, 2**14
#: Bytes of the largest buffer of pages that is used again; a large row gets one of its own.
_KEPT = 3 * _BLOCK


class Appended(Behind):
    """The pages after the first ``pages`` of a file."""

    def __init__(self, fd: int, pages: int) -> None:
        super().__init__(fd)
        self.next = pages + 1
        os.lseek(fd, pages * PAGE, os.SEEK_SET)

    def number(self) -> int:
        """Return the number of the next page, which is written next."""
        if self.next == sqlite_pages.LOCKED:
            self.write(memoryview(bytes(PAGE)))
            self.next += 1
        self.next += 1
        return self.next - 1


class Table:
    """A table: rows are added in the order of their ids, then :meth:`finish` ends it."""

    def __init__(self, pages: Appended) -> None:
        self._pages = pages
        self._leaf = np.zeros(PAGE, np.uint8)
        self._state = np.zeros(STATE, np.int64)
        self._full = np.empty((_LEAVES, 2), np.int64)
        self._closed: list[Numbers] = []
        self._out = self._other = np.empty(0, np.uint8)

    def add(
        self, kernel: Loop, widest: int, columns: tuple[NDArray[Any], ...], *rest: object
    ) -> None:
        """Add rows by a loop of ``sqlite_pages``.

        Args:
            kernel: takes room for pages, the table's leaf, state and full leaves, ``columns``,
                ``rest``, and room for a row.
            widest: bytes of the longest row.
            columns: arrays with an element for each row.
            rest: what else the kernel takes.
        """
        need = _BLOCK + widest + widest // 1000 * 2 + 8 * PAGE
        row = np.empty(widest + 64, np.uint8)
        done, count = 0, len(columns[0])
        while done < count:
            # Two buffers in turn: the other may still be on its way to the disk.
            self._out, self._other = self._other, self._out
            if not need <= len(self._out) <= max(need, _KEPT):
                self._out = np.empty(need, np.uint8)
            self._state[NEXT] = self._pages.next
            part = [column[done:] for column in columns]
            more, size = kernel(self._out, self._leaf, self._state, self._full, *part, *rest, row)
            self._pages.write(memoryview(self._out)[:size])
            self._pages.next = int(self._state[NEXT])
            self._put_aside()
            done += more

    def _put_aside(self) -> None:
        count = int(self._state[LEAVES])
        if count:
            self._closed.append(self._full[:count].copy())
            self._state[LEAVES] = 0

    def finish(self) -> bytes:
        """Write the last rows; return the page that the table begins with."""
        if not self._closed:
            feature_loops.seal(self._leaf, self._state)
            return self._leaf.tobytes()
        if self._state[ROWS]:
            self._state[NEXT] = self._pages.next
            room = np.empty(2 * PAGE, np.uint8)
            size = feature_loops.close(room, 0, self._leaf, self._state, self._full)
            self._pages.write(memoryview(room)[:size])
            self._pages.next = int(self._state[NEXT])
            self._put_aside()
        level = np.concatenate(self._closed)
        while len(level) > sqlite_pages.CHILDREN:
            level = self._above(level)
        return self._inner(level)

    def _above(self, level: Numbers) -> Numbers:
        """Write the pages above those of a level (number, last id), evenly filled."""
        groups = np.array_split(level, -(-len(level) // sqlite_pages.CHILDREN))
        made = []
        for group in groups:
            page = self._inner(group)
            made.append((self._pages.number(), int(group[-1, 1])))
            self._pages.write(memoryview(page))
        return np.array(made, np.int64)

    @staticmethod
    def _inner(group: Numbers) -> bytes:
        page = np.zeros(PAGE, np.uint8)
        feature_loops.inner(
            page, np.ascontiguousarray(group[:, 0]), np.ascontiguousarray(group[:, 1])
        )
        return page.tobytes()
