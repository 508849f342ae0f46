"""The step *resize*: the same area in other pixels, as GDAL's RasterIO resamples.

Positions are fractions of the sides of the whole raster, so that a pixel never depends on the cut.
A pixel that is computed from none but invalid ones is invalid; kernels with weights below 0 (cubic,
lanczos) want half of their taps side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.grid import kernel_scale
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.plan import Raster, StepPlan
from geobatch_tui.execution.raster.pyramid import halve
from geobatch_tui.execution.raster.source import metadata
from geobatch_tui.execution.raster.steps.conversion import block_of, converted, valid_bands
from geobatch_tui.execution.raster.steps.step import Block
from geobatch_tui.execution.raster.warp import taps, warp_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.raster.steps.step import Planning, Upstream
    from geobatch_tui.execution.raster.types import Flags, Indices, Pixels, Points, Valid

#: Bytes of what comes in that are in memory at once, and the most that a pixel may come from.
PART_BYTES, MOST_BYTES = 16 * 2**20, 64 * 2**20
#: Pixels of a part of what is given.
PART = 512
#: Types whose sums become float32 before they are rounded, as GDAL's do.
_NARROW = frozenset({"uint8", "int8", "int16", "uint16", "float32"})
#: Kernels with weights below 0, which want half of their taps side by side.
_HOLDING = frozenset({"cubic", "lanczos"})
#: Types whose means are rounded once, half up.
_EXACT = frozenset({"uint8", "uint16", "uint32"})


@dataclass(frozen=True, slots=True)
class Span:
    """Output pixels from ``start`` to before ``stop`` along an axis of ``length`` of them, over
    ``side`` pixels of what comes in."""

    start: int
    stop: int
    length: int
    side: int

    def needed(self, resampling: str) -> tuple[int, int]:
        """Return the first pixel that they come from, and the one behind the last."""
        if resampling == "nearest":
            places = self.nearest
            return int(places[0]), int(places[-1]) + 1
        if resampling in {"average", "mode"}:
            first, last = self.area[0]
            return int(first[0]), int(last[-1])
        first, count, _ = self.kernel(resampling)
        return int(first[0]), int((first + count).max())

    @property
    def nearest(self) -> Indices:
        """The pixel that each one's centre lies in."""
        centres = 2 * np.arange(self.start, self.stop, dtype=np.int64) + 1
        places: Indices = centres * self.side // (2 * self.length)
        return places

    @property
    def area(self) -> tuple[Indices, Points]:
        """First pixels and those behind the last (2, n), and the shares of first and last."""
        count = self.stop - self.start
        ends, shares = np.empty((2, count), np.int64), np.empty((2, count))
        pixel_loops.area_sides(self.start, self.side, self.length, *ends, *shares)
        return ends, shares

    def kernel(self, resampling: str) -> tuple[Indices, Indices, Points]:
        """First taps, how many there are, and their weights (n, taps)."""
        count = self.stop - self.start
        radius = kernel_scale.RADIUS[resampling]
        most = 2 * -(-radius * max(self.side, self.length) // self.length) + 2
        first, number = np.empty((2, count), np.int64)
        weights = np.zeros((count, most))
        code = taps.CODES[resampling]
        pixel_loops.kernel_taps(
            self.start, self.side, self.length, code, float(radius), first, number, weights
        )
        return first, number, weights


class Resize:
    """Gives a raster another number of pixels."""

    name = "resize"
    version = 1

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        a, b, c, d, e, f = up.transform
        if params.resolution is not None:
            if b or d:
                raise SchemaError("a rotated grid has no resolution along its axes; give size")
            across, down = params.resolution
            width, height = _whole(up.width * abs(a) / across), _whole(up.height * abs(e) / down)
            transform = (_signed(across, a), 0.0, c, 0.0, _signed(down, e), f)
        else:
            width, height = _size(up, params.size)
            x, y = up.width / max(width, 1), up.height / max(height, 1)
            transform = (a * x, b * y, c, d * x, e * y, f)
        if min(width, height) < 1 or max(width, height) >= 2**31:
            raise SchemaError(
                f"the output would be {width}x{height} pixels; the input is {up.width}x{up.height}"
            )
        raster = replace(
            up, width=width, height=height, transform=transform,
            domains=metadata.moved(up.domains),
        )  # fmt: skip
        self._check(up, raster, params.resampling, planning)
        return StepPlan(self.name, self.version, {"resampling": params.resampling}, raster)

    def _check(self, up: Raster, raster: Raster, resampling: str, planning: Planning) -> None:
        told: list[str] = []
        warp_plan.check_resampling(
            "the input", up.dtype, resampling, told, palette=up.colormap is not None
        )
        if told and resampling not in {"nearest", "mode"}:
            planning.warn(f"{up.dtype} pixels are computed as float64: above 2^53 they are rounded")
        one = _need(raster, up, resampling, Window(raster.width // 2, raster.height // 2, 1, 1))
        if resampling != "nearest" and one.size * _bytes(up) > MOST_BYTES:
            raise SchemaError(
                f"a pixel of the output would come from {one.width}x{one.height} pixels, more than "
                "are kept in memory",
                hint="resize in two steps",
            )
        for text in _differences(up, resampling):
            planning.warn(text)

    def need(self, step: StepPlan, up: Raster, window: Window) -> Window:
        return _need(step.raster, up, step.values["resampling"], window)

    def compute(self, step: StepPlan, up: Upstream, window: Window) -> Block:
        raster = step.raster
        pixels: Pixels = np.empty((raster.count, *window.shape), raster.dtype)
        mask = np.empty(window.shape, bool) if raster.validity == "mask" else None
        for part in window.tiles(PART, PART):
            for tile in self._fitting(step, up.raster, part):
                needed = self.need(step, up.raster, tile)
                block = _resized(step, up.raster, up.block(needed), needed, tile)
                inner = tile.slices_in(window)
                pixels[:, *inner] = block.pixels
                if mask is not None and block.mask is not None:
                    mask[inner] = block.mask
        return Block(pixels, mask)

    def _fitting(self, step: StepPlan, up: Raster, window: Window) -> Iterator[Window]:
        """Cut ``window`` until what a part comes from fits in memory."""
        if self.need(step, up, window).size * _bytes(up) <= PART_BYTES or window.size == 1:
            yield window
            return
        for half in window.halves():
            yield from self._fitting(step, up, half)

    def scratch(self, step: StepPlan, up: Raster) -> int:
        """Nothing by the pixel: what comes in is read in parts of a fixed size."""
        del step, up
        return 0


def _differences(up: Raster, resampling: str) -> Iterator[str]:
    """Say where GDAL's resize has other pixels."""
    if resampling == "nearest":
        return
    if up.validity == "mask":
        yield "a pixel is valid if it comes from valid ones; GDAL takes the nearest of the mask"
    if resampling == "mode" and up.validity in {"alpha", "mask"}:
        yield "invalid pixels have no vote; GDAL counts them with the others"
    if resampling == "mode" and up.validity == "nodata" and up.nodata != 0:
        yield "pixels without a valid one under them are nodata; GDAL's may be 0"
    if up.validity == "alpha" and resampling in taps.CODES:
        yield "colours count where alpha is above 0; GDAL weighs them along rows by their alpha"
    if up.validity == "alpha" and resampling in _HOLDING:
        yield (
            "where too few colours are valid side by side, the pixel is transparent; GDAL leaves "
            "it black"
        )


def _size(up: Raster, asked: tuple[str, str]) -> tuple[int, int]:
    """Return width and height in pixels; 0 keeps the proportion."""
    width, height = (
        int(float(text[:-1]) / 100 * side) if text.endswith("%") else int(text)
        for text, side in zip(asked, (up.width, up.height), strict=True)
    )
    if width == 0 and float(asked[0].rstrip("%")) == 0:
        width = _whole(height * up.width / up.height)
    elif height == 0 and float(asked[1].rstrip("%")) == 0:
        height = _whole(width * up.height / up.width)
    return width, height


def _whole(value: float) -> int:
    return int(min(value, 2.0**31) + 0.5)


def _signed(size: float, like: float) -> float:
    return -float(size) if like < 0 else float(size)


def _bytes(up: Raster) -> int:
    """Return the bytes of a pixel of all bands, with what is valid, and of one as a float."""
    return up.count * (np.dtype(up.dtype).itemsize + 1) + 8


def _spans(raster: Raster, up: Raster, window: Window) -> tuple[Span, Span]:
    left, top, right, bottom = window.bounds
    return (
        Span(left, right, raster.width, up.width),
        Span(top, bottom, raster.height, up.height),
    )


def _need(raster: Raster, up: Raster, resampling: str, window: Window) -> Window:
    if (raster.width, raster.height) == (up.width, up.height):
        return window
    (left, right), (top, bottom) = (span.needed(resampling) for span in _spans(raster, up, window))
    return Window.between(left, top, right, bottom)


def _resized(step: StepPlan, up: Raster, given: Block, part: Window, window: Window) -> Block:
    """Return ``window`` of what the step gives; ``given`` holds ``part`` of what comes in."""
    raster, resampling = step.raster, step.values["resampling"]
    if (raster.width, raster.height) == (up.width, up.height):
        return given
    spans = _spans(raster, up, window)
    if resampling == "nearest":
        x, y = spans[0].nearest - part.col_off, spans[1].nearest - part.row_off
        mask = None if given.mask is None else given.mask[np.ix_(y, x)]
        return Block(np.ascontiguousarray(given.pixels[:, y][:, :, x]), mask)
    area = _Area(resampling, spans, part)
    valid = valid_bands(up, given)
    pixels: Pixels = np.empty((raster.bands, *window.shape), raster.dtype)
    if valid is None:
        for number, out in enumerate(pixels):
            out[:], _ = area.taken(given.pixels[number], None)
        return block_of(raster, pixels, None)
    good = np.empty(pixels.shape, bool)
    for number, out in enumerate(pixels):
        seen = valid[min(number, len(valid) - 1)]
        out[:], good[number] = area.taken(given.pixels[number], seen)
        if raster.validity == "nodata":
            _keep_from_nodata(raster, out, good[number])
    if raster.validity != "alpha":
        return block_of(raster, pixels, good)
    alpha, _ = area.taken(given.pixels[-1], None)
    pixels[~good] = 0
    alpha[~good[0]] = 0
    return Block(np.concatenate([pixels, alpha[np.newaxis]]))


def _keep_from_nodata(raster: Raster, out: Pixels, good: Valid) -> None:
    """Move values that are nodata by chance to the next, as GDAL does: up, if there is one."""
    nodata = raster.nodata
    if not validity.is_number(nodata):
        return
    kind = out.dtype
    value = kind.type(nodata)
    if kind.kind == "f":
        top = np.finfo(kind).max
        moved = np.nextafter(value, -top if value >= top else top)
    else:
        moved = value - kind.type(1) if value == np.iinfo(kind).max else value + kind.type(1)
    out[good & (out == value)] = moved


@dataclass(frozen=True)
class _Area:
    """The pixels ``part`` of what comes in, under the output pixels of two ``spans``, x and y."""

    resampling: str
    spans: tuple[Span, Span]
    part: Window

    @cached_property
    def corner(self) -> tuple[int, int]:
        return self.part.col_off, self.part.row_off

    @cached_property
    def shape(self) -> tuple[int, int]:
        x, y = self.spans
        return y.stop - y.start, x.stop - x.start

    def taken(self, band: Pixels, seen: Valid | None) -> tuple[Pixels, Valid]:
        """Return the values of a band (h, w), and where they are valid; ``seen``: which of its
        pixels are."""
        if self.resampling == "mode":
            return self._commonest(band, seen)
        halves = all(span.side == 2 * span.length for span in self.spans)
        if self.resampling == "average" and halves and band.dtype.name in _EXACT:
            return self._halved(band, seen)
        values, good = self._summed(band, seen)
        exact = self.resampling == "average" and band.dtype.name in _EXACT
        if band.dtype.name in _NARROW and not exact:
            values = values.astype(np.float32)
        return converted(values, band.dtype.name), good

    def _flags(self, seen: Valid | None) -> tuple[Flags, bool]:
        if seen is None:
            return np.ones((1, 1), np.uint8), False
        return np.ascontiguousarray(seen).view(np.uint8), True

    def _summed(self, band: Pixels, seen: Valid | None) -> tuple[Points, Valid]:
        band = np.ascontiguousarray(band, np.float64)
        flags, masked = self._flags(seen)
        out, good = np.empty(self.shape), np.empty(self.shape, np.uint8)
        if self.resampling == "average":
            (cols, col_shares), (rows, row_shares) = (span.area for span in self.spans)
            pixel_loops.mean_by_area(
                band, flags, masked, rows, cols, row_shares, col_shares, self.corner, out, good
            )
            return out, good.view(bool)
        holds = self.resampling in _HOLDING
        across, down = (span.kernel(self.resampling) for span in self.spans)
        lines = np.empty((len(band), self.shape[1]))
        known = np.empty(lines.shape, np.uint8)
        pixel_loops.along_rows(band, flags, masked, *across, self.corner[0], holds, lines, known)
        pixel_loops.along_columns(lines, known, masked, *down, self.corner[1], holds, out, good)
        return out, good.view(bool)

    def _halved(self, band: Pixels, seen: Valid | None) -> tuple[Pixels, Valid]:
        half, good = halve.reduce(band[np.newaxis], seen, resampling="average")
        return half[0], np.broadcast_to(np.True_, self.shape) if good is None else good

    def _commonest(self, band: Pixels, seen: Valid | None) -> tuple[Pixels, Valid]:
        cols, rows = (span.area[0] for span in self.spans)
        kind = np.dtype(f"u{band.dtype.itemsize}")
        # A zero is one value, whatever its sign.
        own = np.ascontiguousarray(band + 0 if band.dtype.kind == "f" else band)
        keys = own.view(kind).astype(np.uint64)
        most = int(np.diff(cols, axis=0).max() * np.diff(rows, axis=0).max())
        places = 1 << (2 * most).bit_length()
        flags, masked = self._flags(seen)
        out, good = np.zeros(self.shape, np.uint64), np.empty(self.shape, np.uint8)
        pixel_loops.commonest(
            keys, flags, masked, rows, cols, self.corner,
            np.empty(places, np.uint64), np.zeros(places, np.int64), out, good,
        )  # fmt: skip
        return out.astype(kind).view(band.dtype), good.view(bool)
