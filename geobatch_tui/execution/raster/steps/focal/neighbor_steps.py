"""The step *neighbors*: each pixel from those in a square around it, weighted by a kernel.

The rules are those of GDAL 3.13. Where the square reaches beyond the raster, the pixels of its rim
stand for what is missing. A pixel that is invalid stays so; among the others, invalid neighbours
are left out, and so is NaN. All is computed as float64, where GDAL has float32.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.plan import Raster, StepPlan
from geobatch_tui.execution.raster.steps.band_steps import TYPES, check_band, picked_bands, typed
from geobatch_tui.execution.raster.steps.conversion import block_of, valid_bands
from geobatch_tui.execution.raster.steps.step import Block, LocalStep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Flags, Indices, Number, Pixels, Points, Valid

#: Kernels by name, with what their weights are divided by.
_NAMED: Mapping[tuple[str, int], tuple[float, tuple[int, ...]]] = {
    ("u", 3): (2, (0, 0, 0, -1, 0, 1, 0, 0, 0)),
    ("v", 3): (2, (0, -1, 0, 0, 0, 0, 0, 1, 0)),
    ("edge1", 3): (1, (0, -1, 0, -1, 4, -1, 0, -1, 0)),
    ("edge2", 3): (1, (-1, -1, -1, -1, 8, -1, -1, -1, -1)),
    ("sharpen", 3): (1, (0, -1, 0, -1, 5, -1, 0, -1, 0)),
    ("gaussian", 3): (16, (1, 2, 1, 2, 4, 2, 1, 2, 1)),
    ("gaussian", 5): (256, tuple(a * b for a in (1, 4, 6, 4, 1) for b in (1, 4, 6, 4, 1))),
    ("unsharp-masking", 5): (
        -256,
        tuple(
            -476 if (row, col) == (2, 2) else a * b
            for row, a in enumerate((1, 4, 6, 4, 1))
            for col, b in enumerate((1, 4, 6, 4, 1))
        ),
    ),
}
#: Rows of pixels that are computed at once; of wide kernels more, so that few are read twice.
_ROWS = 64

#: Numbers of rows, and of columns, before an array and behind it.
type Sides = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is made of the neighbours of a pixel.

    ``places`` (n, 2) are row and column of the taps that weigh anything, ``weights`` (n) theirs.
    ``equal``: all weigh 1.
    """

    size: int
    method: str
    equal: bool
    places: Indices
    weights: Points

    @property
    def keeps_unit(self) -> bool:
        """Whether a result is a value as its neighbours are."""
        return self.method == "mean" or (
            self.equal and self.method in {"min", "max", "median", "mode"}
        )


@cache
def kernel_of(text: str, size: int | None, method: str) -> Kernel:
    """Return a kernel, given by its name, or by its rows as JSON."""
    if text.startswith("["):
        matrix: Points = np.array(json.loads(text), np.float64)
    elif text == "equal":
        matrix = np.ones((size or 3, size or 3))
    else:
        side = size or (5 if text == "unsharp-masking" else 3)
        divisor, numbers = _NAMED[text, side]
        matrix = np.array(numbers, np.float64).reshape(side, side) / divisor
    places = np.argwhere(matrix != 0)
    weights = np.ascontiguousarray(matrix[*places.T])
    equal = bool((matrix == 1).all())
    return Kernel(len(matrix), method, equal, np.ascontiguousarray(places), weights)


