"""Parameters of a chain of steps on rasters: the steps, each with its own."""

from __future__ import annotations

from difflib import get_close_matches
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from geobatch_tui.execution.params import (
    group_params,
    step_params,
    terrain_params,
    value_params,
)
from geobatch_tui.execution.params.calc import calc_params
from geobatch_tui.execution.params.frozen import COMBINING
from geobatch_tui.execution.params.own import function_params
from geobatch_tui.execution.params.param_fields import semantic
from geobatch_tui.execution.params.step_params import StepParams
from geobatch_tui.execution.params.steps import distance_params, focal_params, image_params

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The modules of parameters of steps.
_MODULES = (
    calc_params,
    distance_params,
    focal_params,
    function_params,
    group_params,
    image_params,
    step_params,
    terrain_params,
    value_params,
)
#: The parameters of each step, by its name.
STEP_PARAMS: dict[str, type[StepParams]] = {
    str(name): model
    for module in _MODULES
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, StepParams)
    for name in get_args(model.model_fields["name"].annotation)[:1]  # bases have none
}


def check_step(value: object, known: Mapping[str, object]) -> object:
    """Check the name of a step, so that what is wrong beside it is said in its own words."""
    if not isinstance(value, dict):
        raise ValueError("a step is a table with its name and its parameters")  # noqa: TRY004
    if "use" in value:
        if value.get("name", "function") != "function":
            raise ValueError("a step has a name, or a function to use, not both")
        return {**value, "name": "function"}
    name = str(value.get("name", ""))
    if name not in known:
        near = get_close_matches(name, known, 1)
        advice = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise ValueError(f"there is no step {name!r}; {advice}" if name else "name is missing")
    return value


def _named(value: object) -> object:
    return check_step(value, STEP_PARAMS)


if TYPE_CHECKING:
    from typing import Self

    type AnyStep = StepParams
else:
    #: A step of any name; what is wrong in it is said by its place in the list and its key.
    AnyStep = Annotated[
        reduce(or_, STEP_PARAMS.values()), Field(discriminator="name"), BeforeValidator(_named)
    ]


class RasterChain(BaseModel):
    """Parameters of ``raster.pipeline``."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    steps: tuple[AnyStep, ...] = semantic(
        ..., "The steps, in order, each with its name and its parameters."
    )

    @model_validator(mode="after")
    def _combines_first(self) -> Self:
        if not self.steps:
            raise ValueError("there is no step")
        for step in self.steps[1:]:
            if step.name in COMBINING:
                raise ValueError(f"{step.name} reads the inputs: it is the first step, or none")
        return self
