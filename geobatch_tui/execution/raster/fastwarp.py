"""Warps windows of an item by our own kernels, as near to GDAL's exact pixels as the plan's error
threshold allows.

A pixel depends on its place in the item alone: its source position comes from
:mod:`.coordinates`, and :mod:`.kernels` sum the same taps in the same order however the work is
cut. So windows are cut here as suits memory.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.messages import Window
from geobatch_tui.execution.raster import (
    averaging,
    coordinates,
    grids,
    loops,
    mapping,
    sampling,
    taps,
    warp,
)
from geobatch_tui.execution.raster.lattice import CELL, Cover, Lattice
from geobatch_tui.execution.raster.mapping import Mapper
from geobatch_tui.execution.raster.target import Target, halves, slices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.raster.mapping import Points
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.source import Held
    from geobatch_tui.execution.raster.validity import Pixels, Valid

SEPARABLE, LATTICE, EXACT = "separable", "lattice", "exact"
AVERAGE = "average"
#: The part of the source that is held at once, in bytes: little enough to come from the heap.
SOURCE_BYTES = 16 * 2**20
#: Share of a box of the source that its parts must need at most to be read apart.
SAVING = 0.75
#: Sides of the destination parts that positions are computed for at once, and in which invalid
#: pixels are looked for.
PART, TILE = 512, 128
#: Width of what is resampled at once in a row of cells.
STRIP = 512

#: How much smaller errors must be for pixels of more than 8 bits.
_FINER = 32


def read(held: Held, plan: RasterPlan, window: Window) -> tuple[Pixels, Valid | None]:
    """Pixels (count, h, w) of ``window`` of the destination, and where they are valid, if the plan
    keeps that in a mask."""
    key = f"fastwarp {plan!r}"
    warper = held.warps.get(key)
    if warper is None:
        warper = held.warps[key] = Warper.of(held, plan)
    found: tuple[Pixels, Valid | None] = warper.read(window)
    return found


def allowed(plan: RasterPlan) -> float:
    """Error of interpolated coordinates, in source pixels: the plan's threshold for 8-bit pixels;
    types of finer steps get a part of it, so that their pixels are as near in their own steps."""
    if plan.warp is None:
        return 0.0
    fine = np.dtype(plan.dtype).itemsize > 1 and plan.warp.resampling != "nearest"
    return plan.warp.error_threshold / (_FINER if fine else 1)


@dataclass(slots=True)
class Warper:
    """Warps windows of one item from one open source; belongs to one thread."""

    plan: RasterPlan
    mapper: Mapper
    sampler: sampling.Sampler
    kernel: taps.Kernel | None
    lattice: Lattice
    vectors: coordinates.Vectors | None
    avoid: Any

    @classmethod
    def of(cls, held: Held, plan: RasterPlan) -> Warper:
        planned, dataset = plan.warp, held.dataset
        if planned is None:
            raise OperationError("this plan has no warp")
        a, b, c, d, e, f = (float(value) for value in tuple(dataset.transform)[:6])
        source = grids.Source(
            mapping.crs_of(planned.src_crs), (a, b, c, d, e, f), dataset.width, dataset.height
        )
        grid = grids.Grid(mapping.crs_of(plan.crs), plan.transform, plan.width, plan.height)
        mapper = Mapper.between(source, grid)
        own = planned.resampling
        offset = 0.0 if own == AVERAGE else 0.5
        sampler = sampling.Sampler.of(held, plan)
        return cls(
            plan,
            mapper,
            sampler,
            taps.Kernel.of(own, planned.xscale, planned.yscale) if own in taps.CODES else None,
            Lattice(coordinates.Exact.of(mapper), allowed(plan)),
            coordinates.Vectors.of(mapper, offset) if planned.path == SEPARABLE else None,
            sampling.avoided(plan.nodata, sampler.dtype, plan.dtype),
        )

    def close(self) -> None:
        """Called with the source; nothing is held but arrays."""

    def read(self, window: Window) -> tuple[Pixels, Valid | None]:
        """See :func:`read`."""
        plan, shape = self.plan, (window.height, window.width)
        whole: Pixels = np.full((plan.count, *shape), plan.nodata or 0, plan.dtype)
        target = Target.of(
            whole[: self.sampler.bands],
            np.zeros(shape, np.uint8),
            whole[-1] if plan.validity == "alpha" else None,
        )
        if plan.warp is not None and plan.warp.resampling == AVERAGE:
            averaging.read(self, window, target, PART)
        elif self.vectors is not None and self.kernel is not None:
            self._read_separable(self.kernel, self.vectors, window, target)
        elif self.vectors is not None:
            self._read_parts(self.vectors, window, target)
        else:
            self._read_cells(self.lattice.cover(window), window, target)
        return whole, target.touched > 0 if plan.validity == "mask" else None

    # --- any coordinates -----------------------------------------------------------------------

    def _read_parts(self, vectors: coordinates.Vectors, window: Window, target: Target) -> None:
        for rows, cols in slices(window.height, window.width, PART):
            x, y = np.meshgrid(
                vectors.x[window.col_off + cols.start : window.col_off + cols.stop],
                vectors.y[window.row_off + rows.start : window.row_off + rows.stop],
            )
            self._place(x, y, target.part(rows, cols))

    def _read_cells(self, cover: Cover, window: Window, target: Target) -> None:
        """Resample ``window``, cut along cells until each part's source fits."""
        extent = cover.extent(window)
        if extent is None:
            return
        needed = self._needed(*extent)
        if self._around(extent, window) and self._place_sides(*cover.fill(window), needed, target):
            return
        if self.sampler.bytes(*needed) > SOURCE_BYTES:
            parts = list(_cut(window))
            for part in parts if len(parts) > 1 else ():
                self._read_cells(cover, part, target.part(*_slices(part, window)))
            if len(parts) == 1:  # all in one cell: pixel by pixel
                self._place(*cover.fill(window), target)
            return
        sampled = self.sampler.read(*needed)
        # Strips of cells: their positions stay in the processor's cache.
        width = STRIP if sampled.valid is None else TILE
        for strip in warp.parts(window, width, CELL):
            extent = cover.extent(strip)
            if extent is not None:
                clear = sampled.valid is None or sampled.all_valid(*self._needed(*extent))
                inner = target.part(*_slices(strip, window))
                self._resample(sampled, *cover.fill(strip), inner, masked=not clear)

    def _around(self, extent: tuple[float, float, float, float], window: Window) -> bool:
        """Whether positions reach over most of the source, as at the antimeridian, in a part that
        is small enough to look at each."""
        wide = extent[2] - extent[0] > self.mapper.source.width / 2
        return wide and max(window.width, window.height) <= PART

    def _place_sides(
        self, x: Points, y: Points, needed: tuple[int, int, int, int], target: Target
    ) -> bool:
        """Resample positions in the left half of the source and those in the right half apart, if
        that needs much less of it."""
        middle = self.mapper.source.width / 2
        sides = [np.where(x < middle, x, np.nan), np.where(x >= middle, x, np.nan)]
        apart = 0
        for side in sides:
            on = ~np.isnan(side)
            if on.any():
                apart += _area(self._needed(*_extent(side[on], y[on])))
        if apart > SAVING * _area(needed):
            return False
        for side in sides:
            self._place(side, y, target)
        return True

    def _place(self, x: Points, y: Points, target: Target) -> None:
        """Resample at positions ``x``, ``y`` (h, w), cut until each part's source fits."""
        source = self.mapper.source
        with np.errstate(invalid="ignore"):
            on = (x >= 0) & (x <= source.width) & (y >= 0) & (y <= source.height)
        if not on.any():
            return
        needed = self._needed(*_extent(x[on], y[on]))
        height, width = x.shape
        if self.sampler.bytes(*needed) > SOURCE_BYTES and max(height, width) > 1:
            for rows, cols in halves(height, width):
                self._place(x[rows, cols], y[rows, cols], target.part(rows, cols))
            return
        sampled = self.sampler.read(*needed)
        side = max(height, width) if sampled.valid is None else TILE
        x = np.where(on, x, np.nan)
        for rows, cols in slices(height, width, side):
            if on[rows, cols].any():
                part = x[rows, cols], y[rows, cols]
                clear = sampled.valid is None or sampled.all_valid(
                    *self._needed(*_extent_on(*part))
                )
                inner = target.part(rows, cols)
                self._resample(sampled, part[0], part[1], inner, masked=not clear)

    def _needed(self, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int]:
        """Bounds of the source pixels that positions from (x0, y0) to (x1, y1) take, as far as they
        are on the source."""
        source, kernel = self.mapper.source, self.kernel
        lead, count = ((0, 0), (1, 1)) if kernel is None else (kernel.lead, kernel.taps)
        bounds = []
        for start, stop, side, before, many in zip(
            (x0, y0), (x1, y1), (source.width, source.height), lead, count, strict=True
        ):
            # One pixel more than the taps, for what falls back and for rounding.
            low = int(max(start, 0.0)) - before - 2
            high = int(min(stop, float(side))) - before + many + 2
            low, high = max(low, 0), min(high, side)
            # Taps that lie beyond the source are moved into it.
            bounds.append((min(low, max(side - many, 0)), max(high, min(many, side))))
        (left, right), (top, bottom) = bounds
        return left, top, right, bottom

    def _resample(
        self, sampled: sampling.Sampled, x: Points, y: Points, target: Target, *, masked: bool
    ) -> None:
        x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        source, kernel = self.mapper.source, self.kernel
        where = (x, y, sampled.off, (source.width, source.height))
        filled = self._widened(target)
        out = (*filled.whole[:2], filled.corner)
        masks = (sampled.valid, sampled.centre) if masked else ()
        if kernel is None:
            run = loops.nearest_masked if masks else loops.nearest
            run(sampled.pixels, *masks, *where, *out)
        else:
            how = (kernel.code, kernel.scale, kernel.lead, kernel.taps, kernel.falls_back)
            scratch = loops.scratch(kernel.taps, x.shape[1], self.sampler.dtype)
            quads = None if masks else sampled.quads()
            if masks:
                run = loops.gather_masked
            else:
                run = loops.gather if quads is None else loops.gather_quads
            taken = sampled.planes if quads is None else quads
            run(sampled.pixels, taken, *masks, *where, *how, *out, *self.ends, *scratch)
        self.finish(filled, target)
        if target.alpha is not None:
            self._fill_alpha(sampled, (x, y), target)

    def _fill_alpha(
        self, sampled: sampling.Sampled, at: tuple[Points, Points], target: Target
    ) -> None:
        """Alpha is that of the pixel that a position lies in."""
        if sampled.alpha is None:
            target.alpha[:] = np.where(target.touched > 0, self.opaque, 0)
            return
        source = self.mapper.source
        on = (target.touched > 0) & ~np.isnan(at[0])
        index = []
        for values, side, off in zip(at, (source.width, source.height), sampled.off, strict=True):
            index.append(np.minimum((values[on] + taps.NUDGE).astype(np.int64), side - 1) - off)
        target.alpha[on] = sampled.alpha[index[1], index[0]]

    def _widened(self, target: Target) -> Target:
        """``target``, or a copy of it if kernels work on another type."""
        if target.whole[0].dtype == self.sampler.dtype:
            return target
        pixels = np.ascontiguousarray(target.pixels.astype(self.sampler.dtype))
        return Target.of(pixels, np.array(target.touched))

    def finish(self, filled: Target, target: Target) -> None:
        """Pixels that came out as nodata by chance, in all bands, step aside; what is ``filled``
        goes to ``target``, if that is another."""
        if self.avoid[0] != self.avoid[1]:
            pixels = filled.pixels
            chance = (pixels == self.avoid[0]).all(axis=0) & (filled.touched > 0)
            pixels[:, chance] = self.avoid[1]
        if filled is not target:
            target.pixels[:] = filled.pixels
            target.touched[:] = filled.touched

    @property
    def opaque(self) -> Any:
        """Alpha of a pixel that has a value, where the source has no alpha."""
        return warp.opaque(self.plan.dtype)

    @property
    def ends(self) -> tuple[bool, float, float]:
        """Whether pixels are whole numbers, the least and the largest."""
        kind = np.dtype(self.plan.dtype)
        if kind.kind == "f":
            return False, 0.0, 0.0
        limits = np.iinfo(kind)
        return True, float(limits.min), float(limits.max)

    # --- separable -----------------------------------------------------------------------------

    def _read_separable(
        self, kernel: taps.Kernel, vectors: coordinates.Vectors, window: Window, target: Target
    ) -> None:
        source = self.mapper.source
        x = vectors.x[window.col_off : window.col_off + window.width]
        y = vectors.y[window.row_off : window.row_off + window.height]
        along = [
            _Along(x, kernel.axis(x, source.width, 0)),
            _Along(y, kernel.axis(y, source.height, 1)),
        ]
        short = along
        if kernel.falls_back:
            short = [
                _Along(x, taps.BILINEAR.axis(x, source.width, 0)),
                _Along(y, taps.BILINEAR.axis(y, source.height, 1)),
            ]
        apart = kernel.falls_back
        for cols in _runs(along[0], source.width, apart=apart):
            for rows in _runs(along[1], source.height, apart=apart):
                whole = along[0].axis.whole[cols.start] and along[1].axis.whole[rows.start]
                self._rectangle(along if whole else short, rows, cols, target)

    def _rectangle(self, along: Any, rows: slice, cols: slice, target: Target) -> None:
        """Resample rows and columns that are alike, cut until their source fits."""
        needed = _bounds(along, rows, cols)
        height, width = rows.stop - rows.start, cols.stop - cols.start
        if self.sampler.bytes(*needed) > SOURCE_BYTES and max(height, width) > 1:
            for inner in halves(height, width):
                self._rectangle(along, _shifted(inner[0], rows), _shifted(inner[1], cols), target)
            return
        sampled = self.sampler.read(*needed)
        side = max(height, width) if sampled.valid is None else TILE
        for inner in slices(height, width, side):
            tile = _shifted(inner[0], rows), _shifted(inner[1], cols)
            if sampled.all_valid(*_bounds(along, *tile)):
                self._sum_separably(sampled, along, *tile, target.part(*tile))
            else:
                x, y = np.meshgrid(along[0].positions[tile[1]], along[1].positions[tile[0]])
                self._resample(sampled, x, y, target.part(*tile), masked=True)

    def _sum_separably(
        self, sampled: sampling.Sampled, along: Any, rows: slice, cols: slice, target: Target
    ) -> None:
        x, y = along[0].axis, along[1].axis
        filled = self._widened(target)
        loops.separable(
            sampled.pixels,
            (x.first[cols] - sampled.off[0]).astype(np.uint32),
            np.ascontiguousarray(x.weights[:, cols]),
            (y.first[rows] - sampled.off[1]).astype(np.uint32),
            np.ascontiguousarray(y.weights[:, rows]),
            filled.whole[0],
            filled.corner,
            *self.ends,
            np.empty(sampled.pixels.shape[2]),
            np.empty(len(y.weights)),
        )
        filled.touched[:] = 1
        self.finish(filled, target)
        if target.alpha is None:
            return
        if sampled.alpha is None:
            target.alpha[:] = self.opaque
        else:
            at = y.pixel[rows] - sampled.off[1], x.pixel[cols] - sampled.off[0]
            target.alpha[:] = sampled.alpha[np.ix_(*at)]


