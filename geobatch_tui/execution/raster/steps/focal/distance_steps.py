"""Steps that look for the nearest pixels of a kind: *fill-nodata* and *proximity*.

Both look no further than their ``max_distance``, so a window needs as much round it, and no more.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.proj.crs_lookup import is_degrees
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.plan import Raster, StepPlan, json_number, number_of
from geobatch_tui.execution.raster.steps.band_steps import TYPES, check_band, picked_bands
from geobatch_tui.execution.raster.steps.conversion import block_of, converted, valid_bands
from geobatch_tui.execution.raster.steps.step import Block, LocalStep, grid_of

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Number, Pixels, Points, Valid

#: Pixels that a step may look beyond a window, as ``params.steps.distance_params`` has it.
_MOST = 2048
#: Side of a chunk for the memory that its surroundings take: chunks are seldom smaller.
_SIDE = 1024
#: Rows for which distances are kept at a time.
_STRIP = 256


def grown(halo: int) -> float:
    """Return how many pixels a chunk with its surroundings has, for each of its own."""
    return (1 + 2 * halo / _SIDE) ** 2


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

    def plan(self, up: Raster, params: Any, planning: Planning) -> StepPlan:
        band = _colour_band(up, params.band)
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


class Proximity(LocalStep):
    """Gives each pixel its distance to the nearest target pixel, from centre to centre, exactly.

    Pixels further away than ``max_distance``, and invalid ones, are nodata. Invalid pixels are no
    targets. GDAL's distances are from the targets that it finds on its way over the lines, which at
    times are not the nearest.
    """

    name = "proximity"

    def plan(self, up: Raster, params: Any, planning: Planning) -> StepPlan:
        band = _colour_band(up, params.band)
        across, ratio = _pixel_of(up, params.distance_units, planning)
        limit = float(params.max_distance) / across
        halo = math.floor(limit * max(1.0, 1.0 / ratio))
        if halo > _MOST:
            raise SchemaError(
                f"max_distance {params.max_distance:g} is {halo} pixels; a chunk is computed from "
                f"itself and at most {_MOST} pixels round it",
                hint="give a smaller one, or work on a coarser raster (resize)",
            )
        dtype = TYPES[params.output_data_type.lower()]
        raster = _one_band(up, dtype, _nodata_of(params.nodata, dtype, planning))
        targets = [_target(value, up.dtype) for value in params.target_values]
        fixed = None if params.fixed_value is None else float(params.fixed_value)
        _note_values(up, raster, params, planning)
        if params.nodata is None:
            planning.warn(
                f"pixels beyond max_distance are nodata, {raster.nodata}; GDAL 3.13 writes 65535 "
                "there and does not say that it is nodata"
            )
        values = {
            "band": band, "targets": targets, "across": across, "ratio": ratio, "limit": limit,
            "halo": halo, "fixed": fixed,
        }  # fmt: skip
        return StepPlan(self.name, self.version, values, raster)

    def halo(self, step: StepPlan) -> int:
        return int(step.values["halo"])

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        valid = valid_bands(up, given)
        band = int(step.values["band"])
        pixels = given.pixels[band]
        own = None if valid is None else valid[band if len(valid) > 1 else 0]
        targets = _targets(step, pixels, own)
        values = np.empty(window.shape, step.raster.dtype)
        near = np.empty(window.shape, bool)
        # No shorter than what is read round it.
        height = max(_STRIP, 2 * self.halo(step))
        for strip in window.parts(window.width, height):
            inside = strip.slices_in(window)
            values[inside], near[inside] = _distances(step, targets, part, strip)
        if own is not None:
            near &= own[window.slices_in(part)]
        return block_of(step.raster, values[np.newaxis], near[np.newaxis])

    def scratch(self, step: StepPlan, up: Raster) -> int:
        growth = grown(self.halo(step))
        own = up.count * np.dtype(up.dtype).itemsize
        # Surroundings, validity, targets; a strip's rows, squares, distances; values and near.
        strip = 2 * max(_STRIP, 2 * self.halo(step)) / _SIDE * 28
        size = np.dtype(step.raster.dtype).itemsize
        return math.ceil((growth - 1) * own + growth * (up.count + 2) + strip + size + 3)


def _colour_band(up: Raster, number: int) -> int:
    """Return a band by its number from 1 as one from 0. Raises SchemaError if it is alpha."""
    check_band(up, number)
    if number > up.bands:
        raise SchemaError(f"band {number} is alpha: it says which pixels are valid")
    return number - 1


def _pixel_of(up: Raster, units: str, planning: Planning) -> tuple[float, float]:
    """Return the width of a pixel in the units of distances, and its height over its width."""
    if units == "pixel":
        return 1.0, 1.0
    a, b, _, d, e, _ = up.transform
    if b or d:
        raise SchemaError(
            "distances in the units of the CRS are not told on a rotated grid",
            hint='distance_units = "pixel", or reproject it first',
        )
    if is_degrees(grid_of(up).crs):
        planning.warn("the CRS is geographic: distances are in degrees, as GDAL's")
    across, down = abs(a), abs(e)
    if across != down:
        planning.warn(
            f"pixels are {across:.9g} wide and {down:.9g} high, and distances heed both; GDAL "
            "takes the width for both"
        )
    return across, down / across


def _nodata_of(asked: Number | None, dtype: str, planning: Planning) -> Number:
    """Return nodata for distances, GDAL's if none is given."""
    floats = np.dtype(dtype).kind == "f"
    if asked is None:
        return math.nan if floats else int(np.iinfo(dtype).max)
    nodata = validity.fitted(number_of(asked) or 0, dtype, "nodata")
    if nodata == 0:
        moved = validity.avoided(nodata, dtype, dtype)[1]
        planning.warn(f"targets get {moved}, since the distance 0 would read as nodata")
    return nodata


