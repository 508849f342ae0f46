"""The step *calc*: bands computed from bands, pixel by pixel, in float64.

What a result becomes, in this order: it is rounded once, to the type of the output, and held within
it; it is nodata if it is no finite number then, as 0/0, 1/0, log(-1) or an overflow are; if a band
that the expression uses is nodata there, unless *propagate_nodata* is off; and if it is the nodata
value, where the job gives that or the expression writes it. Any other that happens to be the nodata
value is moved to the next one.

Those that are no finite number, though all that they come from is, are told as *undefined*, but for
NaN that the expression itself writes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.calc.expression import Number, Operation, walk
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.algebra import calc_functions, calc_run, value_range
from geobatch_tui.execution.raster.algebra.calc_program import (
    TILE,
    bands_of,
    program_of,
    trees_of,
)
from geobatch_tui.execution.raster.plan import Raster, StepPlan, number_of, sides_of, unpack_chain
from geobatch_tui.execution.raster.steps.band_steps import TYPES
from geobatch_tui.execution.raster.steps.conversion import block_of, converted
from geobatch_tui.execution.raster.steps.step import Block, LocalStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.execution.params.calc.expression import Node
    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.steps.step import Planning, Upstream
    from geobatch_tui.execution.raster.types import Number as Value
    from geobatch_tui.execution.raster.types import Pixels, Points, Valid, Validity

#: As many bands as a TIFF holds.
_MOST_BANDS = 65_535


class Calc(LocalStep):
    """Computes a band from each expression, or as many as come in from one of ``X``."""

    name = "calc"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        texts = tuple(params.calc)
        builtin = params.dialect == "builtin"
        inputs = params.inputs
        sides = [
            planning.side(f"inputs.{name}", asked, params.inputs_state.get(name, ""))
            for name, asked in inputs.items()
        ]
        beside = tuple((name, side.raster.bands) for name, side in zip(inputs, sides, strict=True))
        trees = () if builtin else trees_of(texts, up.bands, beside, flatten=params.flatten)
        for tree in trees:
            _check_bands(up, tree, sum(count for _, count in beside))
        each = 1 if params.flatten else up.bands
        count = len(texts) * each if builtin else len(trees)
        if not 0 < count <= _MOST_BANDS:
            raise SchemaError(f"calc would give {count} bands; at most {_MOST_BANDS}, at least 1")
        dtype = _type_of(up, params)
        marks, nodata = _marks(up, dtype, params, trees, planning)
        literals = {node.value for node in _parts(trees) if isinstance(node, Number)}
        by_value = nodata is not None and (_is_given(params.nodata) or nodata in literals)
        values: dict[str, Any] = {
            "calc": list(texts),
            "dialect": params.dialect,
            "flatten": params.flatten,
            "propagate_nodata": params.propagate_nodata,
            "by_value": by_value,
        }
        if sides:
            values["names"] = [list(each) for each in beside]
            values["beside"] = [side.values for side in sides]
            values["side_bytes"] = sum(side.pixel_bytes for side in sides)
        program = None if builtin else program_of(texts, up.bands, beside, flatten=params.flatten)
        if program is not None and program.uses_numpy:
            values["numerics"] = calc_functions.numerics()
        _warn(up, params, trees, planning)
        if by_value and not _is_given(params.nodata):
            planning.warn(
                f"results of {nodata:g} are nodata, which it is in the input; nodata = sets another"
            )
        raster = replace(
            up,
            count=count,
            dtype=dtype,
            nodata=nodata,
            validity=marks,
            colorinterp=("gray", *("undefined",) * (count - 1)),
            colormap=None,
            descriptions=("",) * count,
            scales=(1.0,) * count,
            offsets=(0.0,) * count,
            units=("",) * count,
            band_tags=(),
        )
        return StepPlan(self.name, self.version, values, raster)

    def compute(self, step: StepPlan, up: Upstream, window: Window) -> Block:
        layers = [_Layer.of(up.raster, up.block(window), 0)]
        for side in sides_of(step):
            raster = unpack_chain(side["chain"])[-1].raster
            layers.append(_Layer.of(raster, up.side(side, window), layers[-1].end))
        with np.errstate(all="ignore"):  # what is no number becomes nodata
            return _Calculation(step, layers, window).block()

    def scratch(self, step: StepPlan, up: Raster) -> int:
        """Nearly nothing by the pixel: registers have a fixed size. What is beside, as it is
        made."""
        del up
        return 2 + int(step.values.get("side_bytes", 0))


@dataclass(frozen=True, slots=True)
class _Layer:
    """The pixels (bands, n) of a raster that is computed with, its mask (n,), and the numbers of
    its bands: from ``first`` to before ``end``."""

    raster: Raster
    bands: Pixels
    mask: Valid | None
    first: int
    end: int

    @classmethod
    def of(cls, raster: Raster, block: Block, first: int) -> _Layer:
        bands = np.ascontiguousarray(block.pixels).reshape(raster.count, -1)
        mask = None if block.mask is None else block.mask.reshape(-1)
        return cls(raster, bands, mask, first, first + raster.bands)

    def valid(self, band: int, part: slice) -> Valid | None:
        if self.raster.validity == "alpha":
            opaque: Valid = self.bands[-1, part] > 0
            return opaque
        valid = None if self.mask is None else self.mask[part]
        if self.raster.nodata is None:
            return valid
        known = validity.differs(self.bands[band - self.first, part], self.raster.nodata)
        return known if valid is None else known & valid


class _Calculation:
    """The pixels of a window, as they are computed, tile by tile."""

    def __init__(self, step: StepPlan, layers: Sequence[_Layer], window: Window) -> None:
        self.values, self.raster, self.window = step.values, step.raster, window
        self.layers, self.up = layers, layers[0].raster
        self.is_float = np.dtype(step.raster.dtype).kind == "f"
        self.part = slice(0, 0)
        self._seen: dict[int, Valid | None] = {}
        self._pixels = np.empty((step.raster.count, window.size), step.raster.dtype)
        masked = step.raster.validity == "mask"
        self._mask = np.ones(window.size, bool) if masked else None
        self._undefined: Valid | None = None
        self._writes_nan = False

    def block(self) -> Block:
        compute = self._over_bands if self.values["dialect"] == "builtin" else self._run()
        for start in range(0, self.window.size, TILE):
            self.part = slice(start, min(start + TILE, self.window.size))
            self._seen.clear()
            compute()
        shape = self.window.shape
        mask = None if self._mask is None else self._mask.reshape(shape)
        undefined = None if self._undefined is None else self._undefined.reshape(shape)
        return Block(self._pixels.reshape(-1, *shape), mask, undefined)

    def _run(self) -> Any:
        texts, flatten = tuple(self.values["calc"]), bool(self.values["flatten"])
        beside = tuple((name, count) for name, count in self.values.get("names", ()))
        program = program_of(texts, self.up.bands, beside, flatten=flatten)
        nodata = None
        if not self.values["propagate_nodata"]:
            nodata = math.nan if self.raster.nodata is None else float(self.raster.nodata)
        self._writes_nan = any(math.isnan(value) for _, value in program.numbers)
        run = calc_run.Run(program, self, nodata)
        return lambda: run.tile(self.part, self.take)

    def _over_bands(self) -> None:
        every = range(self.up.bands)
        groups = [tuple(every)] if self.values["flatten"] else [(band,) for band in every]
        place = 0
        for name in self.values["calc"]:
            for bands in groups:
                self.take(place, calc_run.over_bands(name, self, bands, self.part), bands)
                place += 1

    def take(self, band: int, values: Points, uses: tuple[int, ...]) -> None:
        """Make pixels of the values of a band of the output."""
        raster = self.raster
        pixels = converted(values, raster.dtype)
        known: Valid = np.isfinite(pixels if self.is_float else values)
        if not known.all():
            self._tell(~known, values, uses)
        if self.values["propagate_nodata"]:
            for used in uses:
                valid = self.valid(used, self.part)
                if valid is not None:
                    known &= valid
        if self.values["by_value"]:
            known &= pixels != raster.nodata
        whole, is_number = bool(known.all()), validity.is_number(raster.nodata)
        if not whole and not is_number:
            pixels = self._marked(pixels, known)
        valid = None
        if not whole and (is_number or raster.validity == "mask"):
            valid = known[np.newaxis, np.newaxis]
        block = block_of(raster, pixels[np.newaxis, np.newaxis], valid)
        self._pixels[band, self.part] = block.pixels[0, 0]
        if self._mask is not None and block.mask is not None:
            self._mask[self.part] &= block.mask[0]

    def _tell(self, undefined: Valid, values: Points, uses: tuple[int, ...]) -> None:
        """Note those of the ``undefined`` that come neither from nodata nor from NaN."""
        if self._writes_nan:
            undefined &= ~np.isnan(values)
        if self.raster.validity == "none":
            undefined &= np.isnan(values)  # infinity is a value there
        for used in uses:
            valid, given = self.valid(used, self.part), self.band(used, self.part)
            if valid is not None:
                undefined &= valid
            if given.dtype.kind == "f":
                undefined &= ~np.isnan(given)
        if undefined.any():
            if self._undefined is None:
                self._undefined = np.zeros(self.window.size, bool)
            self._undefined[self.part] |= undefined

    def _marked(self, pixels: Pixels, known: Valid) -> Pixels:
        """Return pixels with one value wherever there is none: NaN, or 0 under a mask."""
        hidden = ~known
        if self.raster.validity == "none":
            if not self.is_float:
                return pixels
            hidden &= ~np.isinf(pixels)  # which is a value where there is no nodata
        pixels = pixels.copy()
        np.putmask(pixels, hidden, np.nan if self.is_float else 0)
        return pixels

    # --- what programs read --------------------------------------------------------------------

    def band(self, band: int, part: slice) -> Pixels:
        layer = self._layer(band)
        return layer.bands[band - layer.first, part]

    def valid(self, band: int, part: slice) -> Valid | None:
        if band not in self._seen:
            self._seen[band] = self._layer(band).valid(band, part)
        return self._seen[band]

    def _layer(self, band: int) -> _Layer:
        return next(layer for layer in self.layers if band < layer.end)

    def coordinate(self, axis: str, part: slice) -> Points:
        rows, columns = np.divmod(np.arange(part.start, part.stop), self.window.width)
        across = columns + (self.window.col_off + 0.5)
        down = rows + (self.window.row_off + 0.5)
        a, b, c, d, e, f = self.up.transform
        place: Points = c + across * a + down * b if axis == "x" else f + across * d + down * e
        return place


def _check_bands(up: Raster, tree: Node, beside: int) -> None:
    """Raise SchemaError if there is no such band; ``beside``: how many follow those of ``up``."""
    for band in bands_of(tree):
        if band >= up.bands + beside:
            alpha = " and alpha, which is no band of calc" if up.validity == "alpha" else ""
            raise SchemaError(f"calc: there is no band {band + 1}; the input has {up.bands}{alpha}")


def _type_of(up: Raster, params: Frozen) -> str:
    """Return the type of the output: GDAL's choice, if none is asked for."""
    if params.output_data_type:
        return TYPES[params.output_data_type.lower()]
    keeps = params.dialect == "builtin" and set(params.calc) <= {"min", "max"}
    return up.dtype if keeps else "float64"


