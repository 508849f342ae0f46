"""``vector.filter``: the features that satisfy a condition, or whose box touches a rectangle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import model_validator

from geobatch_tui.execution.ops.vector.base import VectorOperation
from geobatch_tui.execution.ops.vector.fields import VectorParams

if TYPE_CHECKING:
    from typing import Self

    from pydantic import BaseModel


class FilterParams(VectorParams):
    """Parameters of ``vector.filter``: ``where``, ``bounds``, or both."""

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if not self.where and self.bounds is None:
            raise ValueError("vector.filter needs where or bounds")
        return self


class Filter(VectorOperation):
    """See :class:`VectorOperation`."""

    name = "vector.filter"
    summary = "Keep the features that satisfy a condition or touch a rectangle."
    params: type[BaseModel] = FilterParams
    work = "convert"


FILTER = Filter()
