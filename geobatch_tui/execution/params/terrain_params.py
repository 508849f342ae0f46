"""Parameters of the steps on heights: shades, slopes, directions and roughness.

Names, words and defaults are GDAL's; its words are taken in any case, as GDAL takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from geobatch_tui.execution.params.param_fields import semantic
from geobatch_tui.execution.params.step_params import Band, StepParams

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _spelt(*words: str) -> BeforeValidator:
    """Take a word in any case for the one of ``words`` that it is."""
    known = {word.lower(): word for word in words}

    def spell(value: object) -> object:
        return known.get(value.lower(), value) if isinstance(value, str) else value

    return BeforeValidator(spell)


Gradient = Annotated[Literal["Horn", "ZevenbergenThorne"], _spelt("Horn", "ZevenbergenThorne")]
Variant = Annotated[
    Literal["regular", "combined", "multidirectional", "Igor"],
    _spelt("regular", "combined", "multidirectional", "Igor"),
]
Unit = Annotated[Literal["degree", "percent"], _spelt("degree", "percent")]
Convention = Annotated[
    Literal["azimuth", "trigonometric-angle"], _spelt("azimuth", "trigonometric-angle")
]
Ruggedness = Annotated[Literal["Riley", "Wilson"], _spelt("Riley", "Wilson")]


class TerrainParams(StepParams):
    """Base of the parameters of steps on heights."""

    band: Band = semantic(1, "Number of the band with the heights, from 1.")
    no_edges: bool = semantic(
        False, "Leave the rim, and pixels beside those without data, without data."
    )


class GradientParams(TerrainParams):
    """Base of those that need the size of a pixel in the units of the heights."""

    xscale: Positive | None = semantic(
        None,
        "Units of height in a unit of x; empty: by the CRS and the unit of the band. In degrees, "
        "by the latitude of the middle of the input.",
    )
    yscale: Positive | None = semantic(None, "The same of y; given with xscale, or neither is.")
    gradient_alg: Gradient = semantic("Horn", "How slopes are taken from the pixels around.")

    @model_validator(mode="after")
    def _has_both_scales(self) -> Self:
        if (self.xscale is None) != (self.yscale is None):
            raise ValueError("xscale and yscale are given together, or neither is")
        return self


class HillshadeStep(GradientParams):
    """Shade heights by a light: 1 to 255, and 0 where there is no data."""

    name: Literal["hillshade"]
    other_names: ClassVar[Mapping[str, str]] = {"z": "zfactor"}
    zfactor: Positive = semantic(1.0, "Heights are multiplied by it first.")
    azimuth: Annotated[float, Field(allow_inf_nan=False)] = semantic(
        315.0, "Where the light comes from, clockwise from north.", "degrees"
    )
    altitude: Annotated[float, Field(ge=0, le=90)] = semantic(
        45.0, "How high the light stands above the horizon.", "degrees"
    )
    variant: Variant = semantic("regular", "The light of one side or of four, or another formula.")

    @model_validator(mode="after")
    def _uses_its_light(self) -> Self:
        unused = {"multidirectional": "azimuth", "Igor": "altitude"}.get(self.variant)
        if unused and getattr(self, unused) != type(self).model_fields[unused].default:
            raise ValueError(f"the variant {self.variant} has no {unused}")
        return self


class SlopeStep(GradientParams):
    """Slopes of heights, as float32, -9999 where there is no data."""

    name: Literal["slope"]
    unit: Unit = semantic("degree", "Degrees, or height over distance.")


class AspectStep(TerrainParams):
    """Directions that slopes face, as float32, -9999 where it is flat or there is no data."""

    name: Literal["aspect"]
    convention: Convention = semantic(
        "azimuth", "Clockwise from north, or from east the other way round."
    )
    gradient_alg: Gradient = semantic("Horn", "How slopes are taken from the pixels around.")
    zero_for_flat: bool = semantic(False, "Where it is flat, 0 in place of -9999.")


class TpiStep(TerrainParams):
    """Topographic position index: height above the mean of the pixels around."""

    name: Literal["tpi"]


class TriStep(TerrainParams):
    """Terrain ruggedness index: how much the pixels around differ."""

    name: Literal["tri"]
    algorithm: Ruggedness = semantic(
        "Riley", "Root of the sum of squares by Riley (land), or mean by Wilson (sea floor)."
    )


class RoughnessStep(TerrainParams):
    """Roughness: the largest difference between a pixel and those around."""

    name: Literal["roughness"]
