"""Parameters that vector operations share."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_LIMIT = re.compile(r"\d+|\d+(?:\.\d+)?%")


def semantic(default: Any, text: str, unit: str = "") -> Any:
    """A field whose change makes outputs stale; ``text`` is its help, ``unit`` its unit."""
    return Field(default, description=text, json_schema_extra={"unit": unit, "kind": "semantic"})


def operational(default: Any, text: str, unit: str = "") -> Any:
    """A field that never changes an output; ``text`` is its help, ``unit`` its unit."""
    return Field(default, description=text, json_schema_extra={"unit": unit, "kind": "operational"})


class VectorParams(BaseModel):
    """What is read of each source, and how many features may fail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: str = semantic(
        "",
        "Only features for which this condition holds, in OGR's SQL (GeoPackage and GeoParquet: "
        "SQLite's).",
    )
    bounds: tuple[float, float, float, float] | None = semantic(
        None,
        "Only features whose box touches minx, miny, maxx, maxy.",
        "units of the source's CRS",
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
    def _limit(cls, value: Any) -> str:
        text = "" if value is None else str(value).strip()
        if text and not _LIMIT.fullmatch(text):
            raise ValueError("a number of features, or a share as 5%")
        return text
