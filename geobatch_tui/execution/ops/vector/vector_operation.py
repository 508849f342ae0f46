"""The base of all vector operations, which differ in their work on a batch alone."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from geobatch_tui.execution.params.frozen import given

if TYPE_CHECKING:
    from pydantic import BaseModel

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol.messages import (
        ChunkReceipt,
        ChunkTask,
        FinaliseTask,
        InspectReceipt,
        InspectTask,
        ItemContext,
        ItemPlan,
        ItemReceipt,
        ProbeTask,
    )
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.vector.operations import Work

#: pyogrio stands for the GDAL in its wheel, shapely for GEOS, pyproj for PROJ.
_LIBRARIES = ("pyogrio", "pyarrow", "pyproj", "shapely")


class VectorOperation:
    """See :class:`geobatch_tui.execution.ops.registry.Operation`."""

    name: str
    version = 12
    data: Literal["raster", "vector"] = "vector"
    summary: str
    #: Whether geometries are published as they are in the source.
    same_shapes = False

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import VectorParams

        return VectorParams

    def libraries(self) -> dict[str, str]:
        return {name: ".".join(version(name).split(".")[:2]) for name in _LIBRARIES}

    def dst_crs(self, params: VectorParams) -> str:
        """CRS of the output; empty: that of the source."""
        return str(getattr(params, "dst_crs", ""))

    def divides(self, params: VectorParams) -> bool:
        """Whether a chunk keeps a trail, so that one that ends its worker is tried again without
        the feature that did it."""
        del params
        return False

    def work(self) -> Work:
        """Return what is done to a batch of features."""
        raise NotImplementedError

    def probe(self, task: ProbeTask, stage: Stage) -> ItemPlan:
        from geobatch_tui.execution.vector.probe import probe

        params: VectorParams = given(task.params)
        return probe(
            task,
            params,
            self.dst_crs(params),
            stage,
            divisible=self.divides(params),
            same_shapes=self.same_shapes,
        )

    def run(self, task: ChunkTask, stage: Stage) -> ChunkReceipt:
        from geobatch_tui.execution.vector import chunk

        return chunk.run(task, self.work(), stage)

    def finalise(self, task: FinaliseTask, stage: Stage) -> ItemReceipt:
        from geobatch_tui.execution.vector.assemble import finalise

        return finalise(task, stage)

    def inspect(self, task: InspectTask, stage: Stage) -> InspectReceipt:
        from geobatch_tui.execution.vector.write.published_file import inspect

        return inspect(task.path, stage)

    def gdal_command(self, item: ItemContext) -> str:
        from geobatch_tui.execution.vector.gdal_commands import ogr2ogr

        return ogr2ogr(item)

    def reproduce(self, item: ItemContext, window: Window) -> str:
        from geobatch_tui.execution.vector.gdal_commands import ogr2ogr_window

        return ogr2ogr_window(item, window)
