"""Runs programs of expressions, and functions over all bands, on the pixels of a window.

Pixels are taken in the order of rows, a tile at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from geobatch_tui.execution.raster.algebra.calc_functions import OF_NUMPY
from geobatch_tui.execution.raster.algebra.calc_program import TILE, Load, Loop, Numpy, Store
from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geobatch_tui.execution.raster.algebra.calc_program import Program
    from geobatch_tui.execution.raster.types import Pixels, Points, Valid

    #: Takes a band of the output, its values, and the bands that they come from.
    type Taker = Callable[[int, Points, tuple[int, ...]], None]


class Given(Protocol):
    """The pixels that are computed with, as rows one after the other."""

    def band(self, band: int, part: slice) -> Pixels:
        """Return values of a band, from 0."""
        ...

    def valid(self, band: int, part: slice) -> Valid | None:
        """Return which of them are valid; None: all."""
        ...

    def coordinate(self, axis: str, part: slice) -> Points:
        """Return x or y of the middles of pixels, in units of the CRS."""
        ...


class Run:
    """A program at work. ``nodata``: what pixels that are not valid count as; None: they count with
    what they hold, as what comes of them is nodata."""

    def __init__(self, program: Program, given: Given, nodata: float | None) -> None:
        self.given, self.nodata = given, nodata
        self.registers = np.empty((program.registers, TILE))
        for register, value in program.numbers:
            self.registers[register] = value
        self._steps = [
            np.array(step.rows, np.int64) if isinstance(step, Loop) else step
            for step in program.steps
        ]

    def tile(self, part: slice, take: Taker) -> None:
        """Compute the pixels of ``part``, at most a tile."""
        registers = self.registers
        for step in self._steps:
            if isinstance(step, np.ndarray):
                pixel_loops.run_algebra(step, registers)
            elif isinstance(step, Load):
                self._load(step, part)
            elif isinstance(step, Numpy):
                operands = [registers[operand] for operand in step.operands]
                OF_NUMPY[step.name](*operands, out=registers[step.out])
            elif isinstance(step, Store):
                values = registers[step.register, : part.stop - part.start]
                take(step.band, values, step.uses)

    def _load(self, step: Load, part: slice) -> None:
        out = self.registers[step.out, : part.stop - part.start]
        if step.what in {"x", "y"}:
            out[:] = self.given.coordinate(step.what, part)
            return
        valid = self.given.valid(step.band, part)
        if step.what == "isnodata":
            out[:] = False if valid is None else ~valid
            return
        np.copyto(out, self.given.band(step.band, part))
        if self.nodata is not None and valid is not None:
            np.putmask(out, ~valid, self.nodata)


def over_bands(name: str, given: Given, bands: Sequence[int], part: slice) -> Pixels:
    """Return GDAL's builtin function ``name`` of the valid values of each pixel; NaN where there
    are none, but for the sum, which is 0."""
    known = [given.valid(band, part) for band in bands]
    values = [given.band(band, part).astype(np.float64) for band in bands]
    for value, valid in zip(values, known, strict=True):
        if valid is not None:
            value[~valid] = np.nan
    if name == "median":
        return _median(np.stack(values))
    spare = {"min": np.inf, "max": -np.inf}.get(name, 0.0)
    join = {"min": np.minimum, "max": np.maximum}.get(name, np.add)
    total, count = np.full(values[0].shape, spare), np.zeros(values[0].shape)
    for value in values:
        seen = ~np.isnan(value)
        join(total, value, out=total, where=seen)
        count += seen
    if name == "mean":
        total /= count
    total += 0.0  # zeros get one sign, whichever of two a CPU takes for the less
    if name != "sum":
        total[count == 0] = np.nan
    return total


def _median(rows: Pixels) -> Pixels:
    rows.sort(axis=0)  # NaN comes last
    count = len(rows) - np.isnan(rows).sum(axis=0)
    places = np.arange(rows.shape[1])
    low = rows[np.maximum(count - 1, 0) // 2, places]
    high = rows[np.minimum(count // 2, len(rows) - 1), places]
    middle: Pixels = np.where(count % 2, low, (low + high) / 2)
    middle[count == 0] = np.nan
    return middle