class Neighbors(LocalStep):
    """Computes pixels from their neighbours: a band of each kernel for each band."""

    name = "neighbors"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        bands = list(range(up.bands))
        if params.band is not None:
            check_band(up, params.band)
            bands = [params.band - 1]
            if params.band > up.bands:
                raise SchemaError(f"band {params.band} is alpha, which says what is valid")
        each = [
            {"kernel": text, "method": method, "size": params.size}
            for text, method in zip(params.kernel, params.method, strict=True)
        ]
        kernels = _kernels(each)
        if up.colormap is not None and any(k.method != "mode" or not k.equal for k in kernels):
            raise SchemaError(
                "the input is a palette image: its pixels are numbers of classes",
                hint="kernel = equal with method = mode takes the commonest class",
            )
        if up.dtype in {"int64", "uint64"}:
            planning.warn(f"{up.dtype} pixels are computed as float64: above 2^53 they are rounded")
        if up.validity in {"alpha", "mask"}:
            planning.warn(
                "GDAL's neighbors would filter alpha as another band; here it says what is valid"
                if up.validity == "alpha"
                else "GDAL's neighbors leaves the mask out; here it says what is valid"
            )
        raster = _filtered(up, bands, kernels, planning)
        raster = typed(raster, TYPES[params.output_data_type.lower()], planning)
        raster = _with_nodata(raster, params.nodata, planning)
        return StepPlan(self.name, self.version, {"bands": bands, "kernels": each}, raster)

    def halo(self, step: StepPlan) -> int:
        return max(kernel.size for kernel in _kernels(step.values["kernels"])) // 2

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        raster = step.raster
        kernels = _kernels(step.values["kernels"])
        radius = self.halo(step)
        pixels = np.empty((raster.count, *window.shape), raster.dtype)
        mask = np.empty(window.shape, bool) if raster.validity == "mask" else None
        for tile in window.tiles(window.width, _ROWS + 2 * radius):
            inner = tile.slices_in(window)
            needed = tile.pad(radius).clip(up.whole)
            taken = needed.slices_in(part)
            source = Block(
                given.pixels[:, *taken], None if given.mask is None else given.mask[taken]
            )
            known = valid_bands(up, source)
            beyond = _beyond(needed, tile.pad(radius))
            values, valid = [], []
            for band in step.values["bands"]:
                own = None if known is None else known[band if len(known) > 1 else 0]
                near = _Surround.of(source.pixels[band], own, beyond, radius)
                for kernel in kernels:
                    out, good = near.filtered(kernel)
                    values.append(out)
                    valid.append(good)
            block = block_of(raster, _together(values), _together(valid))
            pixels[:, *inner] = block.pixels
            if raster.validity == "alpha" and raster.dtype == up.dtype:
                alpha = given.pixels[-1][tile.slices_in(part)]
                pixels[-1][inner] = np.where(block.pixels[-1] > 0, alpha, 0)
            if mask is not None and block.mask is not None:
                mask[inner] = block.mask
        return Block(pixels, mask)

    def scratch(self, step: StepPlan, up: Raster) -> int:
        """A strip of the window as floats, with what they are made of."""
        del up
        kernels = step.values["kernels"]
        strip = 8 * (6 + 3 * len(step.values["bands"]) * len(kernels))
        return strip * (_ROWS + 4 * self.halo(step)) // 1024


def _kernels(each: Sequence[Mapping[str, Any]]) -> list[Kernel]:
    return [kernel_of(one["kernel"], one["size"], one["method"]) for one in each]


def _together(bands: Sequence[Pixels]) -> Pixels:
    """Return bands as one array; a single one as it is, not copied."""
    return bands[0][np.newaxis] if len(bands) == 1 else np.stack(bands)


def _beyond(held: Window, wanted: Window) -> Sides:
    """Return how many rows and columns of ``wanted`` are before and behind those of ``held``."""
    left, top, right, bottom = wanted.bounds
    inner = held.bounds
    return (inner[1] - top, bottom - inner[3]), (inner[0] - left, right - inner[2])


def _filtered(up: Raster, bands: list[int], kernels: list[Kernel], planning: Planning) -> Raster:
    """Return ``up`` with a band of each kernel for each of ``bands``, and its alpha."""
    picked = [band for band in bands for _ in kernels]
    alpha = [up.count - 1] if up.validity == "alpha" else []
    raster = picked_bands(up, picked + alpha)
    kept = [kernel.keeps_unit for _ in bands for kernel in kernels] + [True] * len(alpha)
    scaled = any(
        not keep and (scale != 1 or offset)
        for keep, scale, offset in zip(kept, raster.scales, raster.offsets, strict=True)
    )
    if scaled:
        planning.warn("scale and offset are left out: they do not hold for what the kernel gives")
    if len(kernels) > 1:
        kinds = tuple("undefined" if band else "gray" for band in range(len(picked)))
        raster = replace(raster, colorinterp=kinds + raster.colorinterp[len(picked) :])
    return replace(
        raster,
        colormap=up.colormap,
        scales=tuple(x if keep else 1.0 for x, keep in zip(raster.scales, kept, strict=True)),
        offsets=tuple(x if keep else 0.0 for x, keep in zip(raster.offsets, kept, strict=True)),
        units=tuple(x if keep else "" for x, keep in zip(raster.units, kept, strict=True)),
    )


def _with_nodata(raster: Raster, asked: Number | str | None, planning: Planning) -> Raster:
    if asked is None:
        return raster
    if asked == "none":
        if raster.validity != "nodata":
            return raster
        planning.warn("without nodata, the output gets a mask of what is invalid")
        return replace(raster, nodata=None, validity="mask")
    nodata = validity.fitted(
        float(asked) if isinstance(asked, str) else asked, raster.dtype, "nodata"
    )
    if raster.validity == "alpha":
        raster = picked_bands(raster, range(raster.bands))
    return replace(raster, nodata=nodata, validity="nodata")


