"""The step *color-map*: colours of the values of a band."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.value_tables import Colour, ColourStop
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.plan import StepPlan, json_number, number_of
from geobatch_tui.execution.raster.steps.band_steps import check_band
from geobatch_tui.execution.raster.steps.conversion import (
    FEW,
    every_value,
    row_tiles,
    valid_bands,
)
from geobatch_tui.execution.raster.steps.step import Block, LocalStep
from geobatch_tui.execution.raster.steps.value_steps import ranges_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import Raster
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Flags, Pixels, Points

    #: A value and its colour.
    type Stop = tuple[float, Colour]

#: How a colour is chosen, as ``value_loops.colour`` takes it.
_HOW = {"interpolate": 0, "exact": 1, "nearest": 2}
_COLOURS = ("red", "green", "blue", "alpha")


class ColorMap(LocalStep):
    """Makes red, green and blue, and alpha where it is asked for, of the values of one band.

    Invalid pixels have the colour of ``nv``; without one they stay invalid: transparent, or masked.
    GDAL gives them that of their value.
    """

    name = "color-map"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        check_band(up, params.band)
        band = params.band - 1
        if band >= up.bands:
            raise SchemaError(f"band {params.band} is alpha, which has no colours")
        stops, nodata = self._stops(up, params, planning)
        hides = up.validity != "none" and nodata is None
        if hides and params.colors:
            planning.warn(
                f"nodata is {'transparent' if params.add_alpha else 'masked'}; GDAL gives it the "
                "colour of its value: an entry nv in the colour map says which"
            )
        values = {
            "band": band,
            "how": _HOW[params.color_selection if params.colors else "exact"],
            "values": [json_number(value) for value, _ in stops],
            "colors": [list(colour) for _, colour in stops],
            "nodata": None if nodata is None else list(nodata),
        }
        count = 4 if params.add_alpha else 3
        raster = replace(
            up,
            count=count,
            dtype="uint8",
            nodata=None,
            validity="alpha" if params.add_alpha else "mask" if hides else "none",
            colorinterp=_COLOURS[:count],
            colormap=None,
            descriptions=("",) * count,
            scales=(1.0,) * count,
            offsets=(0.0,) * count,
            units=("",) * count,
            band_tags=(),
        )
        return StepPlan(self.name, self.version, values, raster)

    @staticmethod
    def _stops(up: Raster, params: Frozen, planning: Planning) -> tuple[list[Stop], Colour | None]:
        """Return the colours by value, and that of nodata, if it is said."""
        if not params.colors:
            if up.colormap is None:
                raise SchemaError(
                    "the input has no palette, so its colours must be said",
                    hint="color_map names a file with colours, as gdaldem takes it",
                )
            return [(float(value), colour) for value, colour in enumerate(up.colormap)], None
        given = [ColourStop.of(tuple(entry)) for entry in params.colors]
        nodata = next((stop.colour for stop in reversed(given) if stop.kind == "nodata"), None)
        if nodata is not None and up.validity == "none":
            planning.warn("nv is left out: the input has no nodata")
            nodata = None
        low, high = 0.0, 0.0
        if any(stop.kind == "share" for stop in given):
            (ends,) = ranges_of(planning, [params.band - 1])
            low, high = ends or (0.0, 0.0)
        stops: list[Stop] = []
        own = up.nodata if validity.is_number(up.nodata) else None
        for stop in given:
            if stop.kind == "nodata":
                if own is not None and nodata is not None:
                    stops.append((float(own), stop.colour))
                continue
            value = low + stop.value * (high - low) if stop.kind == "share" else stop.value
            stops.append((value, stop.colour))
        if own is not None and nodata is None:  # who writes the value itself means nodata
            nodata = next((colour for value, colour in reversed(stops) if value == own), None)
        return ramp(stops, own, exact=params.color_selection == "exact"), nodata

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        del part
        band = step.values["band"]
        pixels = np.empty((4, *window.shape), np.uint8)
        _colour(step.values, given.pixels[band], pixels)
        valid = valid_bands(up, given)
        known = np.ones(window.shape, bool)
        if valid is not None:
            known = valid[min(band, len(valid) - 1)]
            pixels[:, ~known] = np.array(step.values["nodata"] or (0, 0, 0, 0), np.uint8)[:, None]
        if step.raster.validity == "mask":
            return Block(pixels[:3], known)
        return Block(pixels[: step.raster.count])

    def scratch(self, step: StepPlan, up: Raster) -> int:
        del step
        return 6 + up.count


def _colour(values: Any, band: Pixels, out: Pixels) -> None:
    """Fill ``out`` (4, h, w) with the colours of ``band``."""
    pairs = zip(values["values"], values["colors"], strict=True)
    stops = [(float(number_of(value) or 0), colour) for value, colour in pairs]
    nan = next((colour for value, colour in stops if math.isnan(value)), (0, 0, 0, 0))
    real = [stop for stop in stops if not math.isnan(stop[0])]
    ends: Points = np.array([value for value, _ in real], np.float64)
    colours: Points = np.array([colour for _, colour in real], np.float64).reshape(-1, 4)

    def of(part: Pixels) -> Flags:
        flat = np.ascontiguousarray(part).reshape(-1)
        found = np.zeros((4, flat.size), np.uint8)
        if real:
            pixel_loops.colour(flat, ends, colours, values["how"], found)
        if part.dtype.kind == "f":
            found[:, np.isnan(flat)] = np.array(nan, np.uint8)[:, np.newaxis]
        return found.reshape(4, *part.shape)

    table: Flags | None = None
    if band.dtype.name in FEW and band.size >= 256**band.itemsize:
        table = of(every_value(band.dtype))
        band = band.view(f"u{band.itemsize}")
    for rows in row_tiles(band):
        if table is None:
            out[:, rows] = of(band[rows])
        else:
            for own, pixels in zip(table, out, strict=True):
                np.take(own, band[rows], out=pixels[rows], mode="clip")


def ramp(stops: Sequence[Stop], nodata: float | None, *, exact: bool) -> list[Stop]:
    """Return ``stops`` in ascending order, NaN first, as gdaldem arranges them.

    Nodata has its colour alone: beside it stand the colours of its neighbours, unless ``exact``.
    Several colours of one value are moved apart by so little that it is a sharp edge.
    """
    ordered = sorted(stops, key=lambda stop: (not math.isnan(stop[0]), stop[0]))
    values = [value for value, _ in ordered]
    beside: list[Stop] = []
    first = 0  # the second of a series of equal values, if there is one
    for at in range(1, len(ordered)):
        before, value = values[at - 1], values[at]
        if not exact and nodata is not None and value == nodata:
            under = math.nextafter(value, -math.inf)
            if under > before:
                beside.append((under, ordered[at - 1][1]))
        elif not exact and nodata is not None and before == nodata:
            over = math.nextafter(before, math.inf)
            if over < value:
                beside.append((over, ordered[at][1]))
        elif not first and value == before:
            first = at
        elif first and value != before:
            _move_apart(values, first, at)
            first = 0
    moved = [(value, colour) for value, (_, colour) in zip(values, ordered, strict=True)]
    return sorted(moved + beside, key=lambda stop: (not math.isnan(stop[0]), stop[0]))


def _move_apart(values: list[float], first: int, after: int) -> None:
    """Move the equal values from ``first`` - 1 to before ``after`` apart, in the last places."""
    value, count = values[after - 1], after - first + 1
    lower = values[first - 2] if first >= 2 else None
    total = values[after] - (value if lower is None else lower)
    left = 0.0 if lower is None else value - lower
    if not total > abs(value) * count * sys.float_info.epsilon:
        return
    factor = 0.5 - count * left / total
    for at in range(first - 1, after):
        values[at] += abs(value) * factor * sys.float_info.epsilon
        factor += 1.0
