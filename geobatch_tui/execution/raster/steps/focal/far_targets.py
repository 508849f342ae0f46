"""Distances to targets that may lie anywhere in the raster: *proximity* without a limit.

The plan finds out, in one pass over all pixels, which blocks of the raster have a target. So a
window knows how far its pixels' nearest targets lie at most, and reads only the blocks that may
have one, however large the raster is. Distances are exact, so it does not matter which those are.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from geobatch_tui.execution.raster.types import Indices, Pixels, Points, Valid

    #: Finds the targets of a window.
    type Finder = Callable[[Window], Valid]

#: Side of a block in pixels.
SIDE = 256
#: Blocks whose targets a window keeps, as bits, so that each is read once for it.
_KEPT = 4096
#: Columns times rows that are looked along at a time.
_CELLS = 2**23


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of ``side`` pixels of a raster that have a target, by row and column."""

    whole: Window
    side: int
    occupied: Valid

    @classmethod
    def none(cls, whole: Window) -> Blocks:
        """Return those of a raster whose targets are still to be found."""
        return cls(whole, SIDE, np.zeros((-(-whole.height // SIDE), -(-whole.width // SIDE)), bool))

    def add(self, targets: Valid, window: Window) -> None:
        """Note the targets of ``window``, which begins at a block's corner."""
        side, blocks = self.side, window.blocks(self.side, self.side)
        firsts = [np.arange(0, length, side) for length in window.shape]
        found = np.logical_or.reduceat(targets, firsts[0], axis=0)
        self.occupied[blocks.slices] |= np.logical_or.reduceat(found, firsts[1], axis=1)

    def pack(self) -> dict[str, object]:
        """Return it JSON-ready."""
        bits = zlib.compress(np.packbits(self.occupied).tobytes(), 9)
        return {"side": self.side, "occupied": base64.b64encode(bits).decode("ascii")}

    def near(self, window: Window, most: float) -> Indices:
        """Return (blocks, 2), row and column of those that may have the nearest target of a pixel
        of ``window``, up to ``most`` pixels away; it is cut in parts, so that they are few."""
        every = np.argwhere(self.occupied)
        wanted = np.zeros(len(every), bool)
        tops, lefts = (every * self.side).T
        bottoms = np.minimum(tops + self.side, self.whole.height) - 1
        rights = np.minimum(lefts + self.side, self.whole.width) - 1
        for part in window.parts(self.side, self.side) if len(every) else ():
            left, top, right, bottom = part.bounds
            down = np.maximum(tops - (bottom - 1), top - bottoms)
            across = np.maximum(lefts - (right - 1), left - rights)
            least = np.maximum(down, 0) ** 2 + np.maximum(across, 0) ** 2
            farthest_down = np.maximum(bottoms - top, bottom - 1 - tops)
            farthest_across = np.maximum(rights - left, right - 1 - lefts)
            bound = int((farthest_down**2 + farthest_across**2).min())
            wanted |= least <= min(bound, most * most)
        return every[wanted]

    def window_of(self, blocks: Indices) -> Window:
        """Return the least window that holds ``blocks``."""
        if not len(blocks):
            return Window(0, 0, 0, 0)
        (top, left), (bottom, right) = blocks.min(axis=0).tolist(), blocks.max(axis=0).tolist()
        side = self.side
        return Window.between(
            left * side, top * side, (right + 1) * side, (bottom + 1) * side
        ).clip(self.whole)


@lru_cache(maxsize=4)
def unpacked(whole: Window, side: int, occupied: str) -> Blocks:
    """Return what :meth:`Blocks.pack` gave."""
    shape = -(-whole.height // side), -(-whole.width // side)
    bits = np.frombuffer(zlib.decompress(base64.b64decode(occupied)), np.uint8)
    flags = np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape)
    return Blocks(whole, side, flags.astype(bool))


@dataclass(slots=True)
class Search:
    """Looks for the nearest targets of the pixels of a window; ``find`` reads blocks, and ``most``
    is how far away they count."""

    blocks: Blocks
    find: Finder
    most: float
    _known: dict[tuple[int, int], Pixels] = field(default_factory=dict)

    def squares(self, strip: Window) -> Points:
        """Return (h, w): the squared distances of ``strip`` in pixels; -1 where there is none."""
        near = self.blocks.near(strip, self.most)
        out: Points = np.full(strip.shape, -1.0)
        if not len(near):
            return out
        reach = self.blocks.window_of(near)
        left, right = min(reach.col_off, strip.col_off), max(reach.right, strip.right)
        width = right - left
        hull = np.empty((3, width), np.int64)
        for part in strip.parts(strip.width, max(1, _CELLS // width)):
            down = np.full((part.height, width), -1, np.int32)
            for targets, window in self._targets(near):
                corner = window.row_off - part.row_off, window.col_off - left
                pixel_loops.downs(targets, corner, down)
            rows = part.row_off - strip.row_off
            pixel_loops.squares_of_downs(
                down, strip.col_off - left, hull, out[rows : rows + part.height]
            )
        return out

    def _targets(self, near: Indices) -> Iterable[tuple[Valid, Window]]:
        side = self.blocks.side
        for row, col in near.tolist():
            window = Window(col * side, row * side, side, side).clip(self.blocks.whole)
            bits = self._known.get((row, col))
            if bits is None:
                targets = self.find(window)
                if len(self._known) < _KEPT:
                    self._known[row, col] = np.packbits(targets, axis=1)
            else:
                targets = np.unpackbits(bits, axis=1, count=window.width).view(bool)
            yield np.ascontiguousarray(targets), window
