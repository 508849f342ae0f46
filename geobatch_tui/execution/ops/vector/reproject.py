"""``vector.reproject``: features in another CRS.

Coordinates are transformed inside the buffers of their geometries, as ``ogr2ogr -t_srs`` does one
by one; a feature that cannot be transformed goes into quarantine, and the others go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.vector.vector_operation import VectorOperation
from geobatch_tui.execution.proj.grid_shifts import grids

if TYPE_CHECKING:
    from pydantic import BaseModel

    from geobatch_tui.execution.vector.operations import Work


class Reproject(VectorOperation):
    """See the base class."""

    name = "vector.reproject"
    summary = "Transform features into another CRS; what cannot go there is set aside."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import ReprojectParams

        return ReprojectParams

    def libraries(self) -> dict[str, str]:
        return super().libraries() | grids()

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import reproject

        return reproject


REPROJECT = Reproject()
