"""Parameters of the steps of chains of rasters, as users give them: GDAL's names, with ``_``.

Each class is a step; its docstring is what lists and schemas say of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from geobatch_tui.execution.params.frozen import WARP_NAMES, Resampling
from geobatch_tui.execution.params.param_fields import (
    Colors,
    Nodata,
    Options,
    SourceNodata,
    color_map,
    operational,
    semantic,
    text_of,
    with_colors,
    with_state,
)
from geobatch_tui.execution.params.raster_params import ReprojectParams

if TYPE_CHECKING:
    from typing import Self

#: West, south, east, north, in the units of a CRS.
Bounds = tuple[float, float, float, float]
Band = Annotated[int, Field(ge=1)]


def _in_any_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


#: As they are written in job files, where GDAL's own spelling does too.
_AnyTypeName = Literal[
    "byte", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32",
    "float64", "Byte", "UInt8", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64",
    "Float32", "Float64",
]  # fmt: skip
DataType = Annotated[
    Literal[
        "byte", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
        "float32", "float64",
    ],
    BeforeValidator(_in_any_case, json_schema_input_type=_AnyTypeName),
]  # fmt: skip


def as_list(value: object) -> object:
    """Take one value for a list of one, as GDAL's command line does."""
    return (
        [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else value
    )


Bands = Annotated[
    tuple[Band, ...], BeforeValidator(as_list, json_schema_input_type=tuple[Band, ...] | Band)
]
Names = Annotated[
    tuple[str, ...], BeforeValidator(as_list, json_schema_input_type=tuple[str, ...] | str)
]


#: Short and older names that mean the same in every step that has the parameter.
SHARED_NAMES: Mapping[str, str] = {
    "b": "band",
    "datatype": "output_data_type",
    "dst_crs": "output_crs",
    "dst_nodata": "output_nodata",
    "et": "error_threshold",
    "no_check_srs": "no_check_crs",
    "ot": "output_data_type",
    "r": "resampling",
    "s_srs": "input_crs",
    "src_crs": "input_crs",
    "src_nodata": "input_nodata",
    "t_srs": "output_crs",
    "tap": "target_aligned_pixels",
    "to": "transform_option",
    "wo": "warp_option",
}


#: The colours of bands that a GeoTIFF keeps.
_COLOUR = re.compile(r"(?:(all|\d+)=)?(gray|red|green|blue|alpha|undefined)")
_NUMBER = re.compile(r"(?:(\d+)=)?([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")


def _texts_of_bands(value: object) -> object:
    given = as_list(value)
    return [str(one) for one in given] if isinstance(given, list | tuple) else given


#: Numbers of bands, one for all, one for each, or some with the number of their band.
PerBand = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts_of_bands, json_schema_input_type=tuple[str | float, ...] | str | float),
]


def _check_bands(name: str, words: tuple[str, ...], kind: re.Pattern[str]) -> None:
    """Raise ValueError if a word is not of its kind, or if some name bands and others do not."""
    found = [kind.fullmatch(word) for word in words]
    for word, match in zip(words, found, strict=True):
        if match is None:
            what = "a number" if kind is _NUMBER else "gray, red, green, blue, alpha or undefined"
            raise ValueError(f"{name}: {word!r} is not {what}, or a band, = and one")
    marks = [match[1] for match in found if match is not None]
    if any(marks) and not all(marks):
        raise ValueError(f"{name}: some values name their band, and others do not")
    if len(set(marks)) < len(marks) and any(marks):
        raise ValueError(f"{name}: a band is there twice")
    if "all" in marks and len(marks) > 1:
        raise ValueError(f"{name}: all bands, and one beside them")


