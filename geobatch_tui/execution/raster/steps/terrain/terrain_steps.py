"""Steps on heights, as gdaldem has them: *hillshade*, *slope*, *aspect*, *tpi*, *tri*, *roughness*.

Each pixel comes from the 3x3 pixels around it. A pixel without data has none in the output; one
without data beside it counts as high as the pixel itself. Beyond the rim of the raster heights go
on as they came: rows in the first and last row, columns in the first and last column between.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster.kernels import pixel_loops, terrain_loops
from geobatch_tui.execution.raster.plan import Raster, StepPlan
from geobatch_tui.execution.raster.steps.band_steps import check_band, picked_bands
from geobatch_tui.execution.raster.steps.step import Block, LocalStep
from geobatch_tui.execution.raster.steps.terrain import heights, pixel_size

if TYPE_CHECKING:
    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Pixels


class _Terrain(LocalStep):
    """A step that looks at the pixels around each."""

    dtype, nodata = "float32", terrain_loops.NODATA

    def halo(self, step: StepPlan) -> int:
        del step
        return 1

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        check_band(up, params.band)
        _say(up, params.band, planning)
        pinned = self.pinned(up, params, planning)
        values = {"band": params.band - 1, "edges": not params.no_edges, **pinned}
        raster = replace(
            picked_bands(up, [params.band - 1]),
            dtype=self.dtype,
            nodata=self.nodata,
            validity="nodata",
            colorinterp=("gray",),
            descriptions=("",),
            scales=(1.0,),
            offsets=(0.0,),
            units=("",),
            band_tags=(),
        )
        return StepPlan(self.name, self.version, values, raster)

    def pinned(self, up: Raster, params: Frozen, planning: Planning) -> dict[str, object]:
        """Return what decides its pixels beside the band and what is done at edges."""
        del up, params, planning
        return {}

    def fill(self, step: StepPlan, work: Pixels, out: Pixels, *, marked: bool) -> None:
        """Compute ``out`` (h, w) from ``work`` (h + 2, w + 2); see the loops for both."""
        raise NotImplementedError

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        out = np.empty((1, *window.shape), step.raster.dtype)
        if min(up.width, up.height) < 2:  # none is on the other side
            out[:] = step.raster.nodata
            return Block(out)
        edges = bool(step.values["edges"])
        around = heights.Heights(up, int(step.values["band"]), given, part, edges)
        for first, last in heights.tiles(window, up.height):
            work = around.around(first, last, window)
            rows = out[0, first - window.row_off : last - window.row_off]
            marked = bool(np.isnan(work.min()))
            self.fill(step, work, rows, marked=marked)
            if marked and not edges:
                rows[heights.beside(np.isnan(work))] = step.raster.nodata
        return Block(out)

    def scratch(self, step: StepPlan, up: Raster) -> int:
        """Bytes for the heights of a tile, and for what is valid in it, in windows of 128 rows."""
        del step
        return 1 + heights.type_of(up).itemsize // 2


class Hillshade(_Terrain):
    """Shades heights by a light: 1 to 255, and 0 where there is no data."""

    name = "hillshade"
    dtype, nodata = "uint8", 0

    def pinned(self, up: Raster, params: Frozen, planning: Planning) -> dict[str, object]:
        x_size, y_size = pixel_size.sizes(up, params, planning)
        horn = params.gradient_alg == "Horn"
        factor = params.zfactor / (8 if horn else 2)
        slopes = [factor / x_size, factor / y_size]
        azimuth = math.radians(math.fmod(params.azimuth, 360.0))
        high, side = (
            math.sin(math.radians(params.altitude)),
            math.cos(math.radians(params.altitude)),
        )
        light = [math.sin(azimuth) * side, -math.cos(azimuth) * side, high]
        numbers = {
            "regular": [254 * each for each in light],
            "combined": [*light, 4 / math.pi**2],
            "multidirectional": [
                127 * high, 127 * side, 127 * side * math.sqrt(0.5),
            ],
            "Igor": [
                math.copysign(1.0, x_size), math.copysign(1.0, y_size),
                (1.5 * math.pi - azimuth) % (2 * math.pi), 2 / math.pi, 1 / math.pi,
            ],
        }  # fmt: skip
        of_variant = [*slopes, *numbers[params.variant]]
        return {"variant": params.variant, "horn": horn, "numbers": of_variant}

    def fill(self, step: StepPlan, work: Pixels, out: Pixels, *, marked: bool) -> None:
        loop = {
            "regular": pixel_loops.shade,
            "combined": pixel_loops.shade_combined,
            "multidirectional": pixel_loops.shade_multidirectional,
            "Igor": pixel_loops.shade_igor,
        }[step.values["variant"]]
        loop(work, marked, step.values["horn"], np.array(step.values["numbers"]), out)


class Slope(_Terrain):
    """Tells how steep it is, in degrees or percent."""

    name = "slope"

    def pinned(self, up: Raster, params: Frozen, planning: Planning) -> dict[str, object]:
        horn, percent = params.gradient_alg == "Horn", params.unit == "percent"
        one = np.float32(1)
        numbers = [float(one / np.float32(size)) for size in pixel_size.sizes(up, params, planning)]
        numbers.append((100 if percent else 1) / (8 if horn else 2))
        return {"horn": horn, "numbers": numbers, "percent": percent}

    def fill(self, step: StepPlan, work: Pixels, out: Pixels, *, marked: bool) -> None:
        values, tangents = step.values, np.empty(out.shape[1], "float32")
        numbers = np.array(values["numbers"])
        pixel_loops.slope(work, marked, values["horn"], numbers, values["percent"], tangents, out)


class Aspect(_Terrain):
    """Tells where slopes face."""

    name = "aspect"

    def pinned(self, up: Raster, params: Frozen, planning: Planning) -> dict[str, object]:
        x_size, y_size = pixel_size.unturned(up)
        pixel_size.say_of_squares(up, planning)
        if x_size < 0 or y_size < 0:
            planning.warn("north is taken from the grid, where GDAL takes it to be up")
        if params.zero_for_flat and (up.validity != "none" or params.no_edges):
            planning.warn(
                f"pixels without data are {self.nodata:g}, which is nodata; GDAL makes them 0 too, "
                "like flat ones"
            )
        return {
            "horn": params.gradient_alg == "Horn",
            "numbers": [
                math.copysign(1.0, x_size), math.copysign(1.0, y_size),
                0.0 if params.zero_for_flat else self.nodata,
            ],
            "azimuth": params.convention == "azimuth",
        }  # fmt: skip

    def fill(self, step: StepPlan, work: Pixels, out: Pixels, *, marked: bool) -> None:
        values, numbers = step.values, np.array(step.values["numbers"])
        pixel_loops.aspect(work, marked, values["horn"], numbers, values["azimuth"], out)


class Tpi(_Terrain):
    """Tells how far each pixel is above those around it."""

    name = "tpi"

    def fill(self, step: StepPlan, work: Pixels, out: Pixels, *, marked: bool) -> None:
        del step
        pixel_loops.position(work, marked, out)


class Tri(_Terrain):
    """Tells how much the pixels around each differ from it."""

    name = "tri"

    def pinned(self, up: Raster, params: Frozen, planning: Planning) -> dict[str, object]:
        del up, planning
        return {"riley": params.algorithm == "Riley"}

    def fill(self, step: StepPlan, work: Pixels, out: Pixels, *, marked: bool) -> None:
        pixel_loops.ruggedness(work, marked, step.values["riley"], out)


class Roughness(_Terrain):
    """Tells the largest difference between a pixel and those around it."""

    name = "roughness"

    def fill(self, step: StepPlan, work: Pixels, out: Pixels, *, marked: bool) -> None:
        del step
        pixel_loops.roughness(work, marked, out)


def _say(up: Raster, band: int, planning: Planning) -> None:
    """Warn of heights that may not be what they seem."""
    if min(up.width, up.height) < 2:
        planning.warn(f"{up.width}x{up.height} pixels have no slope: all become nodata")
    if up.colormap is not None:
        planning.warn("the numbers of the colours of a palette are taken for heights")
    if up.scales[band - 1] != 1:
        planning.warn(
            f"band {band} has a scale of {up.scales[band - 1]:g}, which is not applied to heights, "
            "as by GDAL; the step unscale before it does"
        )
    if up.dtype not in heights.SHORT:
        planning.warn(
            f"heights are taken as {heights.type_of(up)}; GDAL rounds {up.dtype} to float32"
        )
