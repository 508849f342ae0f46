"""The step *clip*: a part of a raster, by whole pixels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import EmptyInputError, PreflightError, SchemaError
from geobatch_tui.execution.proj import assigned_crs, crs_lookup
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.grid import pixel_grid, projection
from geobatch_tui.execution.raster.plan import Raster, StepPlan
from geobatch_tui.execution.raster.source import metadata
from geobatch_tui.execution.raster.steps.step import Block, grid_of

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.steps.step import Planning, Upstream

#: Part of a pixel by which a corner may lie before a pixel's edge and count as on it, as in
#: gdal_translate -projwin.
_NUDGE = 0.001


class Clip:
    """Cuts a rectangle out of a raster; pixels keep their places."""

    name = "clip"
    version = 1

    def plan(self, up: Raster, params: Any, planning: Planning) -> StepPlan:
        if params.window is not None:
            asked = Window(*(int(value) for value in params.window))
        else:
            asked = _window_of(up, params, planning)
        window = asked.clip(up.whole)
        if not window.size:
            raise EmptyInputError(
                f"the clip has no pixel of the input, which is {up.width}x{up.height} pixels: "
                f"offset {asked.col_off},{asked.row_off}, size {asked.width}x{asked.height}"
            )
        if window != asked and not params.allow_bbox_outside_source:
            raise SchemaError(
                f"the clip reaches beyond the input: pixels {asked.bounds} of "
                f"{up.width}x{up.height}",
                hint="allow_bbox_outside_source = true takes the part that lies in it",
            )
        a, b, c, d, e, f = up.transform
        left, top = window.col_off, window.row_off
        transform = (a, b, c + left * a + top * b, d, e, f + left * d + top * e)
        raster = replace(
            up,
            width=window.width,
            height=window.height,
            transform=transform,
            domains=metadata.moved(up.domains),
        )
        return StepPlan(self.name, self.version, {"offset": [left, top]}, raster)

    def need(self, step: StepPlan, up: Raster, window: Window) -> Window:
        del up
        left, top = step.values["offset"]
        return replace(window, col_off=window.col_off + left, row_off=window.row_off + top)

    def compute(self, step: StepPlan, up: Upstream, window: Window) -> Block:
        return up.block(self.need(step, up.raster, window))

    def scratch(self, step: StepPlan, up: Raster) -> int:
        del step, up
        return 0


def _window_of(up: Raster, params: Any, planning: Planning) -> Window:
    """Return the pixels under ``bbox``, as gdal_translate -projwin counts them."""
    a, b, c, d, e, f = up.transform
    if b or d or a < 0 or e > 0:
        raise SchemaError(
            "a rotated or upside-down grid cannot be clipped by bbox", hint="clip by window"
        )
    box = pixel_grid.Box(*(float(value) for value in params.bbox))
    if params.bbox_crs:
        crs = assigned_crs.parse(params.bbox_crs, "bbox_crs", PreflightError)
        own = grid_of(up).crs
        if not crs_lookup.same(crs, own):
            moved = projection.project_box(box, own, crs)
            if moved is None:
                raise SchemaError(f"bbox cannot be transformed to {crs_lookup.named(own)}")
            box = moved
            planning.warn(f"bbox is the box around {params.bbox_crs}'s in the CRS of the input")
    left = math.floor((box.minx - c) / a + _NUDGE)
    top = math.floor((box.maxy - f) / e + _NUDGE)
    width = math.floor(box.width / a + 0.5)
    height = math.floor(box.height / -e + 0.5)
    if not np.isfinite([left, top, width, height]).all():
        raise SchemaError("bbox is not finite")
    return Window(left, top, width, height)
