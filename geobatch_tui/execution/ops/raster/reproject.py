"""``raster.reproject``: warp rasters into another CRS or onto another grid, as gdalwarp does.

Each window equals the same window of the whole image, pixel for pixel; the pixels are those of
``gdalwarp -et 0 -ovr NONE`` with the kernel scale pinned, to within ``error_threshold``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.raster.raster_operation import RasterOperation
from geobatch_tui.execution.params.frozen import given
from geobatch_tui.execution.proj.grid_shifts import grids

if TYPE_CHECKING:
    from pydantic import BaseModel

    from geobatch_tui.execution.ops.registry import Stage
    from geobatch_tui.execution.protocol.messages import ItemContext, ItemPlan, ProbeTask, Window


class Reproject(RasterOperation):
    """See :class:`RasterOperation`."""

    name = "raster.reproject"
    version = 7
    summary = "Warp rasters into another CRS or onto another grid."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.raster_params import ReprojectParams

        return ReprojectParams

    def libraries(self) -> dict[str, str]:
        return super().libraries() | grids()

    def probe(self, task: ProbeTask, stage: Stage) -> ItemPlan:
        from geobatch_tui.execution.raster.probe import probe_reproject

        return probe_reproject(task, given(task.params), stage)

    def gdal_command(self, item: ItemContext) -> str:
        from geobatch_tui.execution.raster.gdal_commands import gdalwarp

        return gdalwarp(item)

    def reproduce(self, item: ItemContext, window: Window) -> str:
        from geobatch_tui.execution.raster.gdal_commands import gdalwarp_window

        return gdalwarp_window(item, window)


REPROJECT = Reproject()
