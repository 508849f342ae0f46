"""The step *blend*: an overlay on an image, by one of GDAL's operators, in bytes.

A hole of the overlay, by nodata or a mask, leaves the image as it is; where the image has none by
nodata or a mask, the output has none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.kernels.images.blend_loops import OPERATORS
from geobatch_tui.execution.raster.plan import Raster, StepPlan, sides_of, unpack_chain
from geobatch_tui.execution.raster.steps.conversion import block_of, valid_bands
from geobatch_tui.execution.raster.steps.step import Block, LocalStep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.steps.step import Planning, Upstream
    from geobatch_tui.execution.raster.types import Pixels, Valid, Validity

#: Operators in which the image with more bands is the lower one, whichever is the overlay.
_EITHER_WAY = frozenset({"multiply", "screen", "hard-light", "overlay"})
#: Operators of images with as many colours.
_ALIKE = frozenset({"darken", "lighten"})
#: Operators for which GDAL takes the images as they stand.
_AS_THEY_STAND = frozenset({"darken", "lighten", "color-dodge", "color-burn"})
_COLOURS = 3
#: Pixels that GDAL lays over others at a time.
_TOGETHER = 16


class Blend(LocalStep):
    """Blends what comes in with an overlay on the same grid."""

    name = "blend"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        _check_image("the input", up)
        side = planning.side("overlay", params.overlay, params.overlay_state)
        over = side.raster
        _check_image("the overlay", over)
        operator = params.operator
        if operator == "hsv-value" and up.bands < _COLOURS:
            raise SchemaError("hsv-value takes red, green and blue; the input is grey")
        if operator in _ALIKE and up.bands != over.bands:
            raise SchemaError(
                f"{operator} takes as many colours of both: the input has {up.bands}, the overlay "
                f"{over.bands}"
            )
        swapped = operator in _EITHER_WAY and up.count < over.count
        for text in _differences(up, over, operator):
            planning.warn(text)
        lead = over if swapped else up
        raster = replace(
            up,
            count=lead.count,
            validity=_validity(up, lead),
            nodata=None if lead.validity == "alpha" else up.nodata,
            colorinterp=_interpretation(lead),
            descriptions=lead.descriptions,
            scales=(1.0,) * lead.count,
            offsets=(0.0,) * lead.count,
            units=("",) * lead.count,
            band_tags=(),
        )
        values = {
            "operator": operator,
            "opacity": (params.opacity * 255 + 50) // 100,
            "swapped": swapped,
            "beside": [side.values],
            "side_bytes": side.pixel_bytes,
        }
        return StepPlan(self.name, self.version, values, raster)

    def compute(self, step: StepPlan, up: Upstream, window: Window) -> Block:
        given = up.block(window)
        (side,) = sides_of(step)
        over = up.side(side, window)
        return _blended(step, up.raster, given, _side_raster(side), over)

    def scratch(self, step: StepPlan, up: Raster) -> int:
        """The overlay as it is made, the alpha of both, and what is valid."""
        return int(step.values["side_bytes"]) + step.raster.count + up.count + 6


def _check_image(what: str, raster: Raster) -> None:
    """Raise SchemaError unless a raster is an image of bytes."""
    if raster.dtype != "uint8":
        raise SchemaError(
            f"{what} has {raster.dtype} pixels; images of uint8 are blended",
            hint="scale makes bytes of them, and color-map colours",
        )
    if raster.colormap is not None:
        raise SchemaError(f"{what} is a palette image", hint="color-map gives it its colours")
    if raster.bands not in {1, _COLOURS}:
        raise SchemaError(
            f"{what} has {raster.bands} bands beside alpha; it is grey, or red, green and blue",
            hint="select picks bands",
        )


def _validity(up: Raster, lead: Raster) -> Validity:
    """Return how the output marks what is valid."""
    if lead.validity == "alpha":
        return "alpha"
    return "mask" if up.validity == "alpha" else up.validity


def _interpretation(lead: Raster) -> tuple[str, ...]:
    colours = ("gray",) if lead.bands == 1 else ("red", "green", "blue")
    return colours + (("alpha",) if lead.validity == "alpha" else ())


def _differences(up: Raster, over: Raster, operator: str) -> Iterator[str]:
    """Say where GDAL's blend has other pixels."""
    if over.validity in {"nodata", "mask"}:
        yield "the image stays as it is where the overlay has no data; GDAL blends what lies there"
    if up.validity in {"nodata", "mask"}:
        yield "what has no data stays so; GDAL blends what lies there, as data"
    if operator == "src-over":
        if up.bands == 1 and up.validity == "alpha":
            yield "alpha is that of both; GDAL blends that of a grey image as another colour"
        if up.bands > 1 and over.bands == 1 and over.validity == "alpha":
            yield "a grey overlay has one brightness; GDAL takes its alpha for green"
        if up.count == over.count == _COLOURS + 1 and (last := up.width % _TOGETHER):
            yield f"GDAL 3.13 takes the colours of the last {last} columns from elsewhere"
    if operator == "hsv-value" and up.validity == "alpha" and over.count == 1:
        yield "GDAL 3.13 gives each row the alpha of the first of its block, at opacity 100"
    if operator in _AS_THEY_STAND and over.count > up.count:
        yield "GDAL 3.13 writes the bands that only the overlay has over other memory"


