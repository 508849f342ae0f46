"""Parameters that name a second raster: a file, or a chain of steps on one.

A chain is written as a pipeline, ``read {source} ! hillshade``, which becomes a table of what it
reads and of its steps when a job is put together.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from geobatch_tui.execution.params.chain_params import STEP_PARAMS
from geobatch_tui.execution.params.frozen import COMBINING, OWN_SOURCE, SIDE_TABLES, SIDES
from geobatch_tui.execution.params.param_fields import operational, semantic, with_state


class PipelineText(BaseModel):
    """A chain as it is written."""

    model_config = ConfigDict(extra="forbid")
    pipeline: str


class SideChain(BaseModel):
    """A chain of steps on a file, or on the source of the item."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True
    )
    input: str = operational(..., "The file, or {source}, that of the item.", path=True)
    input_state: str = semantic("", "Its size and time; found when the job is read.", found=True)
    steps: tuple[dict[str, Any], ...] = semantic(
        (), "The steps, each with its name and its parameters."
    )
    #: Parameters of a table that is what was written, with what is wrong in it.
    wrong: ClassVar[str] = "wrong"

    @model_validator(mode="before")
    @classmethod
    def _know_the_file(cls, values: Any) -> Any:
        if isinstance(values, dict) and cls.wrong in values:
            raise ValueError(values[cls.wrong])
        if isinstance(values, dict) and values.get("input") == OWN_SOURCE:
            return values
        return with_state(values, "input")

    @field_validator("steps")
    @classmethod
    def _are_steps(cls, given: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        return tuple(_checked(step) for step in given)

    @property
    def meaning(self) -> str:
        """What decides its pixels, as text."""
        steps = [_semantic(step, STEP_PARAMS[step["name"]]) for step in self.steps]
        return json.dumps([self.input_state or OWN_SOURCE, steps], sort_keys=True)


def _checked(step: dict[str, Any]) -> dict[str, Any]:
    """Return a step as it is kept. Raises ValueError."""
    named: Any = STEP_PARAMS.check(step)
    name = str(named["name"])
    if name in COMBINING:
        raise ValueError(f"{name} combines files: it is the first step of a job, or none")
    if any(named.get(field) for field in (*SIDES, *SIDE_TABLES)):
        raise ValueError(f"{name} has a chain or a file beside it: that is one too many")
    try:
        model = STEP_PARAMS[name].model_validate(named)
    except ValidationError as error:
        raise ValueError(f"{name}: {_first(error)}") from None
    kept: dict[str, Any] = model.model_dump(mode="json")
    return kept


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    place = ".".join(map(str, detail["loc"]))
    text = str(detail["msg"]).removeprefix("Value error, ")
    return f"{place}: {text}" if place else text


def _semantic(step: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return what changes the pixels of a step."""
    said = {}
    for name, value in step.items():
        field = model.model_fields.get(name)
        if field is None:  # a parameter of a function
            said[name] = value
            continue
        extra, inner = field.json_schema_extra, field.annotation
        if isinstance(extra, dict) and extra.get("kind") == "operational":
            continue
        if isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, dict):
            said[name] = _semantic(value, inner)
        else:
            said[name] = value
    return said


def with_side(values: Any, name: str) -> Any:
    """Return raw parameters with what the second raster ``name`` is in the field ``<name>_state``,
    unless that is there: size and time of a file, or a chain as text. Raises ValueError."""
    asked = values.get(name) if isinstance(values, dict) else None
    if isinstance(asked, PipelineText):
        asked = asked.model_dump()
    if isinstance(asked, str):
        return with_state(values, name)
    if not isinstance(asked, dict | SideChain):
        return values
    try:
        side = asked if isinstance(asked, SideChain) else SideChain.model_validate(asked)
    except ValidationError as error:
        raise ValueError(f"{name}: {_first(error)}") from None
    return {**values, name: side, f"{name}_state": side.meaning}


def with_sides(values: Any, name: str) -> Any:
    """Do what :func:`with_side` does for a table of second rasters, in a table of their states."""
    asked = values.get(name) if isinstance(values, dict) else None
    if not isinstance(asked, dict):
        return values
    known = values.get(f"{name}_state") or {}
    sides: dict[str, Any] = {}
    states: dict[str, Any] = {}
    for key, side in asked.items():
        one = with_side({key: side, f"{key}_state": known.get(key, "")}, key)
        sides[key], states[key] = one[key], one[f"{key}_state"]
    return {**values, name: sides, f"{name}_state": states}


def _either(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str | SideChain):
        return value
    raise ValueError(f"{info.field_name} is the path of a file, or a table with a pipeline")


#: How such a parameter is written, for schemas.
PATH_OR_CHAIN = BeforeValidator(_either, json_schema_input_type=str | PipelineText | SideChain)
