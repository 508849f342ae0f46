"""``raster.convert``: the same pixels on the same grid, in another file layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.raster.raster_operation import RasterOperation
from geobatch_tui.execution.params.frozen import given

if TYPE_CHECKING:
    from pydantic import BaseModel

    from geobatch_tui.execution.ops.registry import Stage
    from geobatch_tui.execution.protocol.messages import ItemContext, ItemPlan, ProbeTask, Window


class Convert(RasterOperation):
    """See :class:`RasterOperation`."""

    name = "raster.convert"
    version = 7
    summary = "Rewrite rasters as COG or tiled GeoTIFF: same pixels, same grid."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.raster_params import ConvertParams

        return ConvertParams

    def probe(self, task: ProbeTask, stage: Stage) -> ItemPlan:
        from geobatch_tui.execution.raster.probe import probe_convert

        return probe_convert(task, given(task.params), stage)

    def gdal_command(self, item: ItemContext) -> str:
        from geobatch_tui.execution.raster.gdal_commands import gdal_translate

        return gdal_translate(item)

    def reproduce(self, item: ItemContext, window: Window) -> str:
        from geobatch_tui.execution.raster.gdal_commands import gdal_translate_window

        return gdal_translate_window(item, window)


CONVERT = Convert()
