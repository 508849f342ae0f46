"""``raster.convert``: the same pixels on the same grid, in another file layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from geobatch_tui.execution.ops.raster.base import RasterOperation
from geobatch_tui.execution.ops.raster.fields import Nodata, SourceNodata, semantic

if TYPE_CHECKING:
    from geobatch_tui.execution.messages import ItemContext, ItemPlan, ProbeTask, Window
    from geobatch_tui.execution.ops.registry import Stage


class ConvertParams(BaseModel):
    """Parameters of ``raster.convert``, by gdal_translate's names."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    src_crs: str = semantic("", "CRS of the sources, in place of their own; empty: their own.")
    src_nodata: SourceNodata = semantic(
        None, 'Nodata of the sources, in place of their own; "none" drops it.', "pixel value"
    )
    dst_nodata: Nodata = semantic(
        None, "Nodata of the output: pixels that are invalid are rewritten to it.", "pixel value"
    )


class Convert(RasterOperation):
    """See :class:`RasterOperation`."""

    name = "raster.convert"
    version = 4
    summary = "Rewrite rasters as COG or tiled GeoTIFF: same pixels, same grid."
    params: type[BaseModel] = ConvertParams

    def probe(self, task: ProbeTask, stage: Stage) -> ItemPlan:
        from geobatch_tui.execution.raster.probe import probe_convert

        return probe_convert(task, ConvertParams.model_validate(dict(task.params)), stage)

    def gdal_command(self, item: ItemContext) -> str:
        from geobatch_tui.execution.raster.commands import gdal_translate

        return gdal_translate(item)

    def reproduce(self, item: ItemContext, window: Window) -> str:
        from geobatch_tui.execution.raster.commands import gdal_translate_window

        return gdal_translate_window(item, window)


CONVERT = Convert()
