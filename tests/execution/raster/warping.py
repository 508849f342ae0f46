"""Warps an item of a real file by our kernels and by GDAL's warper, for comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from planning import item_of

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.grid.projection import Mapper
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.warp import coordinates, gdal_warp, resample

THRESHOLD = 0.001


@dataclass(frozen=True, slots=True)
class Compared:
    """Pixels (bands, h, w) and validity (h, w) of GDAL's warper and of our kernels, and the plan
    that ours went by."""

    plan: RasterPlan
    gdal: np.ndarray
    gdal_valid: np.ndarray
    ours: np.ndarray
    valid: np.ndarray
    mapper: Mapper

    def differences(self):
        """Absolute differences where both are valid numbers, else 0."""
        delta = np.abs(self.gdal.astype("f8") - self.ours.astype("f8"))
        delta[np.isnan(delta)] = 0
        return delta * (self.valid & self.gdal_valid)

    def near_edges(self):
        """Where (h, w) PROJ's own position lies within the threshold of a pixel's edge."""
        cols, rows = np.arange(self.plan.width) + 0.5, np.arange(self.plan.height) + 0.5
        at = coordinates.exact(self.mapper, *np.meshgrid(cols, rows))
        return np.any([np.abs(x - np.round(x)) <= THRESHOLD for x in at], axis=0)

    def rim(self):
        """How many pixels are valid, or numbers, in one of the two alone."""
        numbers = np.isnan(self.gdal.astype("f8")) != np.isnan(self.ours.astype("f8"))
        return int((self.valid != self.gdal_valid).sum()) + int(numbers.sum())


def planned(path, params):
    """The item of ``path`` in one chunk, and its plan on the path of our kernels, however small."""
    item = item_of(path, {**params, "error_threshold": 0}, cols=10_000, rows=10_000)
    plan = RasterPlan.from_json(item.plan.detail)
    with opened_source.source_of(item) as held:
        mapper = resample.Warper.of(held, plan, plan.warp).mapper
        separable = coordinates.separable(mapper) is not None
    own = "separable" if separable else "lattice"
    return item, replace(plan, warp=replace(plan.warp, path=own, error_threshold=THRESHOLD))


def whole(plan):
    """The window of everything."""
    return Window(0, 0, plan.width, plan.height)


def compared(path, params):
    """Both warps of the whole of ``path``."""
    item, plan = planned(path, params)
    with opened_source.source_of(item) as held:
        gdal, gdal_valid = gdal_warp.warp_window(held, plan, plan.warp, whole(plan))
        ours, valid = resample.resample_window(held, plan, plan.warp, whole(plan))
        mapper = resample.Warper.of(held, plan, plan.warp).mapper
    every = np.ones(ours.shape[1:], bool)
    return Compared(
        plan, gdal, every if gdal_valid is None else gdal_valid, ours,
        every if valid is None else valid, mapper,
    )  # fmt: skip


def in_parts(path, plan, item, windows):
    """Pixels and validity put together from ``windows``."""
    pixels = np.empty((plan.count, plan.height, plan.width), plan.dtype)
    valid = np.ones(pixels.shape[1:], bool)
    with opened_source.source_of(item) as held:
        for window in windows:
            part, good = resample.resample_window(held, plan, plan.warp, window)
            rows = slice(window.row_off, window.row_off + window.height)
            cols = slice(window.col_off, window.col_off + window.width)
            pixels[:, rows, cols] = part
            if good is not None:
                valid[rows, cols] = good
    return pixels, valid