@dataclass(frozen=True, slots=True)
class _Along:
    """Positions along one axis of the destination, and their taps."""

    positions: Any
    axis: taps.Axis


def _area(bounds: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = bounds
    return (right - left) * (bottom - top)


def _extent(x: Points, y: Points) -> tuple[float, float, float, float]:
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _extent_on(x: Points, y: Points) -> tuple[float, float, float, float]:
    on = ~np.isnan(x)
    return _extent(x[on], y[on])


def _cut(window: Window) -> Iterator[Window]:
    """The halves of ``window`` along its longer side, cut between cells; or itself."""
    down = window.height >= window.width
    start, length = (window.row_off, window.height) if down else (window.col_off, window.width)
    middle = (start + length // 2 + CELL // 2) // CELL * CELL
    ends = (
        [start, middle, start + length]
        if start < middle < start + length
        else [start, start + length]
    )
    for low, high in itertools.pairwise(ends):
        if down:
            yield Window(window.col_off, low, window.width, high - low)
        else:
            yield Window(low, window.row_off, high - low, window.height)


def _slices(part: Window, whole: Window) -> tuple[slice, slice]:
    """Rows and columns of ``part`` in ``whole``."""
    top, left = part.row_off - whole.row_off, part.col_off - whole.col_off
    return slice(top, top + part.height), slice(left, left + part.width)


def _runs(along: _Along, side: int, *, apart: bool) -> Iterator[slice]:
    """Stretches of positions on the source that do not jump over half of it, as at the
    antimeridian; ``apart``: and are alike, without a tap beyond it, or with some."""
    axis = along.axis
    kind = np.where(axis.pixel < 0, 0, np.where(axis.whole | (not apart), 1, 2))
    cuts = (np.diff(kind) != 0) | (np.abs(np.diff(along.positions)) > side / 2)
    ends = [0, *(np.flatnonzero(cuts) + 1).tolist(), len(kind)]
    for start, stop in itertools.pairwise(ends):
        if start < stop and kind[start]:
            yield slice(start, stop)


def _bounds(along: Any, rows: slice, cols: slice) -> tuple[int, int, int, int]:
    """Bounds of the source pixels under the taps of ``rows`` and ``cols``."""
    x, y = along[0].axis, along[1].axis
    across, down = x.first[cols], y.first[rows]
    # The pixel that a position lies in is looked at too.
    left = min(across.min(), x.pixel[cols].min())
    right = max(across.max() + len(x.weights), x.pixel[cols].max() + 1)
    top = min(down.min(), y.pixel[rows].min())
    bottom = max(down.max() + len(y.weights), y.pixel[rows].max() + 1)
    return int(left), int(top), int(right), int(bottom)


def _shifted(part: slice, by: slice) -> slice:
    return slice(by.start + part.start, by.start + part.stop)