class StepParams(BaseModel):
    """Base of the parameters of steps."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True
    )
    name: str
    #: Other names of parameters of this step: those of GDAL before 3.13, and its short ones.
    other_names: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def field_of(cls, name: str) -> str | None:
        """Return the parameter that ``name`` means: GDAL's name of today or before, or its short
        one, written with ``-`` or ``_``. None: there is none."""
        name = name.replace("-", "_")
        meant = (name, cls.other_names.get(name), SHARED_NAMES.get(name))
        return next((field for field in meant if field in cls.model_fields), None)

    @classmethod
    def summary(cls) -> str:
        """What the step does, in a sentence."""
        return " ".join((cls.__doc__ or "").split("\n\n")[0].split())

    @classmethod
    def names_of(cls, field: str) -> list[str]:
        """Return the other names of a parameter, short ones first."""
        shared = {name: own for name, own in SHARED_NAMES.items() if name not in cls.model_fields}
        named = {**shared, **cls.other_names}
        return sorted((name for name, own in named.items() if own == field), key=len)

    @classmethod
    def path_mark(cls, name: str) -> bool | str:
        """Say whether a parameter, by any of its names, is the path of a file; "@": where its value
        begins so."""
        field = cls.model_fields.get(cls.field_of(name) or "")
        extra = field.json_schema_extra if field else None
        mark = extra.get("path", False) if isinstance(extra, dict) else False
        return mark if isinstance(mark, bool | str) else False

    @classmethod
    def found_names(cls) -> list[str]:
        """Return the parameters that no job file gives: they are found when the job is read."""
        return [
            name
            for name, field in cls.model_fields.items()
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("found")
        ]

    @model_validator(mode="before")
    @classmethod
    def _by_new_names(cls, data: object) -> object:
        return cls.renamed(data)

    @classmethod
    def renamed(cls, data: object) -> object:
        """Return raw parameters by the names that they have here. Raises ValueError if one is given
        by two of its names."""
        if not isinstance(data, dict):
            return data
        known: dict[str, object] = {}
        for name, value in data.items():
            field = cls.field_of(str(name)) or str(name)
            if field in known:
                raise ValueError(f"{field} is given twice: {name} means the same")
            known[field] = value
        return known


class ClipStep(StepParams):
    """Cut out a rectangle, by whole pixels, or what lies in a geometry."""

    name: Literal["clip"]
    bbox: Bounds | None = semantic(None, "Bounds: minx, miny, maxx, maxy.", "units of bbox_crs")
    bbox_crs: str = semantic("", "CRS of bbox; empty: that of the input.")
    window: tuple[int, int, int, int] | None = semantic(
        None, "First column, first row, width and height.", "pixels"
    )
    geometry: Annotated[str, BeforeValidator(text_of)] = semantic(
        "",
        "Polygons, as WKT or GeoJSON, or @ and a file of that: pixels of which no part lies in "
        "them become invalid.",
        path="@",
    )
    geometry_crs: str = semantic("", "Its CRS; empty: of GeoJSON degrees, of WKT the input's.")
    like: str = operational("", "Another raster file: the clip has its bounds.", path=True)
    like_state: str = semantic(
        "", "Its size and time; found by itself when the job is read.", found=True
    )
    only_bbox: bool = semantic(False, "Take the bounding box of geometry, and all pixels in it.")
    allow_bbox_outside_source: bool = semantic(
        False, "Take the part of the rectangle that lies in the input."
    )
    add_alpha: bool = semantic(
        False, "Add an alpha band that is 0 where there is no data, if the input has none."
    )

    @model_validator(mode="before")
    @classmethod
    def _know_the_other_file(cls, values: object) -> object:
        return with_state(values, "like")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        ways = [self.bbox is not None, self.window is not None, self.geometry, self.like]
        if sum(map(bool, ways)) != 1:
            raise ValueError("clip takes bbox, window, geometry or like, one of them")
        if self.bbox is not None and not (
            self.bbox[0] < self.bbox[2] and self.bbox[1] < self.bbox[3]
        ):
            raise ValueError("bbox is minx, miny, maxx, maxy, with minx < maxx and miny < maxy")
        if self.window is not None and min(self.window[2:]) < 1:
            raise ValueError("window is first column, first row, width and height")
        if self.window is not None and self.add_alpha:
            raise ValueError("add_alpha goes with bbox, geometry or like, not with window")
        if self.only_bbox and not (self.geometry or self.like):
            raise ValueError("only_bbox goes with geometry or like")
        if self.geometry_crs and not self.geometry:
            raise ValueError("geometry_crs goes with geometry")
        return self


class EditStep(StepParams):
    """Change what a raster says of itself; its pixels stay."""

    name: Literal["edit"]
    crs: str = semantic("", "CRS in place of that of the input.")
    bbox: Bounds | None = semantic(None, "Bounds in place of those of the input.", "units of crs")
    nodata: SourceNodata = semantic(
        None, 'Nodata in place of that of the input; "none" drops it.', "pixel value"
    )
    color_interpretation: Names = semantic(
        (), "Colour of each band: gray, red, green, blue, alpha, undefined; or as 2=red, all=gray."
    )
    scale: PerBand = semantic((), "Scale of the bands: one, one for each, or as 2=0.1.")
    offset: PerBand = semantic((), "Offset of the bands, as their scale.")
    color_map: str = color_map(
        "File with the palette of the image: a pixel value with its colour in each line, as "
        "gdaldem takes it, or a palette of GMT."
    )
    unset_color_table: bool = semantic(False, "Leave the palette out.")
    band: Band = semantic(1, "Number of the band that has the palette.")
    metadata: dict[str, str] = semantic({}, "Items of metadata to set.")
    unset_metadata: Names = semantic((), "Names of items of metadata to leave out.")
    unset_metadata_domain: Names = semantic((), "Domains of metadata to leave out.")
    colors: Colors = semantic(
        (), "The entries of color_map; found by itself when the job is read.", found=True
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: object) -> object:
        if isinstance(data, dict) and "gcp" in data:
            raise ValueError("gcp: ground control points are not set; an output has a grid")
        return with_colors(cls.renamed(data))

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.color_map and self.unset_color_table:
            raise ValueError("color_map and unset_color_table: one sets what the other leaves out")
        _check_bands("color_interpretation", self.color_interpretation, _COLOUR)
        _check_bands("scale", self.scale, _NUMBER)
        _check_bands("offset", self.offset, _NUMBER)
        return self


class MaterializeStep(StepParams):
    """Change nothing: where GDAL stores what it has so far, a chain has the same pixels anyway."""

    name: Literal["materialize"]


class ReprojectStep(StepParams):
    """Warp into another CRS or onto another grid."""

    name: Literal["reproject"]
    other_names: ClassVar[Mapping[str, str]] = {"d": "output_crs", "s": "input_crs"}
    output_crs: str = semantic(..., "CRS of the output: a code as EPSG:3857, WKT or a PROJ string.")
    input_crs: str = semantic("", "CRS of the input, in place of its own; empty: its own.")
    resampling: Resampling = semantic("nearest", "How pixels are interpolated, by GDAL's names.")
    bbox: Bounds | None = semantic(
        None, "Extent of the output: minx, miny, maxx, maxy.", "units of bbox_crs"
    )
    bbox_crs: str = semantic("", "CRS of bbox; empty: output_crs.")
    extent: Literal["auto", "source", "area-of-use"] = semantic(
        "auto", "Extent without bbox, as of raster.reproject."
    )
    resolution: tuple[float, float] | float | None = semantic(
        None, "Size of a pixel, one number or x and y.", "units of output_crs"
    )
    size: tuple[int, int] | None = semantic(
        None, "Width and height of the output; 0 for one of them: in proportion.", "pixels"
    )
    target_aligned_pixels: bool = semantic(False, "Grow the extent to multiples of the resolution.")
    input_nodata: SourceNodata = semantic(
        None, 'Nodata of the input, in place of its own; "none" ignores it.', "pixel value"
    )
    output_nodata: Nodata = semantic(
        None, "Nodata of the output; empty: that of the input.", "pixel value"
    )
    add_alpha: bool = semantic(False, "Add an alpha band that is 0 where there is no data.")
    error_threshold: float = semantic(
        0.001, "Allowed error of source coordinates, as of raster.reproject.", "source pixels"
    )
    warp_option: Options = semantic({}, "GDAL's warp options.")
    transform_option: Options = semantic(
        {}, "Options of the transformation: CENTER_LONG, CHECK_WITH_INVERT_PROJ."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        # The rules are those of the operation, which has older names for the same.
        given = self.model_dump(exclude={"name"})
        try:
            ReprojectParams(**{WARP_NAMES.get(name, name): value for name, value in given.items()})
        except ValidationError as error:
            text = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            for name, old in WARP_NAMES.items():
                text = re.sub(rf"\b{old}\b", name, text)
            raise ValueError(text) from None
        return self


class SelectStep(StepParams):
    """Pick bands, in any order."""

    name: Literal["select"]
    band: Bands = semantic(..., "Numbers of bands, from 1.")
    exclude: bool = semantic(False, "Take all bands but these.")


class SetTypeStep(StepParams):
    """Change the type of the pixels: rounded half away from zero, and held within the type."""

    name: Literal["set-type"]
    output_data_type: DataType = semantic(..., "Type of the pixels, by GDAL's names.")
