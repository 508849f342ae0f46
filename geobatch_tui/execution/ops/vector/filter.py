"""``vector.filter``: features that satisfy a condition, touch a rectangle, or lie to a mask as
asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.vector.vector_operation import VectorOperation

if TYPE_CHECKING:
    from pydantic import BaseModel

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.vector.operations import Work


class Filter(VectorOperation):
    """See the base class."""

    name = "vector.filter"
    summary = "Keep the features that satisfy a condition, touch a rectangle, or lie to a mask."
    same_shapes = True

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import FilterParams

        return FilterParams

    def divides(self, params: VectorParams) -> bool:
        return bool(getattr(params, "mask", ""))

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import choose

        return choose


FILTER = Filter()
