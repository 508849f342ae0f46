"""Turns what a step computed into the pixels of its raster: type, nodata, alpha or mask.

This is the one place for the rules between two steps: floats are rounded half away from zero and
held within the type, as GDALCopyWords does; an invalid pixel is nodata, and a valid one that
happens to be nodata is moved to the next value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.steps.step import Block
from geobatch_tui.execution.raster.warp import gdal_warp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from geobatch_tui.execution.raster.plan import Raster, StepPlan
    from geobatch_tui.execution.raster.types import Pixels, Valid

    #: From values of any type and shape to others of the same shape.
    type Function = Callable[[Pixels], Pixels]

#: Pixels that are computed at a time, so that what is made of them on the way stays in the cache.
_TILE = 2**16
#: Types whose values are so few that a function of them is looked up in a table.
FEW = frozenset({"uint8", "int8", "uint16", "int16"})


def converted(values: Pixels, dtype: str) -> Pixels:
    """Return ``values`` as ``dtype``, as GDALCopyWords does: whole numbers are held within the
    type, floats are rounded half away from zero first, and NaN becomes 0."""
    kind = np.dtype(dtype)
    if values.dtype == kind:
        return values
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            nearest: Pixels = values.astype(kind)
        return nearest
    limits = np.iinfo(kind)
    if values.dtype.kind == "f":
        return _whole(values.astype(np.float64, copy=False), kind, limits)
    own = np.iinfo(values.dtype)
    low, high = max(limits.min, own.min), min(limits.max, own.max)
    held: Pixels = np.clip(values, low, high).astype(kind)
    return held


def _whole(values: Pixels, kind: np.dtype, limits: np.iinfo) -> Pixels:
    with np.errstate(invalid="ignore", over="ignore"):
        rounded = np.trunc(values + np.copysign(0.5, values))
        rounded[np.isnan(rounded)] = 0
        # The largest float that the type holds: 2**63 - 1 and 2**64 - 1 are no floats.
        top = float(limits.max)
        beyond = rounded >= top if int(top) > limits.max else rounded > top
        under = rounded < limits.min
        rounded[beyond | under] = 0
        pixels: Pixels = rounded.astype(kind)
    pixels[beyond], pixels[under] = limits.max, limits.min
    return pixels


def valid_bands(raster: Raster, block: Block) -> Valid | None:
    """Return where the bands of ``block`` are valid: (bands, h, w) without alpha, or (1, h, w) if
    all are valid together; None if no pixel can be invalid."""
    if raster.validity == "alpha":
        alpha: Valid = block.pixels[-1:] > 0
        return alpha
    valid = None if block.mask is None else block.mask[np.newaxis]
    if raster.nodata is None:
        return valid
    known: Valid = np.stack([validity.differs(band, raster.nodata) for band in block.pixels])
    return known if valid is None else known & valid


def block_of(raster: Raster, values: Pixels, valid: Valid | None) -> Block:
    """Return the block of ``raster`` with ``values`` (bands without alpha, h, w) of any type, of
    which ``valid`` (bands or 1, h, w) are valid; None: all are."""
    pixels = converted(values, raster.dtype)
    if valid is not None and valid.all():
        valid = None
    if raster.validity == "nodata":
        return Block(_with_nodata(raster, pixels, valid))
    every = np.ones(pixels.shape[1:], bool) if valid is None else valid.all(axis=0)
    if raster.validity == "alpha":
        alpha = np.where(every, gdal_warp.opaque(raster.dtype), 0).astype(raster.dtype)
        return Block(np.concatenate([pixels, alpha[np.newaxis]]))
    return Block(np.ascontiguousarray(pixels), every if raster.validity == "mask" else None)


def _with_nodata(raster: Raster, pixels: Pixels, valid: Valid | None) -> Pixels:
    nodata = raster.nodata
    if nodata is None:
        return np.ascontiguousarray(pixels)
    taken, moved = validity.avoided(nodata, pixels.dtype, raster.dtype)
    chance = pixels == taken if validity.is_number(nodata) else None
    if valid is None and (chance is None or not chance.any()):
        return np.ascontiguousarray(pixels)
    pixels = np.array(pixels, order="C")
    if chance is not None:
        np.copyto(pixels, moved, where=chance)
    if valid is not None:
        np.copyto(pixels, np.array(nodata, pixels.dtype), where=~valid)
    return pixels


# --- values by a function of each band ---------------------------------------------------------


def mapped(step: StepPlan, up: Raster, given: Block, functions: Sequence[Function | None]) -> Block:
    """Return the block of ``step`` whose bands are those of ``given`` by a function each (None: as
    they are); invalid pixels stay invalid, and alpha stays."""
    pixels: Pixels = np.empty((up.bands, *given.pixels.shape[1:]), step.raster.dtype)
    for band, function, out in zip(given.pixels, functions, pixels, strict=False):
        map_band(band, function, out)
    block = block_of(step.raster, pixels, valid_bands(up, given))
    return with_own_alpha(up, given, block)


def with_own_alpha(up: Raster, given: Block, block: Block) -> Block:
    """Return ``block`` with the alpha of ``given`` where it is not 0: partly transparent pixels
    stay so as long as the type does."""
    if up.validity == "alpha" and given.pixels.dtype == block.pixels.dtype:
        own, alpha = given.pixels[-1], block.pixels[-1]
        np.copyto(alpha, own, where=(alpha > 0) & (own > 0))
    return block


def map_band(band: Pixels, function: Function | None, out: Pixels) -> None:
    """Fill ``out`` (h, w) with ``function`` of ``band``: by a table where its type has few values
    and the band many pixels."""
    table: Pixels | None = None
    if band.dtype.name in FEW and band.size >= 256**band.itemsize:
        every = every_value(band.dtype)
        table = converted(every if function is None else function(every), out.dtype.name)
        band = band.view(f"u{band.itemsize}")
    for rows in row_tiles(band):
        part = band[rows]
        if table is not None:
            np.take(table, part, out=out[rows], mode="clip")
        else:
            out[rows] = converted(part if function is None else function(part), out.dtype.name)


def row_tiles(band: Pixels) -> Iterator[slice]:
    """Cut the rows of ``band`` (h, w) into parts that are computed at a time."""
    rows = max(1, _TILE // band.shape[1])
    for top in range(0, len(band), rows):
        yield slice(top, top + rows)


def every_value(dtype: np.dtype) -> Pixels:
    """Return all values of a type of whole numbers, in the order of their bits."""
    count = 256**dtype.itemsize
    every: Pixels = np.arange(count, dtype=f"u{dtype.itemsize}").view(dtype)
    return every


def mapping_bytes(step: StepPlan, up: Raster) -> int:
    """Return the bytes a pixel that :func:`mapped` takes: what is valid, and where values are
    nodata by chance, and the pixels that these are moved in."""
    return up.count * (3 + np.dtype(step.raster.dtype).itemsize)
