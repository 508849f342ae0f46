"""The operations on rasters: ``raster.convert``, ``raster.reproject`` and ``raster.pipeline``.

They differ in how an item is probed. How its pixels are made is in its plan, so chunks, assembly
and inspection are the same for all. Modules that load GDAL are imported where they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from geobatch_tui.execution.params.frozen import given
from geobatch_tui.observability.versions import package_version

if TYPE_CHECKING:
    from pydantic import BaseModel

    from geobatch_tui.execution.protocol import looking, messages
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.protocol.window import Window

#: rasterio and pyproj stand for the GDAL and the PROJ in their wheels, which cannot be asked
#: without loading them; numba for the order in which its LLVM adds.
_LIBRARIES = ("rasterio", "pyproj", "imagecodecs", "numba")


class RasterOperation:
    """The shared part of :class:`geobatch_tui.execution.protocol.operation.Operation`."""

    data: Literal["raster", "vector"] = "raster"

    def libraries(self) -> dict[str, str]:
        return {name: ".".join(package_version(name).split(".")[:2]) for name in _LIBRARIES}

    def run(self, task: messages.ChunkTask, stage: Stage) -> messages.ChunkReceipt:
        from geobatch_tui.execution.raster.chunk import run

        return run(task, stage)

    def finalise(self, task: messages.FinaliseTask, stage: Stage) -> messages.ItemReceipt:
        from geobatch_tui.execution.raster.chunk import finalise

        return finalise(task, stage)

    def inspect(self, task: looking.InspectTask, stage: Stage) -> looking.InspectReceipt:
        from geobatch_tui.execution.raster.geotiff.read_back import inspect

        return inspect(task.path, stage)

    def gdal_command(self, item: messages.ItemContext) -> str:
        from geobatch_tui.execution.raster.gdal_commands import item_command

        return item_command(item)

    def reproduce(self, item: messages.ItemContext, window: Window) -> str:
        from geobatch_tui.execution.raster.gdal_commands import window_command

        return window_command(item, window)


class Convert(RasterOperation):
    """The same pixels on the same grid, in another file layout."""

    name = "raster.convert"
    version = 11
    summary = "Rewrite rasters as COG or tiled GeoTIFF: same pixels, same grid."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.raster_params import ConvertParams

        return ConvertParams

    def probe(self, task: messages.ProbeTask, stage: Stage) -> messages.ItemPlan:
        from geobatch_tui.execution.raster.probe import probe_convert

        return probe_convert(task, given(task.params), stage)


class Reproject(RasterOperation):
    """Warps rasters into another CRS or onto another grid, as gdalwarp does.

    Each window equals the same window of the whole image, pixel for pixel; the pixels are those of
    ``gdalwarp -et 0 -ovr NONE`` with the kernel scale pinned, to within ``error_threshold``.
    """

    name = "raster.reproject"
    version = 11
    summary = "Warp rasters into another CRS or onto another grid."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.raster_params import ReprojectParams

        return ReprojectParams

    def libraries(self) -> dict[str, str]:
        from geobatch_tui.execution.proj.grid_shifts import grids

        return super().libraries() | grids()

    def probe(self, task: messages.ProbeTask, stage: Stage) -> messages.ItemPlan:
        from geobatch_tui.execution.raster.probe import probe_reproject

        return probe_reproject(task, given(task.params), stage)


class Pipeline(RasterOperation):
    """A chain of steps, computed chunk by chunk without a file between them.

    The output has the bytes that it would have if each step had been stored without loss.
    """

    name = "raster.pipeline"
    version = 5
    summary = "Run a chain of steps on rasters, as `gdal raster pipeline` does."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.chain_params import RasterChain

        return RasterChain

    def libraries(self) -> dict[str, str]:
        from geobatch_tui.execution.proj.grid_shifts import grids

        return super().libraries() | grids()

    def probe(self, task: messages.ProbeTask, stage: Stage) -> messages.ItemPlan:
        from geobatch_tui.execution.raster.chain_probe import probe_chain

        return probe_chain(task, stage)


CONVERT, REPROJECT, PIPELINE = Convert(), Reproject(), Pipeline()
