"""Sorts rows by key, however many: most of them on disk.

Rows are gathered to runs, each sorted and written to a scratch file; the runs are merged as they
are read back. A single run stays in memory.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.io.disk import disk_errors, fill, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    Rows = NDArray[np.void]

#: Rows of a run that are read at a time, at least.
_FEWEST = 256


class Ranked:
    """Sorts rows of ``kind``, with a field ``key`` (u8) that no two of them share.

    Args:
        kind: of a row.
        path: of the scratch file, if one is needed.
        run_bytes: of a run, and of the rows of all runs that are in memory while they are merged.
    """

    def __init__(self, kind: np.dtype[np.void], path: Path, *, run_bytes: int = 6 * 2**20) -> None:
        self._kind, self._path = kind, path
        self._rows = run_bytes // kind.itemsize
        self._run = np.empty(max(self._rows, _FEWEST), kind)
        self._filled = 0
        self._fd = -1
        #: Rows of each run on disk.
        self._runs: list[int] = []
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def add(self, rows: Rows) -> None:
        """Add rows, in any order."""
        self.count += len(rows)
        while len(rows):
            if self._filled == len(self._run):
                self._spill()
            part = rows[: len(self._run) - self._filled]
            self._run[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            rows = rows[len(part) :]

    def _spill(self) -> None:
        with disk_errors("cannot write", self._path):
            if self._fd < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._fd = os.open(self._path, flags, 0o600)
                self._path.unlink()
            write_all(self._fd, _sorted(self._run[: self._filled]).view(np.uint8))
        self._runs.append(self._filled)
        self._filled = 0

    def blocks(self) -> Iterator[Rows]:
        """Yield the rows in the order of their keys, in blocks, at each call.

        No row can be added afterwards.
        """
        if not self._runs:
            self._run = _sorted(self._run[: self._filled])
            if self._filled:
                yield self._run
            return
        if self._filled:
            self._spill()
        self._run = np.empty(0, self._kind)
        yield from self._merged()

    def _merged(self) -> Iterator[Rows]:
        size = max(self._rows // len(self._runs), _FEWEST)
        ends = np.cumsum(self._runs).tolist()
        at = [end - count for end, count in zip(ends, self._runs, strict=True)]
        pending = [np.empty(0, self._kind)] * len(ends)
        while True:
            for n, end in enumerate(ends):
                if not len(pending[n]) and at[n] < end:
                    pending[n] = self._read(at[n], min(size, end - at[n]))
                    at[n] += len(pending[n])
            # A run that goes on on disk may go on with any key above its last in memory.
            bounds = [pending[n]["key"][-1] for n, end in enumerate(ends) if at[n] < end]
            taken = []
            for n, rows in enumerate(pending):
                stop = int(np.searchsorted(rows["key"], min(bounds), "right")) if bounds else None
                taken.append(rows[:stop])
                pending[n] = rows[len(taken[-1]) :]
            block = np.concatenate(taken)
            if not len(block):
                return
            yield _sorted(block)

    def _read(self, start: int, count: int) -> Rows:
        rows = np.empty(count, self._kind)
        fill(self._fd, start * self._kind.itemsize, memoryview(rows.view(np.uint8)))
        return rows


def _sorted(rows: Rows) -> Rows:
    return rows[np.argsort(rows["key"])]


def evenly(blocks: Iterator[Rows], size: int) -> Iterator[Rows]:
    """Yield the same rows in blocks of ``size``; the last block may be smaller."""
    pending: list[Rows] = []
    count = 0
    for block in blocks:
        rows = block
        while count + len(rows) >= size:
            cut = size - count
            pending.append(rows[:cut])
            yield np.concatenate(pending)
            pending, count, rows = [], 0, rows[cut:]
        if len(rows):
            pending.append(rows)
            count += len(rows)
    if pending:
        yield np.concatenate(pending)
