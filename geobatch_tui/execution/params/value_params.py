"""Parameters of the steps that change values pixel by pixel: GDAL's names, with ``_``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from geobatch_tui.execution.params import value_tables
from geobatch_tui.execution.params.param_fields import (
    Colors,
    color_map,
    parse_nodata,
    semantic,
    with_colors,
)
from geobatch_tui.execution.params.step_params import Band, DataType, StepParams, as_list

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

Number = Annotated[float, Field(allow_inf_nan=False)]
#: Nodata values of bands, which may be infinite.
Nodatas = Annotated[
    tuple[Annotated[int | float, BeforeValidator(parse_nodata)], ...],
    BeforeValidator(as_list, json_schema_input_type=tuple[float | str, ...] | float | str),
]


def _from_file(value: object) -> object:
    """Put the text of a file in the place of its name behind ``@``."""
    if not isinstance(value, str):
        return value
    text = value_tables.read_text(value[1:]) if value.startswith("@") else value
    return value_tables.mapping_text(text)


def _is_mapping(text: str) -> str:
    value_tables.parse_mapping(text)
    return text


class ColorMapStep(StepParams):
    """Make colours of the values of a band, by a colour map or by its own palette."""

    name: Literal["color-map"]
    band: Band = semantic(1, "Number of the band, from 1.")
    color_map: str = color_map(
        "File with colours as gdaldem takes it: a value, a share of the range (50%) or nv for "
        "nodata in each line, and red, green, blue and alpha or the name of a colour; or a palette "
        "of GMT. Empty: the palette of the input."
    )
    add_alpha: bool = semantic(False, "Add an alpha band.")
    color_selection: Literal["interpolate", "exact", "nearest"] = semantic(
        "interpolate",
        "Colour of values between two of the map: interpolated, none (exact), or that of the "
        "nearest.",
    )
    colors: Colors = semantic(
        (), "The entries of color_map; found by itself when the job is read.", found=True
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: object) -> object:
        return with_colors(cls.renamed(data))


class NodataToAlphaStep(StepParams):
    """Turn nodata, or a mask, into an alpha band."""

    name: Literal["nodata-to-alpha"]
    nodata: Nodatas = semantic(
        (), "Nodata in place of that of the input: one value, or one for each band.", "pixel value"
    )


class ReclassifyStep(StepParams):
    """Put classes of values in the place of values."""

    name: Literal["reclassify"]
    other_names: ClassVar[Mapping[str, str]] = {"m": "mapping"}
    mapping: Annotated[str, BeforeValidator(_from_file), AfterValidator(_is_mapping)] = Field(
        description="Entries as [a,b)=v; c=v; NO_DATA=v; NAN=v; DEFAULT=v, where v is a number, "
        "NO_DATA or PASS_THROUGH; or @ and the name of a file with an entry in each line.",
        json_schema_extra={"unit": "", "kind": "semantic", "path": "@"},
    )
    output_data_type: DataType | None = semantic(
        None, "Type of the output; empty: that of the input."
    )


class ScaleStep(StepParams):
    """Map a range of values to another, linearly or by a power."""

    name: Literal["scale"]
    other_names: ClassVar[Mapping[str, str]] = {
        "src_min": "input_min", "src_max": "input_max", "dst_min": "output_min",
        "dst_max": "output_max"
    }  # fmt: skip
    band: Band | None = semantic(None, "Number of the only band that is scaled; empty: all are.")
    input_min: Number | None = semantic(
        None,
        "Start of the range of the input. Without a range it is that of all valid pixels of each "
        "band, which are read once before.",
        "pixel value",
    )
    input_max: Number | None = semantic(None, "End of the range of the input.", "pixel value")
    output_min: Number | None = semantic(
        None,
        "Start of the range of the output; empty: that of its type, of floats from 0 to 1.",
        "pixel value",
    )
    output_max: Number | None = semantic(None, "End of the range of the output.", "pixel value")
    exponent: Annotated[float, Field(gt=0, allow_inf_nan=False)] = semantic(
        1.0, "Power of the place in the range of the input, from 0 to 1."
    )
    no_clip: bool = semantic(False, "Map values beyond the range of the input too.")
    output_data_type: DataType | None = semantic(
        None, "Type of the output; empty: that of the input."
    )

    @model_validator(mode="after")
    def _has_ends(self) -> Self:
        for side in ("input", "output"):
            low, high = getattr(self, f"{side}_min"), getattr(self, f"{side}_max")
            if (low is None) != (high is None):
                raise ValueError(f"{side}_min and {side}_max are given both, or none of them")
        return self


class UnscaleStep(StepParams):
    """Apply the scale and the offset of each band to its values."""

    name: Literal["unscale"]
    output_data_type: DataType | None = semantic(
        None, "Type of the output; empty: Float32, of Float64 that."
    )