def _is_given(nodata: object) -> bool:
    return nodata is not None and nodata != "none"


def _marks(
    up: Raster, dtype: str, params: Frozen, trees: tuple[Node, ...], planning: Planning
) -> tuple[Validity, Value | None]:
    """Return how the output marks what is nodata, and its nodata value."""
    whole = np.dtype(dtype).kind in "iu"
    if _is_given(params.nodata):
        value = number_of(params.nodata)
        try:
            return "nodata", validity.fitted(math.nan if value is None else value, dtype, "nodata")
        except SchemaError as error:
            raise SchemaError(error.message, hint="give one that the output can hold") from None
    if params.nodata == "none" and not whole:
        return "none", None
    if params.nodata is None and up.validity == "nodata" and up.nodata is not None:
        try:
            return "nodata", validity.fitted(up.nodata, dtype, "nodata")
        except SchemaError:
            other = "a mask" if whole else "NaN for nodata"
            planning.warn(f"{dtype} cannot hold nodata {up.nodata}: the output gets {other}")
    if not whole:
        return "nodata", math.nan
    own = all(band < up.bands for tree in trees for band in bands_of(tree))
    known = up.validity == "none" and bool(trees) and own
    total = known and value_range.are_bounded(trees, up.dtype)
    return ("none" if total else "mask"), None


