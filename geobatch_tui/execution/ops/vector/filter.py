"""``vector.filter``: features that satisfy a condition, touch a rectangle, or lie to a mask as
asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from geobatch_tui.execution.ops.vector.base import VectorOperation
from geobatch_tui.execution.ops.vector.compared import compared, with_digest
from geobatch_tui.execution.ops.vector.fields import VectorParams, semantic

if TYPE_CHECKING:
    from typing import Self

    from pydantic import BaseModel


class FilterParams(VectorParams):
    """Parameters of ``vector.filter``: at least one of ``where``, ``bounds`` and ``mask``."""

    mask: str = compared(
        "File of one layer, in the CRS of the sources: only features that lie to any geometry of "
        "it as predicate says."
    )
    mask_layer: str = semantic("", "Layer of the mask, where it has several.")
    predicate: Literal["intersects", "within", "contains", "touches", "disjoint"] = semantic(
        "intersects", "How a feature lies to the mask; disjoint: to all of it."
    )
    mask_digest: str = semantic(
        "", "BLAKE2b-128 of the mask, in hex; found by itself when the job is read."
    )

    @model_validator(mode="before")
    @classmethod
    def _know_the_mask(cls, values: Any) -> Any:
        return with_digest(values, "mask")

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if not self.where and self.bounds is None and not self.mask:
            raise ValueError("vector.filter needs where, bounds or mask")
        return self


class Filter(VectorOperation):
    """See :class:`VectorOperation`."""

    name = "vector.filter"
    summary = "Keep the features that satisfy a condition, touch a rectangle, or lie to a mask."
    params: type[BaseModel] = FilterParams
    work = "choose"

    def divides(self, params: VectorParams) -> bool:
        return bool(getattr(params, "mask", ""))


FILTER = Filter()
