"""The arrays that a warp fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.types import Flags, Pixels

#: Side of the parts in which invalid pixels are looked for.
TILE = 128
#: Side of the parts of the output whose positions are computed at once.
PART = 512


@dataclass(frozen=True, slots=True)
class Target:
    """The output pixels of ``window``: colour bands ``pixels`` (bands, h, w), ``touched`` (h, w)
    where they have a value, and ``alpha`` (h, w) if the output has it.

    Compiled loops take the whole arrays, which lie in memory in one piece and hold the window
    ``outer``, and the ``corner`` (row, column) of ``window`` in them.
    """

    whole: tuple[Pixels, Flags, Pixels | None]
    outer: Window
    window: Window

    @classmethod
    def of(
        cls, window: Window, pixels: Pixels, touched: Flags, alpha: Pixels | None = None
    ) -> Target:
        """Return the target of arrays that hold ``window`` of the item."""
        return cls((pixels, touched, alpha), window, window)

    @property
    def corner(self) -> tuple[int, int]:
        rows, cols = self._slices
        return rows.start, cols.start

    @property
    def pixels(self) -> Pixels:
        """A view of the window."""
        return self.whole[0][:, *self._slices]

    @property
    def touched(self) -> Flags:
        """A view of the window."""
        return self.whole[1][self._slices]

    @property
    def alpha(self) -> Pixels | None:
        """A view of the window; None if the output has none."""
        return None if self.whole[2] is None else self.whole[2][self._slices]

    @property
    def _slices(self) -> tuple[slice, slice]:
        return self.window.slices_in(self.outer)

    def part(self, window: Window) -> Target:
        """Return the target of a part of this window."""
        return Target(self.whole, self.outer, window)
