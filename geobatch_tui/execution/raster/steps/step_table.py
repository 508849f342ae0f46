"""The steps of chains of rasters by GDAL's names, and what a chain of them needs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.plan import sides_of, unpack_chain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.raster.plan import Raster, StepPlan
    from geobatch_tui.execution.raster.steps.step import Step

#: The name of what stands first in a chain: the file itself; and its version, which is raised when
#: files are read otherwise.
READ, READ_VERSION = "read", 1
#: The key of the evidence of an error under which a second raster of a step is named.
BESIDE = "beside"
#: The key under which the number of the step of the job that an error is of stands, from 1.
STEP = "step"
#: Where each step lies below this room: its module and its class.
_PLACES = {
    "aspect": "terrain.terrain_steps:Aspect",
    "blend": "second.blend_step:Blend",
    "calc": "second.calc_step:Calc",
    "clip": "grids.clip_step:Clip",
    "color-map": "color_map_step:ColorMap",
    "edit": "band_steps:Edit",
    "fill-nodata": "focal.distance_steps:FillNodata",
    "function": "own.function_step:Function",
    "hillshade": "terrain.terrain_steps:Hillshade",
    "materialize": "band_steps:Materialize",
    "neighbors": "focal.neighbor_steps:Neighbors",
    "nodata-to-alpha": "band_steps:NodataToAlpha",
    "proximity": "focal.proximity_step:Proximity",
    "reclassify": "reclassify_step:Reclassify",
    "reproject": "reproject_step:Reproject",
    "resize": "grids.resize_step:Resize",
    "roughness": "terrain.terrain_steps:Roughness",
    "scale": "value_steps:Scale",
    "select": "band_steps:Select",
    "set-type": "band_steps:SetType",
    "slope": "terrain.terrain_steps:Slope",
    "tpi": "terrain.terrain_steps:Tpi",
    "tri": "terrain.terrain_steps:Tri",
    "unscale": "value_steps:Unscale",
}


class _StepTable(Mapping[str, "Step"]):
    """The steps by their names, each imported when a chain has it: a job without a chain does not
    wait for them."""

    def __init__(self) -> None:
        self._known: dict[str, Step] = {}

    def __getitem__(self, name: str) -> Step:
        step = self._known.get(name)
        if step is None:
            module, _, kind = _PLACES[name].partition(":")
            step = getattr(importlib.import_module(f"{__package__}.{module}"), kind)()
            self._known[name] = step
        return step

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


#: Each step by its name in job files and pipelines.
STEPS = _StepTable()


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
