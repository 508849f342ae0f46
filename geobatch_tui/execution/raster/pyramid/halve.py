"""2x2 reductions of pixels and validity.

The 2x2 blocks are aligned to the item, so reducing a chunk that starts at an even pixel gives the
same as reducing the whole. Rules:

``average``
    The mean of the valid children, at least one. Integers are rounded half up (towards plus
    infinity), exactly, at 64 bits too; floats are summed in float64. Valid means: not nodata and
    not NaN, band by band; with alpha, alpha above 0; with a mask, as the mask says.
    A mean that happens to be the nodata value becomes its neighbour, so valid stays valid.
``mode``
    The commonest value of the valid children; of equally common ones, the first in row-major order.
``nearest``
    The top left child, valid or not.
``bilinear``, ``cubic``
    As ``kernels.convolution``, from neighbours of the children too; else as ``average``, which
    stands in where what is valid of them weighs too little.

Where no child is valid, the top left child stays. Alpha itself is reduced over all four children;
an average of alpha above 0 stays above 0. A mask is valid where any child is, and with ``nearest``
where the top left child is. At an odd edge the missing children are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.raster.kernels import convolution, pixel_loops
from geobatch_tui.execution.raster.validity import differs, is_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.raster.types import DType, Number, Pixels, Valid


#: Types of pixels that have compiled loops.
COMPILED = frozenset({
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"
})  # fmt: skip
#: Resamplings of the 2x2 children alone.
RESAMPLINGS = ("average", "nearest", "mode")


def reduce(
    pixels: Pixels,
    valid: Valid | None,
    *,
    resampling: str,
    nodata: Number | None = None,
    alpha: bool = False,
    margins: convolution.Margins = convolution.NONE,
) -> tuple[Pixels, Valid | None]:
    """Halve pixels (bands, h, w), and their validity (h, w) if there is one, rounding sizes up.

    ``margins`` of both are neighbours that bilinear and cubic look at, and are not halved.

    Raises:
        OperationError: no such reduction.
    """
    if resampling in convolution.MARGINS:
        return _convolve(pixels, valid, resampling, nodata, alpha=alpha, margins=margins)
    if resampling not in RESAMPLINGS:
        known = ", ".join((*RESAMPLINGS, *convolution.MARGINS))
        raise OperationError(f"overviews cannot be made by {resampling!r}; known: {known}")
    if resampling == "nearest":
        half = np.ascontiguousarray(pixels[:, ::2, ::2])
        return half, None if valid is None else np.ascontiguousarray(valid[::2, ::2])
    blend = _average if resampling == "average" else _mode
    out: Pixels = np.empty(
        (pixels.shape[0], -(-pixels.shape[1] // 2), -(-pixels.shape[2] // 2)), pixels.dtype
    )
    colours = pixels.shape[0] - alpha
    seen = pixels[-1] > 0 if alpha else valid
    for band in range(colours):
        out[band] = _reduce_band(pixels[band], seen, nodata, blend)
    if alpha:
        out[-1] = _reduce_alpha(pixels[-1], blend)
    return out, None if valid is None else _any(_even(valid))


def _convolve(
    pixels: Pixels,
    valid: Valid | None,
    resampling: str,
    nodata: Number | None,
    *,
    alpha: bool,
    margins: convolution.Margins,
) -> tuple[Pixels, Valid | None]:
    left, top, right, bottom = margins
    rows, cols = slice(top, pixels.shape[1] - bottom), slice(left, pixels.shape[2] - right)
    out, half_valid = reduce(
        pixels[:, rows, cols],
        None if valid is None else valid[rows, cols],
        resampling="average",
        nodata=nodata,
        alpha=alpha,
    )
    seen = pixels[-1] > 0 if alpha else valid
    for index, band in enumerate(pixels):
        own = alpha and index == len(pixels) - 1
        good = None if own else _band_validity(band, seen, nodata)
        means, enough = convolution.halve(band, good, resampling, margins)
        # Where no child is valid, neighbours alone make no pixel.
        if good is not None:
            enough &= _any(_even(good[rows, cols]))
        values = _rounded(means, band.dtype)
        if own:
            values = np.maximum(values, (out[index] > 0).astype(band.dtype))
        else:
            values = _keep_from_nodata(values, enough, nodata)
        np.copyto(out[index], values, where=enough)
    return out, half_valid


def _rounded(means: Pixels, dtype: DType) -> Pixels:
    """Return ``means`` as numbers of ``dtype``: whole ones rounded half up, and clamped."""
    if dtype.kind in "fc":
        return means.astype(dtype)
    limits = np.iinfo(dtype)
    whole: Pixels = np.clip(np.floor(means + 0.5), float(limits.min), float(limits.max))
    return whole.astype(dtype)


def _reduce_band(
    band: Pixels,
    seen: Valid | None,
    nodata: Number | None,
    blend: Callable[[Pixels, Valid | None], Pixels],
) -> Pixels:
    if blend is _average and band.dtype.name in COMPILED:
        return _average_band(band, seen, nodata)
    valid = _band_validity(band, seen, nodata)
    if valid is not None and valid.all():
        valid = None
    band = _even(band)
    if valid is None:
        return _keep_from_nodata(blend(band, None), None, nodata)
    valid = _even(valid)
    half, seen_any = _blend_partly(band, valid, blend)
    half = _keep_from_nodata(half, seen_any, nodata)
    np.copyto(half, band[::2, ::2], where=~seen_any)
    return half


def _average_band(band: Pixels, seen: Valid | None, nodata: Number | None) -> Pixels:
    """Average a band in one compiled loop, with the same result as :func:`_average`."""
    rows, cols = band.shape
    half: Pixels = np.empty((-(-rows // 2), -(-cols // 2)), band.dtype)
    values = np.zeros(2, band.dtype)
    if is_number(nodata):
        values[0] = nodata
        values[1] = _neighbour(values[0])
    flags = np.zeros((1, 1), np.uint8) if seen is None else np.ascontiguousarray(seen)
    run = pixel_loops.average_floats if band.dtype.kind == "f" else pixel_loops.average_whole
    pixels = np.ascontiguousarray(band)
    run(pixels, flags, seen is not None, values, is_number(nodata), half)
    return half


def _blend_partly(
    band: Pixels, valid: Valid, blend: Callable[[Pixels, Valid | None], Pixels]
) -> tuple[Pixels, Valid]:
    """Blend blocks with a valid child; return them, and where these are.

    Most blocks are valid as a whole or not at all: only the others are weighed child by child.
    """
    number = _sum(valid, np.uint8)
    half = blend(band, None)
    rows, cols = np.nonzero((number > 0) & (number < 4))
    if len(rows):
        children = np.empty((2, 2 * len(rows)), band.dtype)
        flags = np.empty(children.shape, bool)
        for row in (0, 1):
            for col in (0, 1):
                at = 2 * rows + row, 2 * cols + col
                children[row, col::2], flags[row, col::2] = band[at], valid[at]
        half[rows, cols] = blend(children, flags)[0]
    return half, number > 0


def _reduce_alpha(band: Pixels, blend: Callable[[Pixels, Valid | None], Pixels]) -> Pixels:
    band = _even(band)
    half = blend(band, None)
    if blend is _average and half.dtype.kind in "ui":
        half = np.maximum(half, _any(band > 0).astype(half.dtype))
    return half


def _band_validity(band: Pixels, seen: Valid | None, nodata: Number | None) -> Valid | None:
    """Return where pixels of a band are valid (h, w); None if all are."""
    if band.dtype.kind not in "fc" and not is_number(nodata):
        return seen
    valid = differs(band, nodata)
    return valid if seen is None else valid & seen


def _even(array: Pixels) -> Pixels:
    """Repeat the last row and column of an odd side.

    A child that stands twice counts twice, as does its only companion: means, modes and "any"
    come out as if the missing children were left out.
    """
    rows, cols = array.shape[0] % 2, array.shape[1] % 2
    return np.pad(array, ((0, rows), (0, cols)), mode="edge") if rows or cols else array


def _children(array: Pixels) -> tuple[Pixels, ...]:
    """Return the children top left, top right, bottom left and bottom right."""
    return array[::2, ::2], array[::2, 1::2], array[1::2, ::2], array[1::2, 1::2]


def _any(valid: Valid) -> Valid:
    rows = valid[::2] | valid[1::2]
    either: Valid = rows[:, ::2] | rows[:, 1::2]
    return either


def _sum(array: Pixels, dtype: DType | type[np.generic]) -> Pixels:
    """Sum 2x2 blocks, column pairs first: always in this order, so that floats agree."""
    rows = np.add(array[::2], array[1::2], dtype=dtype)
    sums: Pixels = rows[:, ::2] + rows[:, 1::2]
    return sums


def _average(band: Pixels, valid: Valid | None) -> Pixels:
    kind, size = band.dtype.kind, band.dtype.itemsize
    if kind in "fc":
        return _average_floats(band, valid)
    if size == 8:
        return _average_long(band, valid)
    wide = np.dtype(f"{kind}{size * 2}")  # room for twice the sum of four
    if valid is None:
        exact: Pixels = ((_sum(band, wide) + wide.type(2)) >> 2).astype(band.dtype)
        return exact
    total = _sum(np.where(valid, band, band.dtype.type(0)), wide)
    number = np.maximum(_sum(valid, wide), wide.type(1))
    rounded: Pixels = ((2 * total + number) // (2 * number)).astype(band.dtype)
    return rounded


def _average_floats(band: Pixels, valid: Valid | None) -> Pixels:
    wide = np.dtype(np.complex128 if band.dtype.kind == "c" else np.float64)
    with np.errstate(all="ignore"):  # infinities are data: inf - inf is NaN, and says so
        if valid is None:
            return (_sum(band, wide) / 4).astype(band.dtype)
        total = _sum(np.where(valid, band, band.dtype.type(0)), wide)
        means: Pixels = (total / np.maximum(_sum(valid, np.int64), 1)).astype(band.dtype)
        return means


def _average_long(band: Pixels, valid: Valid | None) -> Pixels:
    """Average 64-bit integers from quotients and remainders, so that nothing overflows."""
    one = band.dtype.type(1)
    if valid is None:
        number = np.full((band.shape[0] // 2, band.shape[1] // 2), 4, band.dtype)
    else:
        band = np.where(valid, band, band.dtype.type(0))
        number = np.maximum(_sum(valid, band.dtype), one)
    quotient = np.zeros_like(number)
    remainder = np.zeros_like(number)
    for child in _children(band):
        share, left = np.divmod(child, number)
        quotient += share
        remainder += left
    rounded: Pixels = quotient + (2 * remainder + number) // (2 * number)
    return rounded


def _mode(band: Pixels, valid: Valid | None) -> Pixels:
    children = _children(band)
    flags = _children(np.ones(band.shape, np.bool_) if valid is None else valid)
    best: Pixels = children[0].copy()
    most = np.zeros(best.shape, np.int8)
    for child, flag in zip(children, flags, strict=True):
        votes = np.zeros(best.shape, np.int8)
        for other, counts in zip(children, flags, strict=True):
            votes += (child == other) & counts
        votes *= flag
        better = votes > most
        best[better] = child[better]
        most[better] = votes[better]
    return best


def _keep_from_nodata(half: Pixels, valid: Valid | None, nodata: Number | None) -> Pixels:
    """Move valid means that equal nodata to the next value."""
    if not is_number(nodata):
        return half
    value = half.dtype.type(nodata)
    hit = half == value
    if valid is not None:
        hit &= valid
    if hit.any():
        half[hit] = _neighbour(value)
    return half


def _neighbour(value: Any) -> Any:
    """Return the next value up; for the highest, itself: a mean of other values is below it."""
    if value.dtype.kind in "fc":
        return value + value.dtype.type(np.spacing(abs(value)))
    return value.dtype.type(min(int(value) + 1, np.iinfo(value.dtype).max))
