"""Parameters of a chain of steps on features: what is read, and the steps, each with its own."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import BeforeValidator, Field, model_validator

from geobatch_tui.execution.params.chain_params import check_step
from geobatch_tui.execution.params.features import vector_step_params
from geobatch_tui.execution.params.param_fields import semantic
from geobatch_tui.execution.params.step_params import StepParams
from geobatch_tui.execution.params.vector_params import VectorParams

#: The modules of parameters of steps on features.
_MODULES = (vector_step_params,)
#: The parameters of each step, by its name.
VECTOR_STEP_PARAMS: dict[str, type[StepParams]] = {
    str(get_args(model.model_fields["name"].annotation)[0]): model
    for module in _MODULES
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, StepParams) and model is not StepParams
}


def _named(value: object) -> object:
    return check_step(value, VECTOR_STEP_PARAMS)


if TYPE_CHECKING:
    type AnyVectorStep = StepParams
else:
    #: A step of any name; what is wrong in it is said by its place in the list and its key.
    AnyVectorStep = Annotated[
        reduce(or_, VECTOR_STEP_PARAMS.values()),
        Field(discriminator="name"),
        BeforeValidator(_named),
    ]


class VectorChain(VectorParams):
    """Parameters of ``vector.pipeline``: the first choose what is read of a source, in its CRS and
    by its fields; ``geometry_kind`` is about what the last step gives."""

    steps: tuple[AnyVectorStep, ...] = semantic(
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