def _parts(trees: Iterable[Node]) -> Iterable[Node]:
    return (node for tree in trees for node in walk(tree))


def _warn(up: Raster, params: Frozen, trees: tuple[Node, ...], planning: Planning) -> None:
    """Say what may surprise."""
    used = {band for tree in trees for band in bands_of(tree) if band < up.bands}
    used = used if trees else set(range(up.bands))
    scaled = [band for band in used if (up.scales[band], up.offsets[band]) != (1, 0)]
    if scaled:
        named = ", ".join(f"b{band + 1}" for band in sorted(scaled))
        planning.warn(f"{named}: scale and offset are not applied; unscale before calc does")
    if up.dtype in {"int64", "uint64"}:
        planning.warn(f"{up.dtype} is computed as float64: beyond 2^53 numbers are rounded")
    if up.colormap is not None:
        planning.warn("the input is a palette image: calc takes the numbers of its colors")
    if up.validity == "alpha":
        planning.warn("alpha is no band of calc: what it hides becomes nodata, or masked")
    asks = any(isinstance(node, Operation) and node.name == "isnodata" for node in _parts(trees))
    if asks and params.propagate_nodata:
        planning.warn(
            "isnodata never holds where a result is kept; propagate_nodata = false keeps results "
            "of nodata"
        )
