"""Files that are read in any order, of which a process cannot have all open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

#: Files that are open at a time.
MOST = 64


class OpenFiles:
    """Files in a directory, of which the last used are open."""

    def __init__(self, directory: str, names: Sequence[str]) -> None:
        self._directory, self._names = Path(directory), names
        #: By number of the file, the one that was used last at the end.
        self._open: dict[int, int] = {}
        self._fds = np.full(len(names), -1, np.int32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def fds(self, numbers: list[int]) -> NDArray[np.int32]:
        """Open the files of ``numbers``, at most ``MOST``, until the next call. Raises OSError.

        Returns the descriptors of all files, by number; -1 of one that is not open.
        """
        for number in numbers:
            fd = self._open.pop(number, -1)
            if fd < 0:
                fd = self._opened(number)
            self._open[number] = self._fds[number] = fd
        return self._fds

    def _opened(self, number: int) -> int:
        while len(self._open) >= MOST:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest))
            self._fds[oldest] = -1
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(self._directory / self._names[number], flags)
