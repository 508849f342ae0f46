"""Writes to a file in a thread, behind the thread that makes the bytes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import write_all

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, slots=True)
class Written:
    """CRC-32 of the parts of a file that was written: before, between and behind ``cuts``."""

    cuts: tuple[int, ...]
    crcs: tuple[int, ...]


class Behind:
    """Appends to ``fd``; ``crc``, of all the bytes, is complete after the ``with`` block.

    At most one piece is on its way: :meth:`write` waits for the one before, and raises its error.
    The caller must not change a piece before it has given two more.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._thread = ThreadPoolExecutor(1, "write behind")
        self._waiting: Future[None] | None = None
        self.crc = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def write(self, data: memoryview) -> None:
        """Append ``data``."""
        self.wait()
        self._waiting = self._thread.submit(self._write, data)

    def wait(self) -> None:
        """Wait until every piece is written."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.result()

    def _write(self, data: memoryview) -> None:
        write_all(self._fd, data)
        self.crc = crc32(data, self.crc)
