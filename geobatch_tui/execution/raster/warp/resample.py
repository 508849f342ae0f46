"""Warps windows of an item by our own kernels, as near to GDAL's exact pixels as the plan's error
threshold allows.

A pixel depends on its place in the item alone: its source position comes from
:mod:`.coordinates`, and ``kernels`` sums the same taps in the same order however a window is cut.
So windows are cut here as memory requires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.grid.projection import Mapper
from geobatch_tui.execution.raster.warp import average, coordinates, separable, source_window, taps
from geobatch_tui.execution.raster.warp.lattice import CELL, Cover, Lattice
from geobatch_tui.execution.raster.warp.resampler import Resampler
from geobatch_tui.execution.raster.warp.target import PART, TILE, Target

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.plan import Raster, Warp
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.source_facts import PixelSource
    from geobatch_tui.execution.raster.types import Pixels, Points, Valid

#: The two sides of a box of the source are read apart if they need at most this share of it.
SAVING = 0.75
#: Width of the strips of cells that are resampled at once.
STRIP = 1024

#: Errors must be so many times smaller for pixels of more than 8 bits.
_FINER = 32


def resample_window(
    opened: OpenSource, plan: Raster, warp: Warp, window: Window
) -> tuple[Pixels, Valid | None]:
    """Return the pixels (count, h, w) of ``window`` of the output ``plan``, and where they are
    valid, if it keeps that in a mask."""
    warper = opened.built.get("resample")
    if not isinstance(warper, Warper) or (warper.plan, warper.warp) != (plan, warp):
        warper = opened.built["resample"] = Warper.of(opened, plan, warp)
    return warper.resample_window(window)


def _allowed(warp: Warp, dtype: str) -> float:
    """Return the error allowed for interpolated coordinates, in source pixels: the threshold, and
    for types of finer steps than 8 bits a part of it, so that pixels are as near in their steps."""
    fine = np.dtype(dtype).itemsize > 1 and warp.resampling != "nearest"
    return warp.error_threshold / (_FINER if fine else 1)


class Warper(Resampler):
    """Warps windows of one item from one source; belongs to one thread."""

    __slots__ = ()

    @classmethod
    def of(cls, source: PixelSource, plan: Raster, warp: Warp) -> Warper:
        """Prepare the warp of ``source`` to ``plan``."""
        mapper = Mapper.of(plan, warp, source.facts)
        own = warp.resampling
        offset = 0.0 if own == "average" else 0.5
        sampler = source_window.Sampler(source, warp)
        return cls(
            plan,
            warp,
            mapper,
            sampler,
            taps.Kernel.of(own, warp.xscale, warp.yscale) if own in taps.CODES else None,
            Lattice(mapper, _allowed(warp, plan.dtype)),
            coordinates.Vectors.of(mapper, offset) if warp.path == "separable" else None,
            validity.avoided(plan.nodata, sampler.dtype, plan.dtype),
        )

    def resample_window(self, window: Window) -> tuple[Pixels, Valid | None]:
        """See :func:`resample_window`."""
        plan, shape = self.plan, window.shape
        whole: Pixels = np.zeros((plan.count, *shape), plan.dtype)
        if plan.nodata:
            whole[:] = plan.nodata
        target = Target.of(
            window,
            whole[: self.sampler.bands],
            np.zeros(shape, np.uint8),
            whole[-1] if plan.validity == "alpha" else None,
        )
        if self.warp.resampling == "average":
            average.average_window(self, target)
        elif self.vectors is not None and self.kernel is not None:
            separable.sum_window(self, self.kernel, self.vectors, target)
        elif self.vectors is not None:
            for part in window.parts(PART, PART):
                rows, cols = part.slices
                at = np.meshgrid(self.vectors.x[cols], self.vectors.y[rows])
                self._fill(*at, target.part(part))
        else:
            self._fill_by_cells(self.lattice.cover(window), target)
        return whole, target.touched > 0 if plan.validity == "mask" else None

    # --- any coordinates -----------------------------------------------------------------------

    def _fill_by_cells(self, cover: Cover, target: Target) -> None:
        """Resample a window, cut along cells until the source of each part fits in memory."""
        window = target.window
        extent = cover.extent(window)
        if extent is None:
            return
        needed = self._needed(*extent)
        # As at the antimeridian, in a part small enough to compare each position.
        wide = extent[2] - extent[0] > self.mapper.source.width / 2
        goes_round = wide and max(window.shape) <= PART
        if goes_round and self._fill_sides(*cover.fill(window), needed, target):
            return
        if not self.sampler.fits(needed):
            halves = window.halves(CELL)
            if len(halves) == 1:  # all in one cell: pixel by pixel
                self._fill(*cover.fill(window), target)
                return
            for half in halves:
                self._fill_by_cells(cover, target.part(half))
            return
        sampled = self.sampler.read_samples(needed)
        # Strips of cells: their positions stay in the processor's cache.
        width = STRIP if sampled.valid is None else TILE
        for strip in window.tiles(width, CELL):
            extent = cover.extent(strip)
            if extent is not None:
                clear = sampled.valid is None or sampled.all_valid(self._needed(*extent))
                self.resample(sampled, *cover.fill(strip), target.part(strip), masked=not clear)

    def _fill_sides(self, x: Points, y: Points, needed: Window, target: Target) -> bool:
        """Resample positions in the left half and in the right half of the source apart, if that
        needs much less of the source; return whether it was done."""
        middle = self.mapper.source.width / 2
        sides = [np.where(x < middle, x, np.nan), np.where(x >= middle, x, np.nan)]
        apart = 0
        for side in sides:
            if not np.isnan(side).all():
                apart += self._needed(*_extent(side, y)).size
        if apart > SAVING * needed.size:
            return False
        for side in sides:
            self._fill(side, y, target)
        return True

    def _fill(self, x: Points, y: Points, target: Target) -> None:
        """Resample at positions ``x``, ``y`` (h, w)."""
        source, outer = self.mapper.source, target.window
        with np.errstate(invalid="ignore"):
            on = (x >= 0) & (x <= source.width) & (y >= 0) & (y <= source.height)
        x = np.where(on, x, np.nan)

        def needed(window: Window) -> Window | None:
            part = window.slices_in(outer)
            return self._needed(*_extent(x[part], y[part])) if on[part].any() else None

        for fit, sampled in self.fitting(target, needed):
            side = max(fit.window.shape) if sampled.valid is None else TILE
            for tile in fit.window.parts(side, side):
                part = tile.slices_in(outer)
                if on[part].any():
                    at = x[part], y[part]
                    clear = sampled.valid is None or sampled.all_valid(self._needed(*_extent(*at)))
                    self.resample(sampled, *at, target.part(tile), masked=not clear)

    def _needed(self, x0: float, y0: float, x1: float, y1: float) -> Window:
        """Return the source pixels that positions from (x0, y0) to (x1, y1) take, as far as they
        are on the source."""
        source, kernel = self.mapper.source, self.kernel
        lead, count = ((0, 0), (1, 1)) if kernel is None else (kernel.lead, kernel.taps)
        bounds = []
        for start, stop, side, before, taken in zip(
            (x0, y0), (x1, y1), (source.width, source.height), lead, count, strict=True
        ):
            # One pixel more than the taps: for bilinear in place of cubic, and for rounding.
            low = int(max(start, 0.0)) - before - 2
            high = int(min(stop, float(side))) - before + taken + 2
            low, high = max(low, 0), min(high, side)
            # Taps that lie beyond the source are moved into it.
            bounds.append((min(low, max(side - taken, 0)), max(high, min(taken, side))))
        (left, right), (top, bottom) = bounds
        return Window.between(left, top, right, bottom)


def _extent(x: Points, y: Points) -> tuple[float, float, float, float]:
    on = ~np.isnan(x)
    x, y = x[on], y[on]
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())
