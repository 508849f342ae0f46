"""Warps a window by the method that its plan chose, and says what it needs of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.grid import kernel_scale
from geobatch_tui.execution.raster.grid.projection import Mapper
from geobatch_tui.execution.raster.warp import gdal_warp, resample

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.plan import Raster, Warp
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.source_facts import Facts
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: A source of at most so many pixels is checked as a whole: to find out which of them a window
#: needs would take as long.
_SMALL = 2**20


def warp_window(
    opened: OpenSource, plan: Raster, warp: Warp, window: Window
) -> tuple[Pixels, Valid | None]:
    """Return the pixels (count, h, w) of ``window`` of the output ``plan``, and where they are
    valid (h, w), if it keeps that in a mask.

    Raises:
        CorruptSourceError: blocks of the source are damaged; its evidence lists them.
        RasterioError: GDAL cannot read them.
    """
    if warp.path != "exact":
        return resample.resample_window(opened, plan, warp, window)
    _check_source(opened, plan, warp, window)
    return gdal_warp.warp_window(opened, plan, warp, window)


def needed_source(facts: Facts, plan: Raster, warp: Warp, window: Window) -> Window:
    """Return the pixels of the source that ``window`` is computed from, with a margin."""
    whole = Window(0, 0, facts.width, facts.height)
    if warp.path == "exact":
        # GDAL warps a block of its virtual dataset as a whole, so damage under any part of it
        # fails every chunk that shares it.
        window = window.align(*gdal_warp.BLOCK, plan.whole)
    part = kernel_scale.source_window(Mapper.of(plan, warp, facts), window)
    if part is None or part.failed:
        return whole
    extra = kernel_scale.margin(warp.resampling, warp.xscale, warp.yscale) + 8
    return part.pixels.pad(extra).clip(whole)


def _check_source(opened: OpenSource, plan: Raster, warp: Warp, window: Window) -> None:
    """Raise CorruptSourceError if a block that ``window`` needs is damaged."""
    checks = opened.checksums
    if checks is None:
        return
    whole = Window(0, 0, opened.facts.width, opened.facts.height)
    if whole.size > _SMALL or checks.damaged(whole):
        opened.check(needed_source(opened.facts, plan, warp, window))
