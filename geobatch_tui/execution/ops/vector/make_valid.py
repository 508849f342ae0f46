"""``vector.make-valid``: repairs invalid geometries; a polygon stays a polygon.

A feature that takes GEOS longer than ``engine.chunk_timeout``, or that crashes it, is set aside
alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.vector.vector_operation import VectorOperation

if TYPE_CHECKING:
    from pydantic import BaseModel

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.vector.operations import Work


class MakeValid(VectorOperation):
    """See the base class."""

    name = "vector.make-valid"
    summary = "Repair invalid geometries; valid ones are not touched."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import MakeValidParams

        return MakeValidParams

    def divides(self, params: VectorParams) -> bool:
        del params
        return True

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import make_valid

        return make_valid


MAKE_VALID = MakeValid()
