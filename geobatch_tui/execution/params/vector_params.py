"""Parameters of vector operations, as users give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator, model_validator

from geobatch_tui.execution.params.second_file import compared, with_digest
from geobatch_tui.execution.params.vector_fields import VectorParams, semantic

if TYPE_CHECKING:
    from typing import Self


class ClipParams(VectorParams):
    """Parameters of ``vector.clip``: ``bounds`` or ``like`` is where it cuts."""

    like: str = compared(
        "File of one layer of polygons, in the CRS of the sources: features are cut at the area "
        "that all of them cover, in place of bounds."
    )
    like_layer: str = semantic("", "Layer of that file, where it has several.")
    like_digest: str = semantic(
        "", "BLAKE2b-128 of that file, in hex; found by itself when the job is read."
    )

    @model_validator(mode="before")
    @classmethod
    def _know_the_polygons(cls, values: Any) -> Any:
        return with_digest(values, "like")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if (self.bounds is None) == (not self.like):
            raise ValueError("vector.clip needs bounds or like, one of them")
        return self


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


class MakeValidParams(VectorParams):
    """Parameters of ``vector.make-valid``."""

    method: Literal["linework", "structure"] = semantic(
        "linework",
        "How GEOS repairs: linework keeps every line and makes areas of what they enclose; "
        "structure first makes rings valid, then joins shells and takes away holes.",
    )
    keep_collapsed: bool = semantic(
        False,
        "Publish a feature that has no part of its dimension left as the line or point that it "
        "collapsed to, in place of setting it aside.",
    )


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
