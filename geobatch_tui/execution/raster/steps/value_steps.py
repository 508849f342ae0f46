"""Steps that change values pixel by pixel: *scale* and *unscale*."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.plan import Raster, StepPlan, json_number, number_of
from geobatch_tui.execution.raster.steps.band_steps import TYPES, check_band, typed
from geobatch_tui.execution.raster.steps.conversion import mapped, mapping_bytes, valid_bands
from geobatch_tui.execution.raster.steps.step import Block, LocalStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.steps.conversion import Function
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Number, Pixels, Valid

#: Types whose values GDAL computes with in 64 bits; with others it does in 32.
_WIDE = frozenset({"int32", "uint32", "int64", "uint64", "float64"})


class Scale(LocalStep):
    """Maps a range of values to another, linearly or by a power.

    Values are rounded to 32 bits on the way where GDAL does, so that those half way between two
    whole numbers become the same.
    """

    name = "scale"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        if params.band is not None:
            check_band(up, params.band)
        bands = range(up.bands) if params.band is None else [params.band - 1]
        if any(band >= up.bands for band in bands):
            raise SchemaError(f"band {params.band} is alpha, which is not scaled")
        dtype = up.dtype if params.output_data_type is None else TYPES[params.output_data_type]
        raster = changed(typed(up, dtype, planning), bands, planning)
        out = _range_of(dtype) if params.output_min is None else (
            params.output_min, params.output_max
        )  # fmt: skip
        if params.input_min is None:
            ranges = _own_ranges(planning, bands)
        else:
            ranges = [(params.input_min, params.input_max)] * len(bands)
        _warn_of_nodata(raster, out, planning)
        if params.no_clip and params.exponent != int(params.exponent):
            planning.warn(
                f"values below the range have no power of {params.exponent:g}: they become NaN, "
                "which is 0 in types of whole numbers, as in GDAL"
            )
        values = {
            "bands": list(bands),
            "input": [_apart(low, high) for low, high in ranges],
            "output": list(out),
            "exponent": params.exponent,
            "clip": not params.no_clip,
        }
        return StepPlan(self.name, self.version, values, raster)

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        del part, window
        values, work = step.values, _work(up.dtype, step.raster.dtype)
        functions: list[Function | None] = [None] * up.bands
        for band, (low, high) in zip(values["bands"], values["input"], strict=True):
            functions[band] = _scaling(
                (low, high), values["output"], values["exponent"], work, clip=values["clip"]
            )
        return mapped(step, up, given, functions)

    def scratch(self, step: StepPlan, up: Raster) -> int:
        return mapping_bytes(step, up)


class Unscale(LocalStep):
    """Applies the scale and the offset of each band."""

    name = "unscale"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        dtype = "float64" if up.dtype == "float64" else "float32"
        if params.output_data_type is not None:
            dtype = TYPES[params.output_data_type]
        pairs = [*zip(up.scales, up.offsets, strict=True)][: up.bands]
        if all(pair == (1, 0) for pair in pairs):
            planning.warn("no band has a scale or an offset: values stay")
        raster = replace(
            plain(typed(up, dtype, planning)),
            scales=(1.0,) * up.count,
            offsets=(0.0,) * up.count,
        )
        return StepPlan(self.name, self.version, {"bands": [list(pair) for pair in pairs]}, raster)

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        del part, window
        work = _work(up.dtype, step.raster.dtype)
        functions = [
            _line(scale, offset, work) if (scale, offset) != (1, 0) else None
            for scale, offset in step.values["bands"]
        ]
        return mapped(step, up, given, functions)

    def scratch(self, step: StepPlan, up: Raster) -> int:
        return mapping_bytes(step, up)


def changed(raster: Raster, bands: Sequence[int], planning: Planning) -> Raster:
    """Return ``raster`` whose ``bands`` hold other values: their scale, offset and unit go."""

    def each[T](values: tuple[T, ...], new: T) -> tuple[T, ...]:
        return tuple(new if band in bands else value for band, value in enumerate(values))

    raster = plain(raster)
    scales, offsets = each(raster.scales, 1.0), each(raster.offsets, 0.0)
    if (scales, offsets) != (raster.scales, raster.offsets):
        planning.warn("the scale and the offset of bands are left out: they are of other values")
    return replace(raster, scales=scales, offsets=offsets, units=each(raster.units, ""))


def plain(raster: Raster) -> Raster:
    """Return ``raster`` without a palette, whose values would be others."""
    if raster.colormap is None:
        return raster
    return replace(raster, colormap=None, colorinterp=("gray",))


# --- the functions of scale and unscale --------------------------------------------------------


def _work(source: str, dtype: str) -> str:
    """Return the type that values are rounded to before they become ``dtype``, which is GDAL's; but
    values of 64 bits are not cut to 32."""
    return "float64" if source in _WIDE or dtype in _WIDE else "float32"


def _scaling(
    given: tuple[float, float],
    wanted: tuple[float, float],
    exponent: float,
    work: str,
    *,
    clip: bool,
) -> Function:
    (low, high), (first, last) = given, wanted
    if not clip and exponent == 1:
        ratio = (last - first) / (high - low)
        return _line(ratio, -low * ratio + first, work)

    def function(values: Pixels) -> Pixels:
        with np.errstate(all="ignore"):
            places = np.asarray((values.astype(np.float64) - low) / (high - low))
            if clip:
                places[places < 0] = 0
                places[places > 1] = 1
            if exponent != 1:
                flat = np.ascontiguousarray(places).reshape(-1)
                pixel_loops.power(flat, float(exponent))
                places = flat.reshape(values.shape)
            scaled: Pixels = ((last - first) * places + first).astype(work)
        return scaled

    return function


def _line(scale: float, offset: float, work: str) -> Function:
    def function(values: Pixels) -> Pixels:
        with np.errstate(all="ignore"):
            line: Pixels = (values.astype(np.float64) * scale + offset).astype(work)
        return line

    return function


def _apart(low: float, high: float) -> list[float]:
    """Return the ends of a range as numbers that differ, as GDAL makes them."""
    ends = [float(low), float(high)]
    if ends[0] == ends[1]:
        ends[1] += 0.1
    if ends[0] == ends[1]:
        raise SchemaError(f"the range of the input is the one value {low!r}")
    return ends


def _range_of(dtype: str) -> tuple[float, float]:
    """Return the range of a type; of floats 0 to 1. Those of 64 bits are GDAL's, in numbers that a
    float holds."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return 0.0, 1.0
    limits = np.iinfo(kind)
    if kind.itemsize < 8:
        return float(limits.min), float(limits.max)
    return float(limits.min + 1024 if limits.min else 0), float(limits.max - 2048)


