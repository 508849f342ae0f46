"""The step *proximity*: the distance of each pixel to the nearest target.

Up to ``max_distance`` a window needs as much round it, and no more; without one, or with one that
is far, `far_targets.py` tells what it needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.proj.crs_lookup import is_degrees
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.plan import Raster, StepPlan, json_number, number_of
from geobatch_tui.execution.raster.steps.band_steps import TYPES, picked_bands
from geobatch_tui.execution.raster.steps.conversion import block_of, converted, valid_bands
from geobatch_tui.execution.raster.steps.focal.distance_steps import SIDE, colour_band, grown
from geobatch_tui.execution.raster.steps.focal.far_targets import Blocks, Search, unpacked
from geobatch_tui.execution.raster.steps.step import Block, LocalStep, grid_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.raster.steps.step import Planning, Upstream
    from geobatch_tui.execution.raster.types import Number, Pixels, Points, Valid

#: Pixels that the step may look beyond a window.
_MOST = 2048
#: Rows for which distances are kept at a time.
_STRIP = 256


class Proximity(LocalStep):
    """Gives each pixel its distance to the nearest target pixel, from centre to centre, exactly.

    Pixels further away than ``max_distance``, and invalid ones, are nodata. Invalid pixels are no
    targets. GDAL's distances are from the targets that it finds on its way over the lines, which at
    times are not the nearest.
    """

    name = "proximity"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        band = colour_band(up, params.band)
        across, ratio = _pixel_of(up, params.distance_units, planning)
        limit = float(params.max_distance) / across if params.max_distance else math.inf
        far = limit * max(1.0, 1.0 / ratio) >= _MOST + 1
        if far and ratio != 1.0:
            raise SchemaError(
                f"pixels are {ratio:.9g} times as high as wide: distances in the units of the CRS "
                f"are told up to {_MOST} pixels there, and max_distance is "
                f"{f'{params.max_distance:g}' if params.max_distance else 'not given'}",
                hint="give a smaller max_distance, or reproject to square pixels, or count pixels",
            )
        halo = 0 if far else math.floor(limit * max(1.0, 1.0 / ratio))
        dtype = TYPES[params.output_data_type.lower()]
        raster = _one_band(up, dtype, _nodata_of(params.nodata, dtype, planning))
        targets = [_target(value, up.dtype) for value in params.target_values]
        fixed = None if params.fixed_value is None else float(params.fixed_value)
        _note_values(up, raster, params, planning)
        if params.nodata is None and params.max_distance:
            planning.warn(
                f"pixels beyond max_distance are nodata, {raster.nodata}; GDAL 3.13 writes 65535 "
                "there and does not say that it is nodata"
            )
        values = {
            "band": band, "targets": targets, "across": across, "ratio": ratio, "limit": limit,
            "halo": halo, "fixed": fixed,
        }  # fmt: skip
        step = StepPlan(self.name, self.version, values, raster)
        if not far:
            return step
        return replace(step, values={**values, **_survey(step, planning).pack()})

    def halo(self, step: StepPlan) -> int:
        return int(step.values["halo"])

    def need(self, step: StepPlan, up: Raster, window: Window) -> Window:
        blocks = _blocks_of(step, up)
        if blocks is None:
            return super().need(step, up, window)
        reach = blocks.window_of(blocks.near(window, float(step.values["limit"])))
        if not reach.size:
            return window
        left, top = min(window.col_off, reach.col_off), min(window.row_off, reach.row_off)
        right, bottom = max(window.right, reach.right), max(window.bottom, reach.bottom)
        return Window.between(left, top, right, bottom)

    def compute(self, step: StepPlan, up: Upstream, window: Window) -> Block:
        blocks = _blocks_of(step, up.raster)
        if blocks is None:
            return super().compute(step, up, window)

        def find(part: Window) -> Valid:
            return _targets_of(step, up.raster, up.block(part))[0]

        search = Search(blocks, find, float(step.values["limit"]))
        own = _targets_of(step, up.raster, up.block(window))[1]
        values = np.empty(window.shape, step.raster.dtype)
        near = np.empty(window.shape, bool)
        for strip in window.parts(window.width, _STRIP):
            inside = strip.slices_in(window)
            values[inside], near[inside] = _measured(step, search.squares(strip))
        if own is not None:
            near &= own
        return block_of(step.raster, values[np.newaxis], near[np.newaxis])

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        targets, own = _targets_of(step, up, given)
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
        strip = 2 * max(_STRIP, 2 * self.halo(step)) / SIDE * 28
        size = np.dtype(step.raster.dtype).itemsize
        return math.ceil((growth - 1) * own + growth * (up.count + 2) + strip + size + 3)


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


def _note_values(up: Raster, raster: Raster, params: Frozen, planning: Planning) -> None:
    """Warn of pixels that GDAL takes for others, and of distances that the type cannot hold."""
    if np.dtype(up.dtype).kind == "f":
        planning.warn("targets are found by their exact values; GDAL drops fractions first")
    if up.validity != "none" and not params.target_values:
        planning.warn("invalid pixels are no targets; to GDAL nodata other than 0 is one")
    kind, most = np.dtype(raster.dtype), float(params.max_distance) or math.inf
    if kind.kind in "iu" and most >= np.iinfo(kind).max:
        planning.warn(
            f"{raster.dtype} holds distances up to {np.iinfo(kind).max - 1}: larger ones become "
            "that"
        )


@dataclass(frozen=True, slots=True)
class _TargetBlocks:
    """The survey of the blocks that have a target of ``step``."""

    step: StepPlan

    def look(self, up: Raster, parts: Iterable[tuple[Window, Block]]) -> Json:
        blocks = Blocks.none(up.whole)
        for window, block in parts:
            blocks.add(_targets_of(self.step, up, block)[0], window)
        return blocks.pack()

    def join(self, up: Raster, looks: Sequence[Json]) -> Blocks:
        blocks = Blocks.none(up.whole)
        for look in looks:
            seen = unpacked(up.whole, int(look["side"]), str(look["occupied"]))
            blocks.occupied[:] |= seen.occupied
        return blocks


def _survey(step: StepPlan, planning: Planning) -> Blocks:
    """Return where the targets are, in blocks."""
    blocks = planning.survey(
        _TargetBlocks(step),
        "without a near max_distance the nearest target may lie anywhere: targets are found",
    )
    if not blocks.occupied.any():
        planning.warn("no pixel is a target: all pixels become nodata")
    return blocks


def _blocks_of(step: StepPlan, up: Raster) -> Blocks | None:
    """Return where the targets are; None: none that counts lies far from a pixel."""
    if "occupied" not in step.values:
        return None
    return unpacked(up.whole, int(step.values["side"]), step.values["occupied"])


def _targets_of(step: StepPlan, up: Raster, given: Block) -> tuple[Valid, Valid | None]:
    """Return which pixels are targets, and which are valid; None: all."""
    valid = valid_bands(up, given)
    band = int(step.values["band"])
    own = None if valid is None else valid[band if len(valid) > 1 else 0]
    return _targets(step, given.pixels[band], own), own


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
    return _measured(step, out)


def _measured(step: StepPlan, out: Points) -> tuple[Pixels, Valid]:
    """Return the values for squared distances, which are overwritten, and which are near enough."""
    limit = float(step.values["limit"])
    near: Valid = (out >= 0) & (out <= limit * limit)
    if step.values["fixed"] is not None:
        out = np.where(out > 0, float(step.values["fixed"]), 0.0)
    else:
        np.sqrt(np.maximum(out, 0.0, out=out), out=out)
        out *= float(step.values["across"])
    return converted(out, step.raster.dtype), near
