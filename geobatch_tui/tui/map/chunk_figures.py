"""Figures of chunks, read beside the console's loop and handed to the picture."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from textual.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from geobatch_tui.tui.map.picture.codes import Mode, Scale
    from geobatch_tui.tui.map.picture.pictures import Source

_FEW: Final = 2000  #: changed chunks; above, all figures are read anew
_RESCALE: Final = 10.0  #: seconds between two readings of all figures, at least
_REST: Final = 10.0  #: how many times as long as a reading took the next one waits


class FiguresRead(Message):
    """A message that all figures of a mode were read: a step of the scale for each chunk."""

    bubble = False

    def __init__(self, mode: Mode, scale: Scale, steps: bytes, seconds: float) -> None:
        self.mode, self.scale, self.steps, self.seconds = mode, scale, steps, seconds
        super().__init__()


class SomeRead(Message):
    """A message that figures of changed chunks were read."""

    bubble = False

    def __init__(self, mode: Mode, figures: Mapping[int, float]) -> None:
        self.mode, self.figures = mode, figures
        super().__init__()


def read_all(source: Source, mode: Mode) -> FiguresRead:
    """Read the figures of all chunks. 10^6 take about a second."""
    start = time.monotonic()
    values = source.figures(mode.figure)
    scale = mode.scale(values)
    steps = mode.steps(values, scale)
    return FiguresRead(mode, scale, steps, time.monotonic() - start)


def read_some(source: Source, mode: Mode, positions: Sequence[int]) -> SomeRead:
    """Read the figures of some chunks."""
    return SomeRead(mode, source.figures_at(positions, mode.figure))


class Wants:
    """Positions whose figures have to be read, and when they may be."""

    def __init__(self) -> None:
        self._changed: set[int] = set()
        self._reading = False
        self._read_at = 0.0
        self._seconds = 0.0

    def add(self, positions: Iterable[int]) -> None:
        """Note that chunks changed."""
        self._changed.update(positions)

    def restart(self) -> None:
        """Note that all figures have to be read at once, as the mode is another one."""
        self._changed.clear()
        self._read_at = 0.0

    def all_due(self) -> bool:
        """Whether all may be read again now; if so, the reading counts as begun."""
        now = time.monotonic()
        if self._read_at and now - self._read_at < max(_RESCALE, _REST * self._seconds):
            return False
        self._read_at = now
        self._changed.clear()
        return True

    def took(self, seconds: float) -> None:
        """Note how long a reading of all figures took."""
        self._seconds = seconds

    def many(self) -> bool:
        """Whether so much changed that it is better to read all."""
        return len(self._changed) > _FEW

    def some(self) -> list[int]:
        """Return the positions to read now, none while a reading is under way; it counts as
        begun."""
        if self._reading or not self._changed:
            return []
        self._reading = True
        found = sorted(self._changed)[:_FEW]
        self._changed.difference_update(found)
        return found

    def ended(self) -> None:
        """Note that a reading has ended."""
        self._reading = False
