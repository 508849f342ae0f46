"""Parameters of the first steps that make one raster of many files: *mosaic* and *stack*."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from geobatch_tui.execution.params.param_fields import semantic
from geobatch_tui.execution.params.step_params import DataType, StepParams

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


class MosaicStep(StepParams):
    """Lay files side by side: one raster of all inputs, or of each group of them."""

    name: Literal["mosaic"]
    by: Pattern = semantic(
        "",
        "A regular expression on the names of the inputs: files for which it matches the same, or "
        "the same in its parentheses, become one output of that name; empty: all inputs do.",
    )
    rule: Rule = semantic("last", "Which value a pixel has that several files have.")
    resolution: Literal["same"] = semantic(
        "same", "Sizes of pixels: the same in all files, which lie on one grid."
    )
    output_data_type: DataType | None = semantic(
        None, "Type of the pixels, for rules that compute values; empty: that of the inputs."
    )


class StackStep(StepParams):
    """Put the bands of files behind one another: of all inputs, or of each group of them."""

    name: Literal["stack"]
    by: Pattern = semantic("", "A regular expression on the names of the inputs, as of mosaic.")
    resolution: Literal["same"] = semantic(
        "same", "Sizes of pixels: the same in all files, which lie on one grid."
    )
