"""The step *function* of a chain of features: a function of the user, called with each batch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import SchemaError, StepError
from geobatch_tui.execution.native.code_cache import cache_directory
from geobatch_tui.execution.runtime import own_module, recorder
from geobatch_tui.execution.runtime.own_declaration import packed, unpacked
from geobatch_tui.execution.vector.steps.feature_step import (
    ShapeStep,
    fields_of,
    handed_on,
    in_hex,
    with_fields,
)
from geobatch_tui.execution.vector.steps.own import batch_check
from geobatch_tui.execution.vector.steps.own.declared_layer import (
    MEMORY,
    DeclaredLayer,
    fitted,
    learnt,
)
from geobatch_tui.execution.vector.steps.own.feature_calls import Called, FeatureCalls, joined
from geobatch_tui.execution.vector.steps.own.feature_table import same_crs
from geobatch_tui.functions import declaration_of

if TYPE_CHECKING:
    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.runtime.own_module import OwnFunction
    from geobatch_tui.execution.vector.batch.feature_batch import Features
    from geobatch_tui.execution.vector.operations import Context
    from geobatch_tui.execution.vector.plan import LayerPlan
    from geobatch_tui.execution.vector.steps.feature_step import ChainPlanning
    from geobatch_tui.execution.vector.steps.own.feature_calls import Made
    from geobatch_tui.execution.vector.steps.own.feature_table import Answer

_KEYS = {"name", "use", "function"}
#: Memory of a chunk is planned as so many times the bytes of its features.
_OF_A_CHUNK = 8.0


class FeatureFunction(ShapeStep):
    """Calls a function of the user with the features of each batch."""

    name = "function"

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        use, code = str(params.use), params.function
        function = own_module.load(
            use, code["file"], code["code"], afresh=True, cache=cache_directory()
        )
        given = {name: value for name, value in vars(params).items() if name not in _KEYS}
        declared = DeclaredLayer(use, declaration_of(function.call), given)
        wants = function.code.given
        memory = declared.memory()
        if memory is None:
            planning.notes["unmeasured"] = True
        values: Json = {
            "use": use,
            "file": code["file"],
            "code": code["code"],
            "parameters": {name: packed(value) for name, value in given.items()},
            "wants": list(wants),
            "rows": declared.rows(),
            "memory": MEMORY[function.code.takes] if memory is None else memory,
            # What it gets depends on these.
            "input": {"crs": up.crs, "geometry_type": up.geometry_type},
            **({"item": planning.item} if "item" in wants else {}),
        }
        step = handed_on(up, self, values, geometry_type="None" if up.is_table else "Unknown")
        crs, fields = declared.crs(up, planning), declared.fields(up)
        if fields is not None:
            return replace(step, schema=in_hex(fields), crs="" if up.is_table else crs)
        step = self._learnt(replace(step, crs=crs), up, function, planning)
        names = ", ".join(f"{each.name} ({each.type})" for each in fields_of(step))
        planning.warn(
            f"{use} declares no fields: by the first features they are {names or 'none'}"
            + (", without a geometry" if step.is_table else "")
        )
        return step

    def _learnt(
        self, step: LayerPlan, up: LayerPlan, function: OwnFunction, planning: ChainPlanning
    ) -> LayerPlan:
        """Return the step with what the function makes of the first features that come to it."""
        use = function.use
        if planning.sample is None:
            raise SchemaError(f"{use} declares no fields, and there are no features to try it on")
        features, is_all = planning.sample()
        calls = self._calls(step, up, features, function)
        answers = [each.answer for each in calls.on_all()]
        count = len(features.owners)
        if count and not answers:
            error, reason = next(iter(features.bad.values()))
            del error
            raise SchemaError(
                f"{use} fails at each of the first {count} features: {reason}",
                hint="`geobatch step` calls it in the foreground",
            )
        if not count:
            try:
                answers = [calls.on(np.zeros(0, np.int64))]
            except StepError as failed:
                if is_all:
                    return replace(step, geometry_type=up.geometry_type)
                raise SchemaError(
                    f"none of the first features comes to {use}, and it fails without any: "
                    f"{failed.message}",
                    hint="declare what it gives: @step(fields=...)",
                ) from failed
        return learnt(step, up, answers, some=count > 0 or not is_all)

    def _calls(
        self,
        step: LayerPlan,
        up: LayerPlan,
        features: Features,
        function: OwnFunction,
        context: Context | None = None,
    ) -> FeatureCalls:
        values = step.values
        given = {name: unpacked(value) for name, value in values["parameters"].items()}
        known = {"crs": up.crs, "item": values.get("item", "")}
        given |= {name: known[name] for name in values["wants"]}
        called = Called(function, given, values["rows"])
        if context is None:
            return FeatureCalls(called, up, features)
        return FeatureCalls(
            called,
            up,
            features,
            check=partial(_checked, step),
            trail=context.trail,
            raises=context.trials is not None and context.trials.raises,
        )

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        values = step.values
        function = own_module.load(
            values["use"], values["file"], values["code"], cache=cache_directory()
        )
        up = replace(step, **values["input"])
        calls = self._calls(step, up, features, function, context)
        made = joined(calls.on_all(), fields_of(step))
        if made is not None:
            self._try(step, calls, features, made, context)
        return _with(step, features, made)

    def _try(
        self,
        step: LayerPlan,
        calls: FeatureCalls,
        features: Features,
        made: Made,
        context: Context,
    ) -> None:
        """Try the function in other batches, where that is due."""
        trials = context.trials
        # What ended the worker would do so again, and not be known.
        if trials is None or (context.trail is not None and context.trail.careful):
            return
        key = trials.key(step.values["use"], step.values)
        if not trials.is_due(key):
            return
        with recorder.apart(), context.stage("seams"):
            if batch_check.prove(step.values["use"], calls, features, made):
                trials.passed(key)

    def may_grow(self, step: LayerPlan) -> bool:
        return bool(step.values["rows"] == "more")

    def growth(self, step: LayerPlan, up: LayerPlan) -> float:
        del up
        return 1.0 + float(step.values["memory"]) / _OF_A_CHUNK


def _checked(step: LayerPlan, answer: Answer) -> Answer:
    """Return an answer as the plan has it. Raises StepError if it is another."""
    use = step.values["use"]
    fields = fields_of(step)
    columns = fitted(use, fields, answer)
    shapes = answer.shapes
    if step.is_table and shapes is not None:
        raise StepError(f"{use} gave geometries, and the plan has none of it")
    if not step.is_table and shapes is None:
        raise StepError(
            f"{use} gave no geometries, and the plan has some of it",
            hint="a frame keeps its active geometry, a table its column of WKB",
        )
    if answer.crs and not same_crs(answer.crs, step.crs):
        raise StepError(
            f"{use} gave geometries in another CRS than the plan has of it",
            hint='declare it: @step(crs="EPSG:3857"), with its own',
        )
    return replace(answer, fields=dict(zip(fields.names, columns, strict=True)), shapes=shapes)


def _with(step: LayerPlan, features: Features, made: Made | None) -> Features:
    """Return features with what the function made of them: those that are set aside go on as they
    were, so that they are counted; those of which nothing was made are dropped."""
    fields = fields_of(step)
    aside = sorted(features.bad)
    owners = np.zeros(0, np.int64) if made is None else made.owners
    others = np.array(aside, np.int64)
    rows = np.concatenate([owners, others])
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    count = len(features.owners)
    dropped = features.dropped | ~np.isin(np.arange(count), rows)
    gone = features.gone + int(dropped.sum())
    extra = features.extra + len(rows) + int(dropped.sum()) - count
    places = pa.array(order)
    columns = []
    for each in fields:
        parts = [] if made is None else [made.answer.fields[each.name]]
        column = pa.concat_arrays([*parts, pa.nulls(len(others), each.type)])
        columns.append(column.take(places))
    known = [] if made is None or made.answer.shapes is None else [made.answer.shapes]
    blank = len(rows) - sum(map(len, known))
    shapes = pa.concat_arrays([*known, pa.nulls(blank, pa.binary())])
    if known:
        shapes = shapes.take(places)
    bad = {
        int(place): features.bad[int(rows[place])] for place in np.flatnonzero(order >= len(owners))
    }
    picked = with_fields(features.picked(rows, shapes), columns, fields)
    return replace(picked, bad=bad, gone=gone, extra=extra)
