"""Rows in the order of their keys, however many: on disk, but for a few of them.

Rows are gathered to runs, each sorted and written to a scratch file; the runs are merged as they
are read back. What fits into one run stays in memory.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.io.disk import disk_errors, fill, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    Rows = NDArray[np.void]

#: Rows of a run that are read at a time at least.
_FEWEST = 256


class Ranked:
    """Rows of ``kind``, with a field ``key`` (u8) that no two of them share.

    Args:
        kind: of a row.
        path: of the scratch file, if one is needed.
        run_bytes: of a run, and of the rows of all runs that are in memory while they are merged.
    """

    def __init__(self, kind: np.dtype[Any], path: Path, *, run_bytes: int = 6 * 2**20) -> None:
        self._kind, self._path = kind, path
        self._rows = run_bytes // kind.itemsize
        self._run = np.empty(max(self._rows, _FEWEST), kind)
        self._held = 0
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
        """Take in rows, in any order."""
        self.count += len(rows)
        while len(rows):
            if self._held == len(self._run):
                self._spill()
            part = rows[: len(self._run) - self._held]
            self._run[self._held : self._held + len(part)] = part
            self._held += len(part)
            rows = rows[len(part) :]

    def _spill(self) -> None:
        with disk_errors("cannot write", self._path):
            if self._fd < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._fd = os.open(self._path, flags, 0o600)
                self._path.unlink()
            write_all(self._fd, _sorted(self._run[: self._held]).view(np.uint8))
        self._runs.append(self._held)
        self._held = 0

    def blocks(self) -> Iterator[Rows]:
        """All rows in the order of their keys, in blocks; as often as it is called. No row can be
        added after it."""
        if not self._runs:
            self._run = _sorted(self._run[: self._held])
            if self._held:
                yield self._run
            return
        if self._held:
            self._spill()
        self._run = np.empty(0, self._kind)
        yield from self._merged()

    def _merged(self) -> Iterator[Rows]:
        size = max(self._rows // len(self._runs), _FEWEST)
        ends = np.cumsum(self._runs).tolist()
        at = [end - count for end, count in zip(ends, self._runs, strict=True)]
        held = [np.empty(0, self._kind)] * len(ends)
        while True:
            for n, end in enumerate(ends):
                if not len(held[n]) and at[n] < end:
                    held[n] = self._read(at[n], min(size, end - at[n]))
                    at[n] += len(held[n])
            # What lies behind is not known of a run that goes on after what is in memory.
            bounds = [held[n]["key"][-1] for n, end in enumerate(ends) if at[n] < end]
            taken = []
            for n, rows in enumerate(held):
                stop = int(np.searchsorted(rows["key"], min(bounds), "right")) if bounds else None
                taken.append(rows[:stop])
                held[n] = rows[len(taken[-1]) :]
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
    """The same rows in blocks of ``size``, the last with what is left."""
    held: list[Rows] = []
    count = 0
    for block in blocks:
        rest = block
        while count + len(rest) >= size:
            cut = size - count
            held.append(rest[:cut])
            yield np.concatenate(held)
            held, count, rest = [], 0, rest[cut:]
        if len(rest):
            held.append(rest)
            count += len(rest)
    if held:
        yield np.concatenate(held)
