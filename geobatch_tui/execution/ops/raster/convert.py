"""``raster.convert``: the same pixels on the same grid, in another file layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from geobatch_tui.execution.ops.raster.fields import Nodata, SourceNodata, semantic
from geobatch_tui.execution.ops.raster.versions import libraries

if TYPE_CHECKING:
    from geobatch_tui.execution.messages import (
        ChunkReceipt,
        ChunkTask,
        FinaliseTask,
        InspectReceipt,
        InspectTask,
        ItemContext,
        ItemPlan,
        ItemReceipt,
        ProbeTask,
        Window,
    )
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


class Convert:
    """The operation; see :class:`geobatch_tui.execution.ops.registry.Operation`."""

    name = "raster.convert"
    version = 2
    data: Literal["raster", "vector"] = "raster"
    summary = "Rewrite rasters as COG or tiled GeoTIFF: same pixels, same grid."
    params: type[BaseModel] = ConvertParams

    def libraries(self) -> dict[str, str]:
        return libraries()

    def probe(self, task: ProbeTask, stage: Stage) -> ItemPlan:
        from geobatch_tui.execution.raster.probe import probe_convert

        return probe_convert(task, ConvertParams.model_validate(dict(task.params)), stage)

    def run(self, task: ChunkTask, stage: Stage) -> ChunkReceipt:
        from geobatch_tui.execution.raster.pixels import run

        return run(task, stage)

    def finalise(self, task: FinaliseTask, stage: Stage) -> ItemReceipt:
        from geobatch_tui.execution.raster.pixels import finalise

        return finalise(task, stage)

    def inspect(self, task: InspectTask, stage: Stage) -> InspectReceipt:
        from geobatch_tui.execution.raster.inspect import inspect

        return inspect(task.path, stage)

    def gdal_command(self, item: ItemContext) -> str:
        from geobatch_tui.execution.raster.commands import gdal_translate

        return gdal_translate(item)

    def reproduce(self, item: ItemContext, window: Window) -> str:
        from geobatch_tui.execution.raster.commands import gdal_translate_window

        return gdal_translate_window(item, window)


CONVERT = Convert()
