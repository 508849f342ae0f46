"""Parameters of the steps of chains of features, as users give them: GDAL's names, with ``_``.

Each class is a step; its docstring is what lists and schemas say of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotation
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from geobatch_tui.execution.params.chain_params import AnyFeatureStep  # noqa: TC001 - as Mapping
from geobatch_tui.execution.params.frozen import GEOMETRY_NAME
from geobatch_tui.execution.params.own import function_params
from geobatch_tui.execution.params.param_fields import second_file, semantic, with_digest
from geobatch_tui.execution.params.step_params import Bounds, Names, StepParams
from geobatch_tui.execution.params.vector_params import VectorParams

if TYPE_CHECKING:
    from typing import Self

#: OGR's names of the types and subtypes of fields that *set-field-type* makes.
FIELD_TYPES = (
    "Boolean", "Int16", "Integer", "Integer64", "Float32", "Real", "String", "Date", "DateTime",
)  # fmt: skip
_FOLDED = {name.lower(): name for name in FIELD_TYPES}


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _field_type(value: object) -> object:
    return _FOLDED.get(value.lower(), value) if isinstance(value, str) else value


def _in_order(value: Bounds | None) -> Bounds | None:
    if value is not None and not (value[0] <= value[2] and value[1] <= value[3]):
        raise ValueError("bbox is minx, miny, maxx, maxy, with minx <= maxx and miny <= maxy")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Box = Annotated[Bounds | None, AfterValidator(_in_order)]
FieldType = Annotated[
    Literal[
        "Boolean", "Int16", "Integer", "Integer64", "Float32", "Real", "String", "Date", "DateTime"
    ],
    BeforeValidator(_field_type),
]


class BufferStep(StepParams):
    """Grow or shrink geometries by a distance; all become multipolygons."""

    name: Literal["buffer"]
    distance: Finite = semantic(..., "How far; less than 0 shrinks areas.", "units of the CRS")
    endcap_style: Literal["round", "flat", "square"] = semantic("round", "Ends of lines.")
    join_style: Literal["round", "mitre", "bevel"] = semantic("round", "Corners.")
    mitre_limit: Annotated[Finite, Field(ge=0)] = semantic(
        5.0, "How far a mitred corner may reach, as a multiple of the distance."
    )
    quadrant_segments: Annotated[int, Field(ge=1, le=10_000)] = semantic(
        8, "Segments of a quarter of a circle."
    )
    side: Literal["both", "left", "right"] = semantic(
        "both", "On one side of lines only, seen along them."
    )


class ClipFeaturesStep(StepParams):
    """Cut features at a rectangle or at polygons; those outside are left out."""

    name: Literal["clip"]
    bbox: Box = semantic(None, "Rectangle: minx, miny, maxx, maxy.", "units of bbox_crs")
    bbox_crs: str = semantic("", "CRS of bbox; empty: that of the features.")
    geometry: str = semantic("", "Polygons to cut at, as WKT or GeoJSON.")
    geometry_crs: str = semantic("", "CRS of geometry; empty: that of the features.")
    like: str = second_file(
        "File of one layer of polygons, in the CRS of the features: they are cut at the area that "
        "all of them cover."
    )
    like_layer: str = semantic("", "Layer of that file, where it has several.")
    like_digest: str = semantic(
        "", "BLAKE2b-128 of that file, in hex; found by itself when the job is read.", found=True
    )

    @model_validator(mode="before")
    @classmethod
    def _know_the_file(cls, values: object) -> object:
        return with_digest(values, "like")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if (self.bbox is not None) + bool(self.geometry) + bool(self.like) != 1:
            raise ValueError("clip takes bbox, geometry or like, one of them")
        for crs, of in (("bbox_crs", "bbox"), ("geometry_crs", "geometry")):
            if getattr(self, crs) and not getattr(self, of):
                raise ValueError(f"{crs} is about {of}, which is not given")
        return self


class ConvexHullStep(StepParams):
    """Put the convex hull in place of each geometry."""

    name: Literal["convex-hull"]


class ExplodeStep(StepParams):
    """Make a feature of each part of a multi geometry or collection."""

    name: Literal["explode-collections"]


class FilterStep(StepParams):
    """Keep the features that meet a rectangle and satisfy a condition."""

    name: Literal["filter"]
    bbox: Box = semantic(
        None, "Only features that meet minx, miny, maxx, maxy.", "units of the CRS"
    )
    where: str = semantic(
        "", "Only features for which this condition on their fields holds, in SQLite's SQL."
    )

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if self.bbox is None and not self.where.strip():
            raise ValueError("filter needs bbox or where")
        return self


class FeatureFunctionStep(function_params.FunctionStep):
    """Call a function of your own on features: use = "steps.py:name", and its parameters."""

    takes: ClassVar[tuple[str, ...]] = ("frame", "table")
    otherwise: ClassVar[str] = (
        "has to say what it takes features as: annotate its first argument, as "
        "geopandas.GeoDataFrame or pyarrow.Table"
    )


class MakePointStep(StepParams):
    """Make a point of the numbers in fields, in place of the geometry if there is one."""

    name: Literal["make-point"]
    other_names: ClassVar[Mapping[str, str]] = {"dst_crs": "output_crs"}
    x: str = semantic(..., "Field of the x coordinate, or longitude.")
    y: str = semantic(..., "Field of the y coordinate, or latitude.")
    z: str = semantic("", "Field of the height.")
    m: str = semantic("", "Field of the measure.")
    output_crs: str = semantic("", "CRS of these coordinates; empty: none is known.")


class MakeValidStep(StepParams):
    """Repair invalid geometries; valid ones are not touched."""

    name: Literal["make-valid"]
    method: Literal["linework", "structure"] = semantic(
        "linework", "How GEOS repairs, as of vector.make-valid."
    )
    keep_lower_dim: bool = semantic(
        False,
        "Keep the lines and points that areas collapse to beside what is left of them; else what "
        "has no part of its dimension left is set aside.",
    )


class ReprojectFeaturesStep(StepParams):
    """Transform coordinates into another CRS; what cannot go there is set aside."""

    name: Literal["reproject"]
    other_names: ClassVar[Mapping[str, str]] = {
        "dst_crs": "output_crs", "t_srs": "output_crs", "d": "output_crs",
        "src_crs": "input_crs", "s_srs": "input_crs", "s": "input_crs",
    }  # fmt: skip
    output_crs: str = semantic(..., "CRS of the output: a code as EPSG:3857, WKT or a PROJ string.")
    input_crs: str = semantic("", "CRS of the input, in place of its own; empty: its own.")
    wrapdateline: bool = semantic(
        False,
        "Cut lines and polygons across the antimeridian there, where output_crs is in degrees.",
    )

    @model_validator(mode="after")
    def _given(self) -> Self:
        if not self.output_crs.strip():
            raise ValueError("output_crs is empty")
        return self


class SegmentizeStep(StepParams):
    """Put vertices on long segments, so that none is longer, by GDAL's rule, than so much."""

    name: Literal["segmentize"]
    max_length: Annotated[Finite, Field(gt=0)] = semantic(
        ..., "Longest segment, to within a hundredth of it.", "units of the CRS"
    )