def _side_raster(side: Json) -> Raster:
    return unpack_chain(side["chain"])[-1].raster


def _blended(step: StepPlan, up: Raster, given: Block, other: Raster, over: Block) -> Block:
    """Return the block of ``step`` from those of the image and the overlay."""
    raster, operator = step.raster, str(step.values["operator"])
    opacity, swapped = int(step.values["opacity"]), bool(step.values["swapped"])
    shape = given.pixels.shape[1:]
    image, alpha = _parted(up, given)
    top, top_alpha = _parted(other, over)
    lower, upper = (
        ((top, top_alpha), (image, alpha)) if swapped else ((image, alpha), (top, top_alpha))
    )
    out = np.empty_like(lower[0])
    out_alpha = np.empty(out.shape[1], np.uint8)
    how = OPERATORS[operator]
    if operator == "hsv-value":
        plain = other.count == 1 and opacity == 255
        pixel_loops.shade_colours(image, top, top_alpha, opacity, plain, out)
        out_alpha[:] = alpha
    elif operator == "src-over":
        way = _way(up, other)
        pixel_loops.lay_over(*lower, *upper, way, opacity, out, out_alpha)
    else:
        pixel_loops.mix(*lower, *upper, how, opacity, swapped, out, out_alpha)
    hole = _holes(other, over)
    if hole is not None:
        out[:, hole] = image[:, hole]
        out_alpha[hole] = alpha[hole]
    colours = out.reshape(-1, *shape)
    known = None if up.validity == "none" else valid_bands(up, given)
    if raster.validity != "alpha":
        return block_of(raster, colours, known)
    if up.validity in {"nodata", "mask"} and known is not None:
        out_alpha[~known.all(axis=0).reshape(-1)] = 0
    return Block(np.concatenate([colours, out_alpha.reshape(1, *shape)]))


def _way(up: Raster, other: Raster) -> int:
    """Return how GDAL rounds where both images are alike."""
    if up.bands != _COLOURS or up.count != other.count:
        return 0
    return 2 if up.validity == "alpha" else 1


def _parted(raster: Raster, block: Block) -> tuple[Pixels, Pixels]:
    """Return the colours (bands, n) of an image, and its alpha (n,)."""
    pixels = np.ascontiguousarray(block.pixels).reshape(raster.count, -1)
    if raster.validity == "alpha":
        return pixels[:-1], np.ascontiguousarray(pixels[-1])
    return pixels, np.full(pixels.shape[1], 255, np.uint8)


def _holes(other: Raster, over: Block) -> Valid | None:
    """Return where (n,) the overlay has no data by nodata or a mask; None: nowhere."""
    if other.validity not in {"nodata", "mask"}:
        return None
    known = valid_bands(other, over)
    if known is None or known.all():
        return None
    hole: Valid = ~known.all(axis=0).reshape(-1)
    return hole
