"""What all raster operations do the same way: the plan of an item says how its pixels are made."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from geobatch_tui.execution.ops.registry import Stage
    from geobatch_tui.execution.protocol.messages import (
        ChunkReceipt,
        ChunkTask,
        FinaliseTask,
        InspectReceipt,
        InspectTask,
        ItemReceipt,
    )

#: rasterio and pyproj stand for the GDAL and the PROJ in their wheels, which cannot be asked
#: without loading them; numba for the order in which its LLVM adds.
_LIBRARIES = ("rasterio", "pyproj", "imagecodecs", "numba")


class RasterOperation:
    """See :class:`geobatch_tui.execution.ops.registry.Operation`; what is left to each one is how
    it probes, and GDAL's commands for the same."""

    data: Literal["raster", "vector"] = "raster"

    def libraries(self) -> dict[str, str]:
        return {name: ".".join(version(name).split(".")[:2]) for name in _LIBRARIES}

    def run(self, task: ChunkTask, stage: Stage) -> ChunkReceipt:
        from geobatch_tui.execution.raster.chunk import run

        return run(task, stage)

    def finalise(self, task: FinaliseTask, stage: Stage) -> ItemReceipt:
        from geobatch_tui.execution.raster.chunk import finalise

        return finalise(task, stage)

    def inspect(self, task: InspectTask, stage: Stage) -> InspectReceipt:
        from geobatch_tui.execution.raster.geotiff.read_back import inspect

        return inspect(task.path, stage)
