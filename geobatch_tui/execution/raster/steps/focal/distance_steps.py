"""The step *fill-nodata*, which looks for the nearest valid pixels.

It looks no further than its ``max_distance``, so a window needs as much round it, and no more.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.plan import Raster, StepPlan
from geobatch_tui.execution.raster.steps.band_steps import check_band, picked_bands
from geobatch_tui.execution.raster.steps.conversion import block_of, converted, valid_bands
from geobatch_tui.execution.raster.steps.step import Block, LocalStep

if TYPE_CHECKING:
    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Side of a chunk for the memory that its surroundings take: chunks are seldom smaller.
SIDE = 1024


def grown(halo: int) -> float:
    """Return how many pixels a chunk with its surroundings has, for each of its own."""
    return (1 + 2 * halo / SIDE) ** 2


class FillNodata(LocalStep):
    """Fills invalid pixels of one band from the valid ones round them, as GDALFillNodata does.

    Of each column the next valid pixel at or above a row, and the next below it, count; of these
    the nearest in each of four quadrants. What is filled helps to fill nothing else. Smoothing then
    replaces filled pixels by the mean of the valid and the filled ones of 3x3, but not in the first
    and the last row of the raster, as GDAL does.

    It differs from GDAL in this: the pixels that were valid keep their values, which GDAL rounds to
    float32; values of 32 and 64 bits are interpolated in float64; NaN beside a numeric nodata is
    filled too; a mask says afterwards that filled pixels are valid; what lies in no quadrant within
    the distance stays invalid, where GDAL's nearest may write 0.
    """

    name = "fill-nodata"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        band = colour_band(up, params.band)
        if up.colormap is not None and (params.strategy, params.smoothing_iterations) != (
            "nearest", 0,
        ):  # fmt: skip
            raise SchemaError(
                "a palette's values are names of colours: their mean is another colour",
                hint='strategy = "nearest", without smoothing, fills with one of them',
            )
        picked = [band, up.count - 1] if up.validity == "alpha" else [band]
        raster = replace(picked_bands(up, picked), colormap=up.colormap)
        if up.validity == "none":
            planning.warn("the input has no nodata, alpha or mask: there is nothing to fill")
        if up.validity in {"alpha", "mask"}:
            planning.warn(
                f"pixels that are filled become {_seen(up)}; GDAL's step takes no notice of "
                f"{'alpha' if up.validity == 'alpha' else 'what it filled'} in the "
                f"{'input' if up.validity == 'alpha' else 'mask'}"
            )
        values = {
            "picked": picked,
            "max_distance": int(params.max_distance),
            "smoothing": int(params.smoothing_iterations),
            "nearest": params.strategy == "nearest",
        }
        return StepPlan(self.name, self.version, values, raster)

    def halo(self, step: StepPlan) -> int:
        return int(step.values["max_distance"]) + int(step.values["smoothing"])

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        own = Block(np.ascontiguousarray(given.pixels[step.values["picked"]]), given.mask)
        valid = valid_bands(step.raster, own)
        cut = window.slices_in(part)
        if valid is None or valid[0][cut].all():
            return _part(own, cut)
        reach = window.pad(int(step.values["smoothing"])).clip(up.whole)
        pixels, filled = _fill(step, own.pixels[0], valid[0], part, reach)
        known = filled | valid[0][reach.slices_in(part)]
        _smooth(step, up, pixels, known, filled, reach)
        inner = window.slices_in(reach)
        block = block_of(step.raster, pixels[inner][np.newaxis], known[inner][np.newaxis])
        if step.raster.validity == "alpha":
            was = own.pixels[-1][cut]
            block.pixels[-1] = np.where(was > 0, was, block.pixels[-1])
        return block

    def scratch(self, step: StepPlan, up: Raster) -> int:
        work = _work_type(up.dtype).itemsize
        size = np.dtype(up.dtype).itemsize
        # The surroundings, the picked band and its validity, the next rows; values, filled, known.
        beyond = (grown(self.halo(step)) - 1) * up.count * size
        return math.ceil(beyond + grown(self.halo(step)) * (size + work + 6) + 2 * work + size + 2)


def _seen(up: Raster) -> str:
    return "opaque" if up.validity == "alpha" else "valid in the mask"


def _work_type(dtype: str) -> np.dtype:
    """Return the type in which values are interpolated: GDAL's float32 where it holds them all."""
    kind = np.dtype(dtype)
    small = kind.itemsize <= 2 or kind == np.float32
    return np.dtype(np.float32 if small else np.float64)


def _part(own: Block, cut: tuple[slice, slice]) -> Block:
    mask = None if own.mask is None else own.mask[cut]
    return Block(np.ascontiguousarray(own.pixels[:, *cut]), mask)


def _fill(
    step: StepPlan, band: Pixels, valid: Valid, part: Window, reach: Window
) -> tuple[Pixels, Valid]:
    """Return the pixels of ``reach``, filled as far as they can be, and which were; ``band`` and
    ``valid`` hold ``part``."""
    work = _work_type(step.raster.dtype)
    out = np.empty(reach.shape, work)
    filled = np.empty(reach.shape, np.uint8)
    corner = reach.row_off - part.row_off, reach.col_off - part.col_off
    pixel_loops.fill(
        np.ascontiguousarray(band, work), np.ascontiguousarray(valid), corner,
        int(step.values["max_distance"]), part.right == step.raster.width,
        bool(step.values["nearest"]),
        np.empty((reach.height, part.width), np.int32), np.empty(part.width, np.int32),
        out, filled,
    )  # fmt: skip
    pixels = band[reach.slices_in(part)].copy()
    where: Valid = filled.view(np.bool_)
    pixels[where] = converted(out[where], step.raster.dtype)
    return pixels, where


def _smooth(
    step: StepPlan, up: Raster, pixels: Pixels, known: Valid, filled: Valid, reach: Window
) -> None:
    """Smooth the ``filled`` ones of ``pixels`` (h, w), which hold ``reach``, in place."""
    passes = int(step.values["smoothing"])
    if not passes or not filled.any():
        return
    values = pixels.astype(_work_type(step.raster.dtype))
    after = np.empty_like(values)
    rows = 1 - reach.row_off, up.height - 1 - reach.row_off
    for _ in range(passes):
        pixel_loops.smooth(values, known, filled, rows, after)
        values, after = after, values
    pixels[filled] = converted(values[filled], step.raster.dtype)


def colour_band(up: Raster, number: int) -> int:
    """Return a band by its number from 1 as one from 0. Raises SchemaError if it is alpha."""
    check_band(up, number)
    if number > up.bands:
        raise SchemaError(f"band {number} is alpha: it says which pixels are valid")
    return number - 1
