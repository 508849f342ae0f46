"""Parameters of vector operations, as users give them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from geobatch_tui.execution.params.param_fields import (
    operational,
    second_file,
    semantic,
    with_digest,
)

if TYPE_CHECKING:
    from typing import Self

_LIMIT = re.compile(r"\d+|\d+(?:\.\d+)?%")


class VectorParams(BaseModel):
    """The part of each source that is read, and the features that may fail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: str = semantic(
        "",
        "Only features for which this condition holds, in OGR's SQL (GeoPackage and GeoParquet: "
        "SQLite's).",
    )
    bounds: tuple[float, float, float, float] | None = semantic(
        None, "Only features whose box touches minx, miny, maxx, maxy.", "units of the source's CRS"
    )
    columns: tuple[str, ...] | None = semantic(
        None, "Only these attributes, in the order of the source; empty list: none."
    )
    encoding: str = semantic(
        "auto",
        "Encoding of text in Shapefiles. auto: what the file says; else UTF-8 where all text is "
        "that, else Windows-1252 for the whole file. strict: what the file says, else UTF-8, and "
        "features with other text are set aside. Or a name, as CP1250, in place of what the file "
        "says.",
    )
    geometry_kind: Literal["any", "points", "lines", "polygons"] = semantic(
        "any", "Only geometries of this kind, single or multi, in an output."
    )
    other_kinds: Literal["quarantine", "filter"] = semantic(
        "quarantine",
        "Features of another kind than geometry_kind are set aside, or filtered: then a job for "
        "each kind splits a mixed layer.",
    )
    curves: Literal["quarantine", "linear"] = semantic(
        "quarantine",
        "Features with curves or surfaces, which no output format holds, are set aside; linear: "
        "arcs become lines of steps of four degrees, and surfaces become polygons.",
    )
    max_bad_features: str = operational(
        "",
        "Publish an item only if at most so many features are in quarantine: a number, or a share "
        "as 5%; empty: any number.",
        "features",
    )

    @model_validator(mode="before")
    @classmethod
    def _know_the_second_file(cls, values: object) -> object:
        for name in cls.model_fields.keys() & {"like", "mask"}:
            values = with_digest(values, name)
        return values

    @field_validator("bounds")
    @classmethod
    def _in_order(
        cls, value: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if value is not None and not (value[0] <= value[2] and value[1] <= value[3]):
            raise ValueError("bounds are minx, miny, maxx, maxy, with minx <= maxx, miny <= maxy")
        return value

    @field_validator("encoding")
    @classmethod
    def _how(cls, value: str) -> str:
        word = value.strip().lower()
        return (word or "auto") if word in {"", "auto", "strict"} else value

    @field_validator("max_bad_features", mode="before")
    @classmethod
    def _limit(cls, value: object) -> str:
        text = "" if value is None else str(value).strip()
        if text and not _LIMIT.fullmatch(text):
            raise ValueError("a number of features, or a share as 5%")
        return text


class ClipParams(VectorParams):
    """Parameters of ``vector.clip``: ``bounds`` or ``like`` is where it cuts."""

    like: str = second_file(
        "File of one layer of polygons, in the CRS of the sources: features are cut at the area "
        "that all of them cover, in place of bounds."
    )
    like_layer: str = semantic("", "Layer of that file, where it has several.")
    like_digest: str = semantic(
        "", "BLAKE2b-128 of that file, in hex; found by itself when the job is read.", found=True
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if (self.bounds is None) == (not self.like):
            raise ValueError("vector.clip needs bounds or like, one of them")
        return self


class FilterParams(VectorParams):
    """Parameters of ``vector.filter``: at least one of ``where``, ``bounds`` and ``mask``."""

    mask: str = second_file(
        "File of one layer, in the CRS of the sources: only features that lie to any geometry of "
        "it as predicate says."
    )
    mask_layer: str = semantic("", "Layer of the mask, where it has several.")
    predicate: Literal["intersects", "within", "contains", "touches", "disjoint"] = semantic(
        "intersects", "How a feature lies to the mask; disjoint: to all of it."
    )
    mask_digest: str = semantic(
        "", "BLAKE2b-128 of the mask, in hex; found by itself when the job is read.", found=True
    )

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
