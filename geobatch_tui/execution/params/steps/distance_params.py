"""Parameters of the steps *fill-nodata* and *proximity*, which look for the nearest pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from geobatch_tui.execution.params.param_fields import Nodata, semantic
from geobatch_tui.execution.params.step_params import Band, DataType, StepParams, as_list

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

#: Pixels that a step may look beyond a chunk: more would be read many times over.
MOST_PIXELS = 2048


class FillNodataStep(StepParams):
    """Fill invalid pixels of a band by means of the valid ones round them."""

    name: Literal["fill-nodata"]
    other_names: ClassVar[Mapping[str, str]] = {"d": "max_distance", "s": "smoothing_iterations"}
    band: Band = semantic(1, "Number of the band, from 1; the output has it alone.")
    max_distance: int = semantic(100, "How far to look for valid pixels, up to 2048.", "pixels")
    smoothing_iterations: Annotated[int, Field(ge=0, le=100)] = semantic(
        0, "How often filled pixels are replaced by the mean of the 3x3 round them."
    )
    strategy: Literal["invdist", "nearest"] = semantic(
        "invdist",
        "The value of a pixel: the mean of the nearest in four quadrants, weighted by 1 / "
        "distance, or the nearest of these.",
    )

    @model_validator(mode="after")
    def _is_near(self) -> Self:
        if not 1 <= self.max_distance <= MOST_PIXELS:
            raise ValueError(
                f"max_distance is 1 to {MOST_PIXELS} pixels: a chunk is computed from itself and "
                "what lies that far round it"
            )
        return self


class ProximityStep(StepParams):
    """Give each pixel its distance to the nearest target pixel."""

    name: Literal["proximity"]
    band: Band = semantic(1, "Number of the band, from 1.")
    target_values: Annotated[
        tuple[Annotated[float, Field(allow_inf_nan=False)], ...],
        BeforeValidator(as_list, json_schema_input_type=tuple[float, ...] | float),
    ] = semantic((), "Values of target pixels; empty: all but 0.")
    distance_units: Literal["pixel", "geo"] = semantic(
        "pixel", "Unit of distances: pixels, or the units of the CRS."
    )
    max_distance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = semantic(
        0.0,
        "Distance beyond which pixels become nodata; 0: none, and then, as beyond 2048 pixels, all "
        "pixels are read first to find the targets.",
        "distance_units",
    )
    fixed_value: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = semantic(
        None, "Value of pixels within max_distance, but for targets, in place of their distance."
    )
    nodata: Nodata = semantic(
        None, "Nodata of the output; empty: NaN, or the largest whole number.", "pixel value"
    )
    output_data_type: DataType = semantic("float32", "Type of the pixels, by GDAL's names.")
