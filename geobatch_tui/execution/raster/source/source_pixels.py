"""Reads the pixels of a source as an output holds them that is a plain copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster import validity

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import Raster
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.types import Pixels, Valid


def copy_window(
    opened: OpenSource, plan: Raster, window: Window, params: Json
) -> tuple[Pixels, Valid | None]:
    """Return the pixels (bands, h, w) of ``window``, and where they are valid (h, w), if ``plan``
    keeps that in a mask. Where ``params`` give the output another nodata value, it is written.

    Raises:
        CorruptSourceError, RasterioError: they cannot be read.
    """
    pixels = opened.read_window(window)
    if plan.validity == "mask":
        return pixels, _valid_pixels(opened, window, pixels)
    if plan.validity == "nodata" and params.get("dst_nodata") is not None:
        _rename_nodata(opened, plan, window, pixels, params)
    return pixels, None


def _valid_pixels(opened: OpenSource, window: Window, pixels: Pixels) -> Valid:
    """Return where all bands of ``window`` of the source, which holds ``pixels``, are valid.

    A mask decides alone where the output keeps nodata beside it, as GDAL reads such files.
    """
    facts = opened.facts
    seen: Valid = np.ones(pixels.shape[1:], bool)
    if facts.mask:
        seen &= opened.read_mask(window)
    if facts.nodata_differs:
        for band, value in zip(pixels, facts.nodatavals, strict=True):
            seen &= validity.differs(band, value)
    return seen


def _rename_nodata(
    opened: OpenSource, plan: Raster, window: Window, pixels: Pixels, params: Json
) -> None:
    """Write the plan's nodata where pixels are invalid, and move valid ones off it."""
    own, facts = params.get("src_nodata"), opened.facts
    values = facts.nodatavals if own is None else (None if own == "none" else float(own),)
    values = values * (len(pixels) if len(values) == 1 else 1)
    if not facts.mask and not any(value is not None for value in values):
        return  # pixels that have the value are declared nodata
    invalid = np.zeros(pixels.shape, bool)
    if facts.mask:
        invalid |= ~opened.read_mask(window)
    for index, value in enumerate(values):
        if value is not None:
            invalid[index] |= ~validity.differs(pixels[index], value)
    encoded, moved = validity.avoided(plan.nodata, pixels.dtype, plan.dtype)
    if encoded != moved:
        pixels[:, ((pixels == encoded) & ~invalid).all(axis=0)] = moved
    pixels[invalid] = plan.nodata