def _one_band(up: Raster, dtype: str, nodata: Number) -> Raster:
    """Return the raster of distances: nothing that ``up`` says of its values holds for them."""
    return replace(
        picked_bands(up, [0]), dtype=dtype, nodata=nodata, validity="nodata",
        colorinterp=("gray",), descriptions=("",), scales=(1.0,), offsets=(0.0,), units=("",),
        band_tags=(), tags={}, domains={},
    )  # fmt: skip


def _target(value: float, dtype: str) -> Number | str:
    """Return a value of target pixels as the type has it, JSON-ready."""
    kind = np.dtype(dtype)
    number: Number = int(value) if value == math.floor(value) else value
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        if not isinstance(number, int) or not limits.min <= number <= limits.max:
            raise SchemaError(f"target value {value!r} does not occur in {dtype} pixels")
        return number
    return json_number(float(kind.type(value))) or 0.0


def _note_values(up: Raster, raster: Raster, params: Any, planning: Planning) -> None:
    """Warn of pixels that GDAL takes for others, and of distances that the type cannot hold."""
    if np.dtype(up.dtype).kind == "f":
        planning.warn("targets are found by their exact values; GDAL drops fractions first")
    if up.validity != "none" and not params.target_values:
        planning.warn("invalid pixels are no targets; to GDAL nodata other than 0 is one")
    kind = np.dtype(raster.dtype)
    if kind.kind in "iu" and float(params.max_distance) >= np.iinfo(kind).max:
        planning.warn(
            f"{raster.dtype} holds distances up to {np.iinfo(kind).max - 1}: larger ones become "
            "that"
        )


def _targets(step: StepPlan, pixels: Pixels, valid: Valid | None) -> Valid:
    """Return which pixels are targets."""
    wanted = step.values["targets"]
    found: Valid
    if wanted:
        found = np.isin(pixels, np.array([number_of(one) for one in wanted], pixels.dtype))
    else:
        found = pixels != 0
    if valid is not None:
        found &= valid
    elif pixels.dtype.kind == "f":
        found &= ~np.isnan(pixels)
    return np.ascontiguousarray(found)


def _distances(step: StepPlan, targets: Valid, part: Window, strip: Window) -> tuple[Pixels, Valid]:
    """Return the values of ``strip`` in the type of the output, and which pixels are near enough;
    ``targets`` holds ``part``."""
    halo, ratio = int(step.values["halo"]), float(step.values["ratio"])
    around = strip.pad(halo).clip(part)
    rows, _ = around.slices_in(part)
    seen = targets[rows]  # whole rows, in one piece
    corner = strip.row_off - around.row_off, strip.col_off - part.col_off
    out: Points = np.empty(strip.shape)
    above = np.empty((strip.height, part.width), np.int32)
    below = np.empty(part.width, np.int32)
    hull, downs = np.empty((3, part.width), np.int64), np.empty(part.width)
    pixel_loops.squares(seen, corner, halo, ratio, above, below, hull, downs, out)
    limit = float(step.values["limit"])
    near: Valid = (out >= 0) & (out <= limit * limit)
    if step.values["fixed"] is not None:
        out = np.where(out > 0, float(step.values["fixed"]), 0.0)
    else:
        np.sqrt(np.maximum(out, 0.0, out=out), out=out)
        out *= float(step.values["across"])
    return converted(out, step.raster.dtype), near
