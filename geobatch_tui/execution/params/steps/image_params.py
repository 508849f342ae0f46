"""Parameters of steps on images as a whole; see ``params.step_params``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from geobatch_tui.execution.params.param_fields import operational, semantic
from geobatch_tui.execution.params.step_params import StepParams
from geobatch_tui.execution.params.steps.side_inputs import PATH_OR_CHAIN, SideChain, with_side

if TYPE_CHECKING:
    from typing import Self

_SIDE = re.compile(r"\d{1,10}|(\d{1,10}(\.\d*)?|\.\d+)%")


def _texts(value: object) -> object:
    if not isinstance(value, list | tuple):
        return value
    return [str(one) if isinstance(one, int | float) else one for one in value]


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Size = Annotated[
    tuple[str, str],
    BeforeValidator(_texts, json_schema_input_type=tuple[str | int, str | int]),
]


class BlendStep(StepParams):
    """Blend images of bytes with an overlay: lay it over, or mix colours by an operator."""

    name: Literal["blend"]
    overlay: Annotated[str | SideChain, PATH_OR_CHAIN] = operational(
        ...,
        "The image above, on the same grid: a file, or the pipeline that makes it, as { pipeline = "
        '"read {source} ! hillshade" }, where {source} is the file of the item.',
        path=True,
    )
    operator: Literal[
        "src-over", "hsv-value", "multiply", "screen", "overlay", "hard-light", "darken",
        "lighten", "color-burn", "color-dodge",
    ] = semantic("src-over", "How colours are mixed, by GDAL's names.")  # fmt: skip
    opacity: Annotated[int, Field(ge=0, le=100)] = semantic(
        100, "How much of the overlay is seen.", "percent"
    )
    overlay_state: str = semantic(
        "", "What the overlay is; found by itself when the job is read.", found=True
    )

    @model_validator(mode="before")
    @classmethod
    def _know_the_overlay(cls, values: object) -> object:
        return with_side(cls.renamed(values), "overlay")


class ResizeStep(StepParams):
    """Give a raster another number of pixels over the same area."""

    name: Literal["resize"]
    size: Size | None = semantic(
        None,
        'Width and height: pixels, or "50%" of the input\'s; 0 for one of them: in proportion.',
        "pixels",
    )
    resolution: tuple[Positive, Positive] | None = semantic(
        None, "Width and height of a pixel.", "units of the CRS"
    )
    resampling: Literal[
        "nearest", "bilinear", "cubic", "cubicspline", "lanczos", "average", "mode"
    ] = semantic("nearest", "How pixels are made of those under them, by GDAL's names.")

    @field_validator("size")
    @classmethod
    def _is_size(cls, given: tuple[str, str] | None) -> tuple[str, str] | None:
        for text in given or ():
            if not _SIDE.fullmatch(text):
                raise ValueError(f"{text!r} is no number of pixels, and no percentage as 50%")
        if given and not any(float(text.rstrip("%")) for text in given):
            raise ValueError("width and height are 0; one of them is not")
        return given

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.size is None) == (self.resolution is None):
            raise ValueError("resize takes size or resolution, one of them")
        return self
