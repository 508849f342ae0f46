"""Parameters of a chain of steps: the steps, each with its own.

The models of steps are imported when they are asked for: a job waits for those of its own alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import core_schema

from geobatch_tui.execution.params.frozen import COMBINING
from geobatch_tui.execution.params.param_fields import semantic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

    from geobatch_tui.execution.params.step_params import StepParams

#: Where the parameters of each step lie below this room: their module and their class.
_RASTER: Final = {
    "aspect": "terrain_params:AspectStep",
    "blend": "steps.image_params:BlendStep",
    "calc": "calc.calc_params:CalcStep",
    "clip": "step_params:ClipStep",
    "color-map": "value_params:ColorMapStep",
    "edit": "step_params:EditStep",
    "fill-nodata": "steps.distance_params:FillNodataStep",
    "function": "own.function_params:FunctionStep",
    "hillshade": "terrain_params:HillshadeStep",
    "materialize": "step_params:MaterializeStep",
    "mosaic": "group_params:MosaicStep",
    "neighbors": "steps.focal_params:NeighborsStep",
    "nodata-to-alpha": "value_params:NodataToAlphaStep",
    "proximity": "steps.distance_params:ProximityStep",
    "reclassify": "value_params:ReclassifyStep",
    "reproject": "step_params:ReprojectStep",
    "resize": "steps.image_params:ResizeStep",
    "roughness": "terrain_params:RoughnessStep",
    "scale": "value_params:ScaleStep",
    "select": "step_params:SelectStep",
    "set-type": "step_params:SetTypeStep",
    "slope": "terrain_params:SlopeStep",
    "stack": "group_params:StackStep",
    "tpi": "terrain_params:TpiStep",
    "tri": "terrain_params:TriStep",
    "unscale": "value_params:UnscaleStep",
}
_FEATURES: Final = {
    name: f"features.vector_step_params:{model}"
    for name, model in {
        "buffer": "BufferStep",
        "clip": "ClipFeaturesStep",
        "convex-hull": "ConvexHullStep",
        "explode-collections": "ExplodeStep",
        "filter": "FilterStep",
        "function": "FeatureFunctionStep",
        "make-point": "MakePointStep",
        "make-valid": "MakeValidStep",
        "reproject": "ReprojectFeaturesStep",
        "segmentize": "SegmentizeStep",
        "select": "SelectFieldsStep",
        "set-field-type": "SetFieldTypeStep",
        "set-geom-type": "SetGeomTypeStep",
        "simplify": "SimplifyStep",
        "swap-xy": "SwapXyStep",
    }.items()
}


class StepModels(Mapping[str, "type[StepParams]"]):
    """The models of the parameters of steps, by the names of the steps.

    As an annotation of a field it is the type of a step of any of these names: what is wrong in it
    is said by its name and its key.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._known: dict[str, type[StepParams]] = {}

    def __getitem__(self, name: str) -> type[StepParams]:
        model = self._known.get(name)
        if model is None:
            module, _, kind = self._places[name].partition(":")
            model = getattr(importlib.import_module(f"{__package__}.{module}"), kind)
            self._known[name] = model
        return model

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def check(self, value: object) -> object:
        """Check the name of a step, so that what is wrong beside it is said in its own words.
        Raises ValueError."""
        if not isinstance(value, dict):
            raise ValueError("a step is a table with its name and its parameters")  # noqa: TRY004
        if "use" in value:
            if value.get("name", "function") != "function":
                raise ValueError("a step has a name, or a function to use, not both")
            return {**value, "name": "function"}
        name = str(value.get("name", ""))
        if name not in self:
            near = get_close_matches(name, self, 1)
            advice = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self)}"
            raise ValueError(f"there is no step {name!r}; {advice}" if name else "name is missing")
        return value

    def _validated(self, name: str, value: object) -> StepParams:
        return self[name].model_validate(value)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        # As a union that is told apart by the name, but for its members: they come when needed.
        choices: dict[Any, core_schema.CoreSchema] = {
            name: core_schema.no_info_plain_validator_function(partial(self._validated, name))
            for name in self
        }
        union = core_schema.tagged_union_schema(choices, discriminator="name")
        return core_schema.no_info_before_validator_function(self.check, union)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        union: Any = Annotated[reduce(or_, self.values()), Field(discriminator="name")]
        return handler(TypeAdapter(union).core_schema)


#: The parameters of each step on rasters, and of each on features.
STEP_PARAMS, VECTOR_STEP_PARAMS = StepModels(_RASTER), StepModels(_FEATURES)

if TYPE_CHECKING:
    type AnyStep = StepParams
    type AnyFeatureStep = StepParams
else:
    #: A step of any name.
    AnyStep, AnyFeatureStep = Annotated[object, STEP_PARAMS], Annotated[object, VECTOR_STEP_PARAMS]


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
