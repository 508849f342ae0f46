"""Parameters of the step *calc*; a wrong expression is found as a job is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from geobatch_tui.execution.params.calc import expression
from geobatch_tui.execution.params.param_fields import SourceNodata, operational, semantic
from geobatch_tui.execution.params.step_params import DataType, StepParams
from geobatch_tui.execution.params.steps.side_inputs import PATH_OR_CHAIN, SideChain, with_sides

if TYPE_CHECKING:
    from typing import Self

#: Functions over the bands of a raster that GDAL calls builtin, and calc has.
BUILTIN = ("max", "mean", "median", "min", "sum")
#: Parameters of GDAL's for several rasters, and what to do.
_SEVERAL = (
    "calc reads what the step before it gives, as X or as bands b1, b2 and so on; others are named "
    "by inputs, and are on the same grid"
)
#: Names of rasters beside what comes in: not those that expressions have for something else.
_NAME = re.compile(r"(?!b\d|[XA]$)[A-Za-z][A-Za-z0-9_]{0,30}")


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _some(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("calc is empty: an expression gives a band")
    return tuple(" ".join(text.split()) for text in value)


class CalcStep(StepParams):
    """Compute bands from bands, pixel by pixel, in float64."""

    name: Literal["calc"]
    calc: Annotated[tuple[str, ...], BeforeValidator(_one_or_more), AfterValidator(_some)] = (
        semantic(
            ...,
            "Expressions, each of which gives a band: b1, b2 are bands of what comes in, as are "
            "X[1], X[2]; X alone stands for each band in turn, and gives as many.",
        )
    )
    dialect: Literal["muparser", "builtin"] = semantic(
        "muparser", f"Of the expressions; builtin ones are {', '.join(BUILTIN)} of all bands."
    )
    flatten: bool = semantic(
        False, "Take sum, avg, min and max of X over all bands, which gives one band."
    )
    output_data_type: DataType | None = semantic(
        None, "Type of the pixels; empty: Float64, but for builtin min and max that of the input."
    )
    nodata: SourceNodata = semantic(
        None,
        "Nodata of the output, which is what 0/0 and other results that are no numbers become; "
        'empty: that of the input, else NaN, or a mask for whole numbers; "none": no value.',
        "pixel value",
    )
    inputs: dict[str, Annotated[str | SideChain, PATH_OR_CHAIN]] = operational(
        {},
        "Rasters beside what comes in, on the same grid, by the names that expressions have for "
        'them, as B: a file, or { pipeline = "read {source} ! slope" }.',
    )
    inputs_state: dict[str, str] = semantic(
        {}, "What they are; found by itself when the job is read.", found=True
    )
    propagate_nodata: bool = semantic(
        True, "Give nodata where any band that an expression uses is nodata. GDAL's default: false."
    )

    @model_validator(mode="before")
    @classmethod
    def _is_one_raster(cls, data: object) -> object:
        for name in ("input", "no_check_crs", "no_check_extent", "no_check_srs"):
            if isinstance(data, dict) and {name, name.replace("_", "-")} & data.keys():
                raise ValueError(f"{name}: {_SEVERAL}")
        return with_sides(cls.renamed(data), "inputs")

    @model_validator(mode="after")
    def _can_be_computed(self) -> Self:
        for name in self.inputs:
            if not _NAME.fullmatch(name) or name in {*expression.FUNCTIONS, *expression.CONSTANTS}:
                raise ValueError(f"inputs: {name!r} is no name for a raster; B is one")
        if self.inputs and self.dialect == "builtin":
            raise ValueError("inputs: builtin functions take what comes in alone")
        if self.dialect == "builtin":
            for text in self.calc:
                _check_builtin(text)
            return self
        rasters: set[str] = set()
        for text in self.calc:
            try:
                rasters |= expression.parse(text, self.inputs).rasters
            except expression.ExpressionError as error:
                raise ValueError(f"calc: {error}") from None
        if len(rasters) > 1:
            raise ValueError(f"calc: A and X are names of one raster; {_SEVERAL}")
        return self


def _check_builtin(text: str) -> None:
    name, bracket, _ = text.partition("(")
    if name.strip() not in BUILTIN:
        raise ValueError(
            f"calc: there is no builtin function {name.strip()[:30]!r}; known: {', '.join(BUILTIN)}"
        )
    if bracket:
        raise ValueError(f"calc: {text[:60]!r}: builtin functions take no arguments here")
