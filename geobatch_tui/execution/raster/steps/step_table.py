"""The steps of chains of rasters by GDAL's names, and what a chain of them needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.plan import sides_of, unpack_chain
from geobatch_tui.execution.raster.steps.band_steps import (
    Edit,
    Materialize,
    NodataToAlpha,
    Select,
    SetType,
)
from geobatch_tui.execution.raster.steps.color_map_step import ColorMap
from geobatch_tui.execution.raster.steps.focal.distance_steps import FillNodata, Proximity
from geobatch_tui.execution.raster.steps.focal.neighbor_steps import Neighbors
from geobatch_tui.execution.raster.steps.grids.clip_step import Clip
from geobatch_tui.execution.raster.steps.grids.resize_step import Resize
from geobatch_tui.execution.raster.steps.own.function_step import Function
from geobatch_tui.execution.raster.steps.reclassify_step import Reclassify
from geobatch_tui.execution.raster.steps.reproject_step import Reproject
from geobatch_tui.execution.raster.steps.second.blend_step import Blend
from geobatch_tui.execution.raster.steps.second.calc_step import Calc
from geobatch_tui.execution.raster.steps.terrain.terrain_steps import (
    Aspect,
    Hillshade,
    Roughness,
    Slope,
    Tpi,
    Tri,
)
from geobatch_tui.execution.raster.steps.value_steps import Scale, Unscale

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.plan import Raster, StepPlan
    from geobatch_tui.execution.raster.steps.step import Step

#: The name of what stands first in a chain: the file itself; and its version, which is raised when
#: files are read otherwise.
READ, READ_VERSION = "read", 1
#: The key of the evidence of an error under which a second raster of a step is named.
BESIDE = "beside"
#: Each step by its name in job files and pipelines.
STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Aspect(),
        Blend(),
        Calc(),
        Clip(),
        ColorMap(),
        Edit(),
        FillNodata(),
        Function(),
        Hillshade(),
        Materialize(),
        Neighbors(),
        NodataToAlpha(),
        Proximity(),
        Reclassify(),
        Reproject(),
        Resize(),
        Roughness(),
        Scale(),
        Select(),
        SetType(),
        Slope(),
        Tpi(),
        Tri(),
        Unscale(),
    )
}


def needed_source(chain: tuple[StepPlan, ...], window: Window) -> Window:
    """Return the pixels of the source that ``window`` of the last step is computed from; what a
    second raster needs of it, too."""
    also: list[Window] = []
    for step, up in zip(reversed(chain[1:]), reversed(chain[:-1]), strict=True):
        on_own = (side for side in sides_of(step) if "facts" not in side)
        also += [needed_source(unpack_chain(side["chain"]), window) for side in on_own]
        window = STEPS[step.name].need(step, up.raster, window)
    for other in also:
        low = min(window.col_off, other.col_off), min(window.row_off, other.row_off)
        window = Window.between(
            *low, max(window.right, other.right), max(window.bottom, other.bottom)
        )
    return window


def pixel_bytes(chain: tuple[StepPlan, ...]) -> int:
    """Return the bytes that the chain takes for a pixel of a window, at its peak: what a step
    reads, what it gives, and what it needs beside them."""
    most = _bytes(chain[0].raster)
    for step, up in zip(chain[1:], chain[:-1], strict=True):
        held = _bytes(up.raster) + _bytes(step.raster)
        most = max(most, held + STEPS[step.name].scratch(step, up.raster))
    return most


def _bytes(raster: Raster) -> int:
    return raster.count * np.dtype(raster.dtype).itemsize + (raster.validity == "mask")
