"""The operations on features. They differ in their parameters and in their work on a batch.

Modules that load pydantic, pyarrow or GDAL are imported where they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from geobatch_tui.execution.params.frozen import given
from geobatch_tui.observability.versions import package_version

if TYPE_CHECKING:
    from pydantic import BaseModel

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol import looking, messages
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.vector.operations import Work

#: pyogrio stands for the GDAL in its wheel, shapely for GEOS, pyproj for PROJ.
_LIBRARIES = ("pyogrio", "pyarrow", "pyproj", "shapely")


class VectorOperation:
    """See :class:`geobatch_tui.execution.protocol.operation.Operation`."""

    name: str
    version = 12
    data: Literal["raster", "vector"] = "vector"
    summary: str
    #: Whether geometries are published as they are in the source.
    same_shapes = False
    #: Whether a chunk keeps a trail, so that one that ends its worker is tried again without the
    #: feature that did it. With a mask it always does.
    divisible = False

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import VectorParams

        return VectorParams

    def libraries(self) -> dict[str, str]:
        return {name: ".".join(package_version(name).split(".")[:2]) for name in _LIBRARIES}

    def work(self) -> Work:
        """Return what is done to a batch of features."""
        raise NotImplementedError

    def probe(self, task: messages.ProbeTask, stage: Stage) -> messages.ItemPlan:
        from geobatch_tui.execution.vector.probe import probe

        params: VectorParams = given(task.params)
        return probe(
            task,
            params,
            getattr(params, "dst_crs", ""),
            stage,
            divisible=self.divisible or bool(getattr(params, "mask", "")),
            same_shapes=self.same_shapes,
        )

    def run(self, task: messages.ChunkTask, stage: Stage) -> messages.ChunkReceipt:
        from geobatch_tui.execution.vector import chunk

        return chunk.run(task, self.work(), stage)

    def finalise(self, task: messages.FinaliseTask, stage: Stage) -> messages.ItemReceipt:
        from geobatch_tui.execution.vector.assemble import finalise

        return finalise(task, stage)

    def inspect(self, task: looking.InspectTask, stage: Stage) -> looking.InspectReceipt:
        from geobatch_tui.execution.vector.write.published_file import inspect

        return inspect(task.path, stage)

    def gdal_command(self, item: messages.ItemContext) -> str:
        from geobatch_tui.execution.vector.gdal_commands import ogr2ogr

        return ogr2ogr(item)

    def reproduce(self, item: messages.ItemContext, window: Window) -> str:
        from geobatch_tui.execution.vector.gdal_commands import ogr2ogr_window

        return ogr2ogr_window(item, window)


class Convert(VectorOperation):
    """The same features in another format."""

    name = "vector.convert"
    summary = "Rewrite features as GeoParquet, FlatGeobuf, GeoPackage or GeoJSON."
    same_shapes = True

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import convert

        return convert


class Filter(VectorOperation):
    """Features that satisfy a condition, touch a rectangle, or lie to a mask as asked."""

    name = "vector.filter"
    summary = "Keep the features that satisfy a condition, touch a rectangle, or lie to a mask."
    same_shapes = True

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import FilterParams

        return FilterParams

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import choose

        return choose


class Clip(VectorOperation):
    """Cuts features at a rectangle, or at the polygons of a file.

    What lies inside is not touched, what lies outside is left out, and a feature across is cut; of
    a polygon only polygons are kept, of a line only lines.
    """

    name = "vector.clip"
    summary = "Cut features at a rectangle or at polygons; those outside are left out."
    divisible = True

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import ClipParams

        return ClipParams

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import clip

        return clip


class MakeValid(VectorOperation):
    """Repairs invalid geometries; a polygon stays a polygon.

    A feature that takes GEOS longer than ``engine.chunk_timeout``, or that crashes it, is set aside
    alone.
    """

    name = "vector.make-valid"
    summary = "Repair invalid geometries; valid ones are not touched."
    divisible = True

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import MakeValidParams

        return MakeValidParams

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import make_valid

        return make_valid


class Reproject(VectorOperation):
    """Transforms coordinates inside the buffers of their geometries, as ``ogr2ogr -t_srs`` does one
    by one; a feature that cannot be transformed goes into quarantine."""

    name = "vector.reproject"
    summary = "Transform features into another CRS; what cannot go there is set aside."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import ReprojectParams

        return ReprojectParams

    def libraries(self) -> dict[str, str]:
        from geobatch_tui.execution.proj.grid_shifts import grids

        return super().libraries() | grids()

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import reproject

        return reproject


class Pipeline(VectorOperation):
    """A chain of steps, computed batch by batch without a file between them.

    The output has the features that it would have if each step had been stored without loss.
    """

    name = "vector.pipeline"
    version = 1
    summary = "Run a chain of steps on features, as `gdal vector pipeline` does."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.features.vector_step_params import VectorChain

        return VectorChain

    def libraries(self) -> dict[str, str]:
        from geobatch_tui.execution.proj.grid_shifts import grids

        return super().libraries() | grids()

    def work(self) -> Work:
        from geobatch_tui.execution.vector.steps.feature_chain import run

        return run

    def probe(self, task: messages.ProbeTask, stage: Stage) -> messages.ItemPlan:
        from geobatch_tui.execution.vector.probe import probe_chain

        return probe_chain(task, given(task.params), stage)


PIPELINE = Pipeline()
CONVERT, FILTER, CLIP = Convert(), Filter(), Clip()
MAKE_VALID, REPROJECT = MakeValid(), Reproject()