class SelectFieldsStep(StepParams):
    """Keep some of the fields, in their order; the geometry is one of them by its name."""

    name: Literal["select"]
    fields: Names = semantic(
        ..., f"Names of fields, in any case; {GEOMETRY_NAME} for the geometry, as in GDAL."
    )
    exclude: bool = semantic(False, "Leave out these fields, and keep the others.")
    ignore_missing_fields: bool = semantic(False, "Go on where one of them is not there.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if not self.fields:
            raise ValueError("fields is empty")
        if self.exclude and self.ignore_missing_fields:
            raise ValueError("exclude leaves missing fields out anyway: drop ignore_missing_fields")
        return self


class SetFieldTypeStep(StepParams):
    """Change the type of fields; a feature with a value that does not fit is set aside."""

    name: Literal["set-field-type"]
    other_names: ClassVar[Mapping[str, str]] = {
        "src_field_type": "input_field_type", "dst_field_type": "field_type",
        "output_field_type": "field_type",
    }  # fmt: skip
    field_name: str = semantic("", "Field whose type changes.")
    input_field_type: Annotated[FieldType | Literal[""], BeforeValidator(_field_type)] = semantic(
        "", "All fields of this type, in place of field_name."
    )
    field_type: FieldType = semantic(..., "The new type, by OGR's names.")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if bool(self.field_name) == bool(self.input_field_type):
            raise ValueError("set-field-type takes field_name or input_field_type, one of them")
        return self


class SetGeomTypeStep(StepParams):
    """Change the type of geometries; what cannot be of it is set aside."""

    name: Literal["set-geom-type"]
    multi: bool = semantic(False, "Single geometries become multi ones.")
    single: bool = semantic(False, "Multi geometries of one part become single ones.")
    linear: bool = semantic(
        False, "Curves and surfaces become lines and polygons, as they are read: see op.curves."
    )
    dim: Literal["XY", "XYZ"] | None = semantic(
        None, "Dimensions of coordinates; a height that is not there becomes 0."
    )
    skip: bool = semantic(False, "Leave out, without a word, what cannot be of the type.")

    @model_validator(mode="before")
    @classmethod
    def _no_curves(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("curve"):
            raise ValueError("curve: no output format here holds curves")
        return values

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.multi and self.single:
            raise ValueError("set-geom-type takes multi or single, not both")
        if not (self.multi or self.single or self.linear or self.dim):
            raise ValueError("set-geom-type needs multi, single, linear or dim")
        return self


class SimplifyStep(StepParams):
    """Leave out vertices that are near the line without them; what is valid stays valid."""

    name: Literal["simplify"]
    tolerance: Annotated[Finite, Field(ge=0)] = semantic(
        ..., "How far the outline may move.", "units of the CRS"
    )


class SwapXyStep(StepParams):
    """Exchange x and y of all coordinates."""

    name: Literal["swap-xy"]


class VectorChain(VectorParams):
    """Parameters of ``vector.pipeline``: the first choose what is read of a source, in its CRS and
    by its fields; ``geometry_kind`` is about what the last step gives."""

    steps: tuple[AnyFeatureStep, ...] = semantic(
        ..., "The steps, in order, each with its name and its parameters."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_curves(cls, values: object) -> object:
        """Read curves as lines where a step asks for that: they get to no step otherwise."""
        if not isinstance(values, dict) or not isinstance(values.get("steps"), list | tuple):
            return values
        straight = any(
            isinstance(step, dict) and step.get("name") == "set-geom-type" and step.get("linear")
            for step in values["steps"]
        )
        return {**values, "curves": "linear"} if straight else values
