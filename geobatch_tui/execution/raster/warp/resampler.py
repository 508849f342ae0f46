"""Resamples a window of an item at given positions: the base of all our ways to warp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.kernels.weights import NUDGE
from geobatch_tui.execution.raster.warp import gdal_warp
from geobatch_tui.execution.raster.warp.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.grid.projection import Mapper
    from geobatch_tui.execution.raster.plan import Raster, Warp
    from geobatch_tui.execution.raster.types import Pair, Pixels, Points
    from geobatch_tui.execution.raster.warp.coordinates import Vectors
    from geobatch_tui.execution.raster.warp.lattice import Lattice
    from geobatch_tui.execution.raster.warp.source_window import Sampled, Sampler
    from geobatch_tui.execution.raster.warp.taps import Kernel


@dataclass(slots=True)
class Resampler:
    """An item and its open source, ready to be resampled; belongs to one thread.

    Attributes:
        plan: the raster that the warp gives.
        warp: the warp.
        mapper: maps its grid to the source.
        sampler: reads windows of the source, with their validity.
        kernel: weights of source pixels; None for nearest and average.
        lattice: source coordinates in cells of the item's grid.
        vectors: source coordinates by column and by row; None where they are not separable.
        avoid: the output's nodata, and the value of valid pixels that happen to have it.
    """

    plan: Raster
    warp: Warp
    mapper: Mapper
    sampler: Sampler
    kernel: Kernel | None
    lattice: Lattice
    vectors: Vectors | None
    avoid: Pixels

    def fitting(
        self, target: Target, needed: Callable[[Window], Window | None]
    ) -> Iterator[tuple[Target, Sampled]]:
        """Cut ``target`` until the source of each part fits in memory; yield the parts, with it.
        ``needed`` returns the source pixels that a window takes; None: none."""
        taken = needed(target.window)
        if taken is None:
            return
        if not self.sampler.fits(taken) and target.window.size > 1:
            for half in target.window.halves():
                yield from self.fitting(target.part(half), needed)
        else:
            yield target, self.sampler.read_samples(taken)

    def resample(
        self, sampled: Sampled, x: Points, y: Points, target: Target, *, masked: bool
    ) -> None:
        """Fill ``target`` at positions ``x``, ``y`` (h, w); ``masked``: some pixels of ``sampled``
        that they may take are invalid."""
        x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        source, kernel = self.mapper.source, self.kernel
        where = (x, y, sampled.off, (source.width, source.height))
        filled = self.widened(target)
        out = (*filled.whole[:2], filled.corner)
        masks = (sampled.valid, sampled.centre) if masked else ()
        if kernel is None:
            run = pixel_loops.nearest_masked if masks else pixel_loops.nearest
            run(sampled.pixels, *masks, *where, *out)
        else:
            how = (kernel.code, kernel.scale, kernel.lead, kernel.taps, kernel.falls_back)
            scratch = pixel_loops.scratch(kernel.taps, x.shape[1], self.sampler.dtype)
            quads = None if masks else sampled.quads()
            if masks:
                run = pixel_loops.gather_masked
            else:
                run = pixel_loops.gather if quads is None else pixel_loops.gather_quads
            taken = sampled.planes if quads is None else quads
            run(sampled.pixels, taken, *masks, *where, *how, *out, *self.ends, *scratch)
        self.finish(filled, target)
        if target.alpha is not None:
            self._fill_alpha(sampled, (x, y), target, target.alpha)

    def _fill_alpha(self, sampled: Sampled, at: Pair, target: Target, alpha: Pixels) -> None:
        """Take for each position the alpha of the pixel that it lies in."""
        if sampled.alpha is None:
            alpha[:] = np.where(target.touched > 0, self.opaque, 0)
            return
        source = self.mapper.source
        on = (target.touched > 0) & ~np.isnan(at[0])
        index = []
        for values, side, off in zip(at, (source.width, source.height), sampled.off, strict=True):
            index.append(np.minimum((values[on] + NUDGE).astype(np.int64), side - 1) - off)
        alpha[on] = sampled.alpha[index[1], index[0]]

    def widened(self, target: Target) -> Target:
        """Return ``target``, or a copy of it if kernels work on another type."""
        if target.whole[0].dtype == self.sampler.dtype:
            return target
        pixels = np.ascontiguousarray(target.pixels.astype(self.sampler.dtype))
        return Target.of(target.window, pixels, np.array(target.touched))

    def finish(self, filled: Target, target: Target) -> None:
        """Move valid pixels off nodata where all bands happen to have it, and copy ``filled`` to
        ``target``, if that is another."""
        if self.avoid[0] != self.avoid[1]:
            pixels = filled.pixels
            chance = (pixels == self.avoid[0]).all(axis=0) & (filled.touched > 0)
            pixels[:, chance] = self.avoid[1]
        if filled is not target:
            target.pixels[:] = filled.pixels
            target.touched[:] = filled.touched

    @property
    def opaque(self) -> Pixels:
        """Alpha of a pixel that has a value, where the source has no alpha."""
        return gdal_warp.opaque(self.plan.dtype)

    @property
    def ends(self) -> tuple[bool, float, float]:
        """Rounding of the result: whether to whole numbers, and the least and the largest."""
        kind = np.dtype(self.plan.dtype)
        if kind.kind == "f":
            return False, 0.0, 0.0
        limits = np.iinfo(kind)
        return True, float(limits.min), float(limits.max)
