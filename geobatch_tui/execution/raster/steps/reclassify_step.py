"""The step *reclassify*: classes in the place of values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import InvalidInputError, SchemaError
from geobatch_tui.execution.params import value_tables
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.plan import Raster, StepPlan, json_number
from geobatch_tui.execution.raster.steps.band_steps import TYPES, typed
from geobatch_tui.execution.raster.steps.conversion import (
    FEW,
    block_of,
    converted,
    every_value,
    mapping_bytes,
    row_tiles,
    valid_bands,
    with_own_alpha,
)
from geobatch_tui.execution.raster.steps.step import Block, LocalStep
from geobatch_tui.execution.raster.steps.value_steps import changed

if TYPE_CHECKING:
    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Flags, Pixels, Points

#: What became of a value: a class, nodata, nothing, or what it was.
_MAPPED, _NODATA, _UNMAPPED, _PASSED = range(4)


class Reclassify(LocalStep):
    """Puts classes in the place of values.

    Invalid pixels stay invalid, unless the mapping says what nodata becomes; GDAL takes them for
    values.
    """

    name = "reclassify"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        mapping = value_tables.parse_mapping(params.mapping)
        dtype = up.dtype if params.output_data_type is None else TYPES[params.output_data_type]
        raster = changed(typed(up, dtype, planning), range(up.bands), planning)
        targets = list(mapping.targets)
        if raster.validity == "none" and (mapping.nodata is not None or "NO_DATA" in targets):
            raise SchemaError(
                "the mapping has NO_DATA, and the input has no nodata",
                hint="edit with nodata = ... gives it one before",
            )
        for target in targets:
            if not isinstance(target, str):
                validity.fitted(_whole(target), dtype, "mapping: the value")
        if up.validity != "none" and _said_of_nodata(mapping, up) is None:
            _warn_of_invalid(mapping, up, planning)
        return StepPlan(self.name, self.version, {"mapping": params.mapping}, raster)

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        del part
        classes = _classes(step.values["mapping"], step.raster.dtype, up, step.raster)
        shape = (up.bands, *window.shape)
        pixels: Pixels = np.empty(shape, step.raster.dtype)
        states = np.empty(shape, np.uint8)
        for band, *out in zip(given.pixels, pixels, states, strict=False):
            classes.fill(band, *out)
        valid = valid_bands(up, given)
        if valid is not None:
            if up.validity == "nodata" and classes.has_nan:
                valid |= np.isnan(given.pixels)
            invalid = np.broadcast_to(~valid, shape)
            if isinstance(classes.nodata, float):
                pixels[invalid], states[invalid] = classes.nodata, _MAPPED
            else:
                states[invalid] = _NODATA
        _refuse_unmapped(states, given.pixels, window)
        good = None if step.raster.validity == "none" else states != _NODATA
        return with_own_alpha(up, given, block_of(step.raster, pixels, good))

    def scratch(self, step: StepPlan, up: Raster) -> int:
        return mapping_bytes(step, up) + 3 * up.count


@dataclass(frozen=True, slots=True, eq=False)
class _Classes:
    """A mapping as tables: by interval, and behind these for the rest and for NaN, the new pixel
    and what became of the old."""

    lows: Points
    highs: Points
    pixels: Pixels
    states: Flags
    nodata: value_tables.Target | None
    has_nan: bool

    def fill(self, band: Pixels, pixels: Pixels, states: Flags) -> None:
        """Fill ``pixels`` and ``states`` (h, w) with what ``band`` becomes."""
        tables: tuple[Pixels, Flags] | None = None
        if band.dtype.name in FEW and band.size >= 256**band.itemsize:
            tables = self._of(every_value(band.dtype))
            band = band.view(f"u{band.itemsize}")
        for rows in row_tiles(band):
            if tables is None:
                pixels[rows], states[rows] = self._of(band[rows])
            else:
                for table, out in zip(tables, (pixels, states), strict=True):
                    np.take(table, band[rows], out=out[rows], mode="clip")

    def _of(self, values: Pixels) -> tuple[Pixels, Flags]:
        places = np.empty(values.size, np.int32)
        flat = np.ascontiguousarray(values).reshape(-1)
        pixel_loops.classify(flat, self.lows, self.highs, places)
        pixels = self.pixels.take(places).reshape(values.shape)
        states: Flags = self.states.take(places).reshape(values.shape)
        passed = states == _PASSED
        if passed.any():
            np.copyto(pixels, converted(values, pixels.dtype.name), where=passed)
        return pixels, states


def _classes(text: str, dtype: str, up: Raster, raster: Raster) -> _Classes:
    nodata = None if raster.nodata is None else float(raster.nodata)
    own = None if up.nodata is None else float(up.nodata)
    return _classes_of(text, dtype, own, nodata)


@lru_cache(16)
def _classes_of(text: str, dtype: str, own: float | None, nodata: float | None) -> _Classes:
    """Return the tables of a mapping; ``own`` is the nodata value before it, ``nodata`` that
    behind it, which no class can have."""
    mapping = value_tables.parse_mapping(text)
    rest = mapping.default
    targets: list[value_tables.Target | None] = [one.target for one in mapping.intervals]
    targets += [rest, rest if mapping.nan is None else mapping.nan]
    pixels: Pixels = np.zeros(len(targets), dtype)
    states = np.full(len(targets), _MAPPED, np.uint8)
    for number, target in enumerate(targets):
        if target is None:
            states[number] = _UNMAPPED
        elif target == "PASS_THROUGH":
            states[number] = _PASSED
        elif target == "NO_DATA" or _same(target, nodata):
            states[number] = _NODATA
        else:
            pixels[number] = _whole(target)
    return _Classes(
        np.array([interval.low for interval in mapping.intervals]),
        np.array([interval.high for interval in mapping.intervals]),
        pixels,
        states,
        _said_of(mapping, own),
        mapping.nan is not None,
    )


def _said_of_nodata(mapping: value_tables.Mapping, up: Raster) -> value_tables.Target | None:
    """Return what nodata becomes; None: the mapping does not say it."""
    return _said_of(mapping, None if up.nodata is None else float(up.nodata))


def _said_of(mapping: value_tables.Mapping, own: float | None) -> value_tables.Target | None:
    # Who writes the nodata value itself means nodata.
    named = (
        interval.target
        for interval in mapping.intervals
        if interval.low == interval.high and _same(interval.low, own)
    )
    return next(named, None) if mapping.nodata is None else mapping.nodata


def _same(value: object, nodata: float | None) -> bool:
    return (
        nodata is not None
        and isinstance(value, float)
        and (value == nodata or (math.isnan(value) and math.isnan(nodata)))
    )


def _whole(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _warn_of_invalid(mapping: value_tables.Mapping, up: Raster, planning: Planning) -> None:
    if up.validity != "nodata" or up.nodata is None:
        planning.warn(f"pixels that the {up.validity} hides stay hidden; GDAL classifies them")
        return
    value = float(up.nodata)
    found = (one.target for one in mapping.intervals if one.low <= value <= one.high)
    became = next(found, mapping.default)
    if isinstance(became, float):
        planning.warn(
            f"nodata stays nodata; GDAL takes {up.nodata} for a value, which becomes {became:g}: "
            f"NO_DATA = {became:g} in the mapping says the same"
        )


def _refuse_unmapped(states: Flags, pixels: Pixels, window: Window) -> None:
    """Raise InvalidInputError if a value has no class; it names the first in ``window``."""
    unmapped = states == _UNMAPPED
    if not unmapped.any():
        return
    band, row, column = (int(at) for at in np.unravel_index(unmapped.argmax(), unmapped.shape))
    value = pixels[band, row, column].item()
    place = [window.row_off + row, window.col_off + column]
    error = InvalidInputError(
        f"reclassify: the value {value!r} of band {band + 1} at [row, column] {place} has no class",
        hint="DEFAULT = ... in the mapping says what the rest becomes: a value, NO_DATA or "
        "PASS_THROUGH",
    )
    error.evidence |= {"band": band + 1, "value": json_number(value), "pixel": place}
    raise error