@dataclass(frozen=True, slots=True)
class _Surround:
    """The pixels of a tile and ``radius`` more on each side, of one band, as floats.

    ``flags`` say which count; None: all do. The values of the others are 0.
    """

    values: Points
    flags: Valid | None
    radius: int

    @classmethod
    def of(cls, band: Pixels, valid: Valid | None, beyond: Sides, radius: int) -> _Surround:
        """Take the pixels of ``band`` that are ``valid``, and the rim for what lies ``beyond``."""
        values: Points = band.astype(np.float64)
        flags = valid
        if band.dtype.kind == "f":
            numbers = ~np.isnan(band)
            flags = numbers if valid is None else valid & numbers
        if flags is not None and flags.all():
            flags = None
        if flags is not None:
            values[~flags] = 0.0
        if any(map(any, beyond)):
            values = np.pad(values, beyond, mode="edge")
            flags = None if flags is None else np.pad(flags, beyond, mode="edge")
        return cls(values, flags, radius)

    def within(self, radius: int) -> _Surround:
        """Return the same with a smaller radius."""
        cut = self.radius - radius
        if not cut:
            return self
        inner = slice(cut, -cut), slice(cut, -cut)
        flags = None if self.flags is None else np.ascontiguousarray(self.flags[inner])
        return _Surround(np.ascontiguousarray(self.values[inner]), flags, radius)

    def filtered(self, kernel: Kernel) -> tuple[Points, Valid]:
        """Return what ``kernel`` makes of the pixels, and where that is valid."""
        near = self.within(kernel.size // 2)
        height, width = (side - 2 * near.radius for side in near.values.shape)
        out: Points = np.empty((height, width))
        good: Flags = np.ones((height, width), np.uint8)
        if near.flags is not None and kernel.method != "sum":  # of none, a sum is 0
            pixel_loops.any_seen(near.flags, kernel.places, good)
        _RUNS[kernel.method](kernel, near, out, good)
        if near.flags is not None:
            good &= near.flags[near.radius :, near.radius :][:height, :width]
        valid: Valid = good.view(bool)
        if near.flags is not None:
            out[~valid] = np.nan
        return out, valid

    @property
    def flagged(self) -> tuple[Valid | Flags, bool]:
        """The flags as loops take them, and whether there are any."""
        if self.flags is None:
            return np.zeros((1, 1), np.uint8), False
        return self.flags, True


def _sum(kernel: Kernel, near: _Surround, out: Points, good: Flags) -> None:
    height, width = out.shape
    mean = kernel.method == "mean"
    if kernel.equal:
        lines, counts = np.empty((2, len(near.values), width))
        pixel_loops.box(near.values, *near.flagged, kernel.size, mean, lines, counts, out)
        return
    enough: Flags = np.ones((height, width), np.uint8)
    taps = kernel.places, kernel.weights
    pixel_loops.weighted(near.values, *near.flagged, *taps, mean, np.empty(width), out, enough)
    good &= enough


def _extreme(kernel: Kernel, near: _Surround, out: Points, good: Flags) -> None:
    del good
    sign = 1.0 if kernel.method == "max" else -1.0
    if kernel.equal:
        values = near.values
        if near.flags is not None:
            values = np.where(near.flags, values, -np.inf * sign)
        lines = np.empty((len(values), out.shape[1]))
        pixel_loops.box_extremes(values, kernel.size, sign, lines, out)
    else:
        taps = kernel.places, kernel.weights
        pixel_loops.extremes(near.values, *near.flagged, *taps, sign, out)


def _deviation(kernel: Kernel, near: _Surround, out: Points, good: Flags) -> None:
    del good
    line, number = np.empty((2, out.shape[1]))
    taps = kernel.places, kernel.weights
    pixel_loops.deviations(near.values, *near.flagged, *taps, line, number, out)


def _median(kernel: Kernel, near: _Surround, out: Points, good: Flags) -> None:
    del good
    if kernel.equal and kernel.size == 3:
        if near.flags is None:
            pixel_loops.medians_of_nine(near.values, out)
        else:
            pixel_loops.medians_of_some(near.values, near.flags, out)
        return
    held = np.empty(len(kernel.weights))
    pixel_loops.medians(near.values, *near.flagged, kernel.places, kernel.weights, held, out)


def _mode(kernel: Kernel, near: _Surround, out: Points, good: Flags) -> None:
    del good
    taps = len(kernel.weights)
    places = 1 << (2 * taps).bit_length()
    table = np.empty(places), np.zeros(places, np.int64), np.zeros(places, np.int64)
    pixel_loops.modes(
        near.values, *near.flagged, kernel.places, kernel.weights, np.empty(taps), *table, out
    )


#: How each method fills ``out``, and takes from ``good`` where there is nothing.
_RUNS: Mapping[str, Callable[[Kernel, _Surround, Points, Flags], None]] = {
    "mean": _sum, "sum": _sum, "min": _extreme, "max": _extreme, "stddev": _deviation,
    "median": _median, "mode": _mode,
}  # fmt: skip
