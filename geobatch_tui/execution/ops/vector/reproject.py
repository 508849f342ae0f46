"""``vector.reproject``: features in another CRS.

Coordinates are transformed inside the buffers of their geometries, as ``ogr2ogr -t_srs`` does one
by one; a feature that cannot be transformed goes into quarantine, and the others go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import field_validator

from geobatch_tui.execution.datum import grids
from geobatch_tui.execution.ops.vector.base import VectorOperation
from geobatch_tui.execution.ops.vector.fields import VectorParams, semantic

if TYPE_CHECKING:
    from pydantic import BaseModel


class ReprojectParams(VectorParams):
    """Parameters of ``vector.reproject``."""

    dst_crs: str = semantic(..., "CRS of the output: a code as EPSG:3857, WKT or a PROJ string.")

    wrapdateline: bool = semantic(
        False, "Cut lines and polygons across the antimeridian there, where dst_crs is in degrees."
    )

    @field_validator("dst_crs")
    @classmethod
    def _given(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("dst_crs is empty")
        return value


class Reproject(VectorOperation):
    """See :class:`VectorOperation`."""

    name = "vector.reproject"
    summary = "Transform features into another CRS; what cannot go there is set aside."
    params: type[BaseModel] = ReprojectParams
    work = "reproject"

    def libraries(self) -> dict[str, str]:
        return super().libraries() | grids()


REPROJECT = Reproject()