def _warn_of_nodata(raster: Raster, out: tuple[float, float], planning: Planning) -> None:
    if raster.validity != "nodata" or not validity.is_number(raster.nodata):
        return
    if min(out) <= raster.nodata <= max(out):
        aside = validity.avoided(raster.nodata, raster.dtype, raster.dtype)[1]
        planning.warn(
            f"nodata {raster.nodata} lies in the range of the output: valid pixels that become "
            f"{raster.nodata} are moved to {aside}; in GDAL they are nodata"
        )


# --- the range of all pixels -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ranges:
    """The survey of the least and the greatest value of the valid pixels of each of ``bands``;
    None: there is none. NaN is left out."""

    bands: Sequence[int]

    def look(self, up: Raster, parts: Iterable[tuple[Window, Block]]) -> Json:
        found: list[tuple[Number, Number] | None] = [None] * len(self.bands)
        for _, block in parts:
            valid = valid_bands(up, block)
            for number, band in enumerate(self.bands):
                good = None if valid is None else valid[min(band, len(valid) - 1)]
                found[number] = _wider(found[number], _range(block.pixels[band], good))
        return {"ranges": [ends and [*map(json_number, ends)] for ends in found]}

    def join(self, up: Raster, looks: Sequence[Json]) -> list[tuple[Number, Number] | None]:
        del up
        found: list[tuple[Number, Number] | None] = [None] * len(self.bands)
        for look in looks:
            for number, ends in enumerate(look["ranges"]):
                seen = ends and (number_of(ends[0]) or 0, number_of(ends[1]) or 0)
                found[number] = _wider(found[number], seen)
        return found


def _range(band: Pixels, good: Valid | None) -> tuple[Number, Number] | None:
    """Return the range of those values of ``band`` that are ``good`` numbers."""
    if band.dtype.kind == "f":
        number = ~np.isnan(band)
        good = number if good is None else good & number
    if good is not None and not good.all():
        band = band[good]
    return (band.min().item(), band.max().item()) if band.size else None


def _wider(
    one: tuple[Number, Number] | None, other: tuple[Number, Number] | None
) -> tuple[Number, Number] | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def _own_ranges(planning: Planning, bands: Sequence[int]) -> list[tuple[float, float]]:
    found = ranges_of(planning, bands)
    for band, ends in zip(bands, found, strict=True):
        if ends is None:
            planning.warn(f"band {band + 1} has no valid pixel, so there is nothing to scale")
    return [ends or (0.0, 1.0) for ends in found]


def ranges_of(planning: Planning, bands: Sequence[int]) -> list[tuple[Number, Number] | None]:
    """Return the range of each of ``bands`` of what the step gets.

    Raises:
        SchemaError: a value is infinite.
        CorruptSourceError: pixels cannot be read.
    """
    found = planning.survey(
        Ranges(bands),
        "the range of values is found",
        ". GDAL takes that of a sample, or of an overview",
    )
    for band, ends in zip(bands, found, strict=True):
        if ends is not None and not (math.isfinite(ends[0]) and math.isfinite(ends[1])):
            raise SchemaError(
                f"band {band + 1} has infinite values, so its range has no ends",
                hint="say the range: input_min and input_max, or values in place of shares",
            )
    return found
