"""Parameters of the first steps that make one raster of many files: *mosaic* and *stack*."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from geobatch_tui.execution.params.frozen import Resampling, pixel_of
from geobatch_tui.execution.params.param_fields import semantic
from geobatch_tui.execution.params.step_params import Bounds, DataType, StepParams

#: Which size of pixels a mosaic has.
Mode = Literal["same", "highest", "lowest", "average", "common"]
#: What becomes of a pixel that several files have.
Rule = Literal["last", "first", "min", "max", "mean", "median", "sum", "count"]


def _pattern(text: str) -> str:
    """Check a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class GroupStep(StepParams):
    """A first step that brings files onto one grid."""

    by: Pattern = semantic(
        "",
        "A regular expression on the names of the inputs: files for which it matches the same, or "
        "the same in its parentheses, become one output of that name; empty: all inputs do.",
    )
    resolution: Mode | tuple[float, float] | float = semantic(
        "same",
        "Size of a pixel: the same in all files; the smallest, the largest, the mean of all, one "
        "that all are multiples of; or one number or x and y.",
        "units of the CRS",
    )
    bbox: Bounds | None = semantic(
        None, "Extent: minx, miny, maxx, maxy; empty: that of all files.", "units of the CRS"
    )
    target_aligned_pixels: bool = semantic(False, "Grow the extent to multiples of the resolution.")
    resampling: Resampling | None = semantic(
        None,
        "How files on other grids are brought onto that of the output; empty: nearest if a grid is "
        "asked for, else such files are refused.",
    )
    output_crs: str = semantic(
        "", "CRS of the output: files in others are warped; empty: that of all files."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        pixel = pixel_of(None if isinstance(self.resolution, str) else self.resolution)
        if pixel is not None and not all(size > 0 for size in pixel):
            raise ValueError("resolution must be above 0")
        if self.bbox is not None:
            minx, miny, maxx, maxy = self.bbox
            if not (minx < maxx and miny < maxy):
                raise ValueError("bbox must be minx, miny, maxx, maxy, with an area")
        return self


class MosaicStep(GroupStep):
    """Lay files side by side: one raster of all inputs, or of each group of them."""

    name: Literal["mosaic"]
    rule: Rule = semantic("last", "Which value a pixel has that several files have.")
    output_data_type: DataType | None = semantic(
        None,
        "Type of the pixels: for rules that compute values, and for files of several types; empty: "
        "that of the inputs.",
    )


class StackStep(GroupStep):
    """Put the bands of files behind one another: of all inputs, or of each group of them."""

    name: Literal["stack"]
