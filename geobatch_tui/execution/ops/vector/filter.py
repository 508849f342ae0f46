"""``vector.filter``: features that satisfy a condition, touch a rectangle, or lie to a mask as
asked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from geobatch_tui.execution.ops.vector.base import VectorOperation
from geobatch_tui.execution.ops.vector.fields import VectorParams, semantic

if TYPE_CHECKING:
    from typing import Self

    from pydantic import BaseModel

_PIECE = 1 << 20


class FilterParams(VectorParams):
    """Parameters of ``vector.filter``: at least one of ``where``, ``bounds`` and ``mask``."""

    mask: str = Field(
        "",
        description="File of one layer, in the CRS of the sources: only features that lie to any "
        "geometry of it as predicate says.",
        json_schema_extra={"unit": "", "kind": "operational", "path": True},
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
        """The content of the mask decides what comes out, so it is part of the parameters."""
        if isinstance(values, dict) and values.get("mask") and not values.get("mask_digest"):
            return {**values, "mask_digest": _digest(str(values["mask"]))}
        return values

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if not self.where and self.bounds is None and not self.mask:
            raise ValueError("vector.filter needs where, bounds or mask")
        return self


def _digest(path: str) -> str:
    state = hashlib.blake2b(digest_size=16)
    try:
        with Path(path).open("rb") as file:
            while piece := file.read(_PIECE):
                state.update(piece)
    except OSError as error:
        raise ValueError(f"mask: {path} cannot be read: {error.strerror}") from error
    return state.hexdigest()


class Filter(VectorOperation):
    """See :class:`VectorOperation`."""

    name = "vector.filter"
    summary = "Keep the features that satisfy a condition, touch a rectangle, or lie to a mask."
    params: type[BaseModel] = FilterParams
    work = "choose"


FILTER = Filter()
