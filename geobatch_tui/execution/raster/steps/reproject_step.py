"""The step *reproject*: the warp of ``raster.reproject``, of a file or of the steps before it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import rasterio
from rasterio.io import MemoryFile

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.params.frozen import WARP_NAMES
from geobatch_tui.execution.proj import assigned_crs, crs_lookup
from geobatch_tui.execution.raster.plan import Raster, StepPlan, Warp
from geobatch_tui.execution.raster.source import metadata
from geobatch_tui.execution.raster.steps.step import (
    MOST_IN_MEMORY,
    Block,
    Source,
    facts_of,
    grid_of,
)
from geobatch_tui.execution.raster.warp import warp_plan, warp_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.steps.step import Planning, Upstream


class Reproject:
    """Warps into another CRS or onto another grid; see ``raster.reproject``."""

    name = "reproject"
    version = 1

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        asked: Any = SimpleNamespace(
            **{WARP_NAMES.get(name, name): value for name, value in vars(params).items()}
        )
        with contextlib.ExitStack() as stack:
            source = planning.source
            if source is None:
                dataset = stack.enter_context(_likeness(up))
                source = Source(dataset, facts_of(up), grid_of(up))
            if asked.src_crs:
                crs = assigned_crs.parse(asked.src_crs, "input_crs", PreflightError)
                source = replace(source, placed=replace(source.placed, crs=crs))
            warp_plan.check_resampling(
                "the input", up.dtype, asked.resampling, planning.warnings,
                palette=up.colormap is not None,
            )  # fmt: skip
            planned = warp_plan.plan_reproject(
                source.dataset, source.facts, source.placed, asked, planning.warnings
            )
        warp = planned.warp
        if planning.source is None and warp.path == "exact" and up.whole.size > MOST_IN_MEMORY:
            why = planned.notes["coordinates_why"]
            planning.store(f"needs GDAL's warper, which reads files: {why}", needed=True)
        planning.notes.update(planned.notes)
        extra = planned.choice.adds_alpha
        raster = replace(
            up,
            width=planned.grid.width,
            height=planned.grid.height,
            crs=crs_lookup.wkt_of(planned.grid.crs),
            transform=planned.grid.transform,
            nodata=planned.choice.nodata,
            validity=planned.choice.validity,
            domains=metadata.moved(up.domains),
        )
        if extra:
            raster = with_alpha(raster)
        return StepPlan(self.name, self.version, {"warp": warp.to_json()}, raster)

    def need(self, step: StepPlan, up: Raster, window: Window) -> Window:
        warp = Warp.from_json(step.values["warp"])
        return warp_window.needed_source(facts_of(up), step.raster, warp, window)

    def compute(self, step: StepPlan, up: Upstream, window: Window) -> Block:
        warp = Warp.from_json(step.values["warp"])
        # It reads windows and masks, and has what GDAL's warper asks of an open file.
        source = cast("OpenSource", up.source)
        return Block(*warp_window.warp_window(source, step.raster, warp, window))

    def scratch(self, step: StepPlan, up: Raster) -> int:
        """Nothing by the pixel: the source is read in parts of a fixed size."""
        del step, up
        return 0


def with_alpha(raster: Raster) -> Raster:
    """Return ``raster`` with an alpha band behind the others."""
    return replace(
        raster,
        count=raster.count + 1,
        colorinterp=(*raster.colorinterp, "alpha"),
        descriptions=(*raster.descriptions, ""),
        scales=(*raster.scales, 1.0),
        offsets=(*raster.offsets, 0.0),
        units=(*raster.units, ""),
        band_tags=(*raster.band_tags, {}) if raster.band_tags else (),
    )


@contextlib.contextmanager
def _likeness(raster: Raster) -> Iterator[DatasetReader]:
    """Open a dataset of the size and place of ``raster``, without pixels, for GDAL's sums."""
    profile = {
        "driver": "GTiff", "width": raster.width, "height": raster.height, "count": 1,
        "dtype": "uint8", "crs": raster.crs, "transform": rasterio.Affine(*raster.transform),
        "sparse_ok": True, "tiled": True, "bigtiff": "IF_SAFER",
    }  # fmt: skip
    with MemoryFile() as memory:
        memory.open(**profile).close()
        with memory.open() as dataset:
            yield dataset
