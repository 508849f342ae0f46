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
    from geobatch_tui.execution.raster.plan import Raster
    from geobatch_tui.execution.raster.types import Pixels, Valid


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
        pixels[chance] = moved
    if valid is not None:
        pixels[~np.broadcast_to(valid, pixels.shape)] = nodata
    return pixels
