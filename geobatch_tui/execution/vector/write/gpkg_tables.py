"""Tables of an SQLite file, written at its end page after page, in the order of their ids."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.io.write_behind import Behind
from geobatch_tui.execution.vector.kernels import feature_loops, sqlite_pages
from geobatch_tui.execution.vector.kernels.sqlite_pages import LEAVES, NEXT, PAGE, ROWS, STATE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.native.loop import Loop

    Numbers = NDArray[np.int64]

#: Bytes that are written at a time, and leaves that are noted before they are copied.
_BLOCK, _LEAVES = 4 * 2**20, 2**14
#: Bytes of the largest buffer of pages that is used again; a large row gets one of its own.
_KEPT = 3 * _BLOCK


class RowIds:
    """Ids of ``count`` features in ascending order, which are given out in turn; of many they are
    not in memory.

    Args:
        ends: the first and the last; empty: they are numbered from 1.
        count: how many there are.
        path: of a file for a while, if one is needed.
    """

    def __init__(self, ends: list[int], count: int, path: Path) -> None:
        low, high = ends or (1, count)
        self._shift = low - 1
        self._path = None if high - low + 1 == count else path
        self._turn = 0

    def next_ids(self, ids: Numbers, count: int) -> Numbers:
        """Return the ids of the next ``count`` features, which are ``ids`` unless they are
        numbered."""
        turns = np.arange(self._turn + 1, self._turn + count + 1)
        self._turn += count
        if self._path is None:
            return turns + self._shift
        with self._path.open("ab") as file:
            file.write(ids.tobytes())
        return ids

    def of(self, turns: Numbers) -> Numbers:
        """Return the ids of features by their turns, from 1. All have been given out."""
        if self._path is None:
            return turns + self._shift
        found: Numbers = np.memmap(self._path, np.int64, "r")[turns - 1]
        return found


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
        self, kernel: Loop, widest: int, columns: tuple[NDArray[np.generic], ...], *rest: object
    ) -> None:
        """Add rows, of ``widest`` bytes at most, by a loop of ``sqlite_pages``. It takes room for
        pages, the table's leaf, state and full leaves, ``columns`` (arrays with an element for each
        row), ``rest``, and room for a row."""
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
            self._append(memoryview(self._out)[:size])
            done += more

    def _append(self, pages: memoryview) -> None:
        """Write pages that a kernel has made, and note the leaves that it filled."""
        self._pages.write(pages)
        self._pages.next = int(self._state[NEXT])
        if count := int(self._state[LEAVES]):
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
            self._append(memoryview(room)[:size])
        level = np.concatenate(self._closed)
        while len(level) > sqlite_pages.CHILDREN:
            level = self._above(level)
        return _inner(level)

    def _above(self, level: Numbers) -> Numbers:
        """Write the pages above those of a level (number, last id), evenly filled."""
        made = []
        for group in np.array_split(level, -(-len(level) // sqlite_pages.CHILDREN)):
            made.append((self._pages.number(), int(group[-1, 1])))
            self._pages.write(memoryview(_inner(group)))
        return np.array(made, np.int64)


def _inner(group: Numbers) -> bytes:
    page = np.zeros(PAGE, np.uint8)
    feature_loops.inner(page, *np.ascontiguousarray(group.T))
    return page.tobytes()
