"""Plans a chain of steps on features for one item, and takes its batches through it.

Who adds a step writes its class in a module of this room, with ``plan`` and ``apply``, and names it
in the table; its parameters in ``vector_step_params``; and an example of each way that it works in
the tests' ``feature_chains``, on which the laws are tried.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.params.frozen import given
from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.batch.buffers import own
from geobatch_tui.execution.vector.kernels import wkb_loops
from geobatch_tui.execution.vector.operations import Context
from geobatch_tui.execution.vector.steps.field_steps import Filter, Select, SetFieldType
from geobatch_tui.execution.vector.steps.geos_steps import Buffer, ConvexHull, MakeValid, Simplify
from geobatch_tui.execution.vector.steps.own.feature_function import FeatureFunction
from geobatch_tui.execution.vector.steps.part_steps import Explode, MakePoint, SetGeomType
from geobatch_tui.execution.vector.steps.place_steps import Clip, Reproject, SwapXy
from geobatch_tui.execution.vector.steps.segmentize_step import Segmentize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.vector.batch.feature_batch import Batch, Features
    from geobatch_tui.execution.vector.plan import LayerPlan
    from geobatch_tui.execution.vector.steps.feature_step import ChainPlanning, FeatureStep

#: Features on which functions of the user are tried as an item is planned.
SAMPLE = 64
#: Each step by its name.
FEATURE_STEPS: dict[str, FeatureStep] = {
    step.name: step
    for step in (
        Buffer(),
        Clip(),
        ConvexHull(),
        Explode(),
        FeatureFunction(),
        Filter(),
        MakePoint(),
        MakeValid(),
        Reproject(),
        Segmentize(),
        Select(),
        SetFieldType(),
        SetGeomType(),
        Simplify(),
        SwapXy(),
    )
}


def plan_chain(
    source: LayerPlan, steps: Sequence[Json], planning: ChainPlanning
) -> tuple[LayerPlan, ...]:
    """Plan ``steps``, each with its name and parameters, on ``source``, which comes first.

    Raises:
        InvalidInputError and its kin: a step cannot work on what it gets; the message names it.
    """
    chain = [source]
    for number, params in enumerate(steps, 1):
        name = str(params["name"])
        planning.step = _label(number, name)
        planning.sample = _sampling(planning, tuple(chain))
        try:
            chain.append(FEATURE_STEPS[name].plan(chain[-1], given(params), planning))
        except GeobatchError as error:
            error.args = (f"{planning.step}: {error.message}",)
            raise
    return tuple(chain)


def _label(number: int, name: str) -> str:
    """Name a step in messages, where those of functions of the user name these."""
    return f"step {number}" if name == FeatureFunction.name else f"step {number} ({name})"


def _sampling(
    planning: ChainPlanning, chain: tuple[LayerPlan, ...]
) -> Callable[[], tuple[Features, bool]] | None:
    """Return what takes the first features through the steps that are planned already."""
    first = planning.first
    if first is None:
        return None

    def sample() -> tuple[Features, bool]:
        found = first()
        plan = replace(found.plan, chain=chain)
        context = Context(plan, found.params, lambda _: nullcontext(), None, None)
        count = len(found.features.owners)
        for some in (SAMPLE, count):
            given = found.features.picked(np.arange(min(some, count)))
            made = run(context, given)
            if len(made.owners):
                break
        made = made.picked(np.arange(min(SAMPLE, len(made.owners))))
        return made, found.is_all

    return sample


def steps_of(chain: Sequence[LayerPlan]) -> list[FeatureStep]:
    """Return the steps of a chain, behind its source."""
    return [FEATURE_STEPS[step.name] for step in chain[1:]]


def growth(chain: Sequence[LayerPlan]) -> float:
    """Return by how much features grow on their way, about and at most."""
    most = size = 1.0
    for step, up in zip(chain[1:], chain[:-1], strict=False):
        size *= FEATURE_STEPS[step.name].growth(step, up)
        most = max(most, size)
    return most


def run(context: Context, batch: Batch) -> Features:
    """Take a batch through the chain of the plan in ``context``."""
    chain = context.plan.chain
    features = cast("Features", batch).settled("", "work")
    facts: Counter[str] = Counter()
    keeps_m = context.plan.output.holds_m
    for number, step in enumerate(chain[1:], 1):
        name, label = str(step.values.get("use", step.name)), _label(number, step.name)
        features = replace(features, facts={})
        if context.trail is not None:
            context.trail.begin_step(number, features.shapes.column)
        own_context = replace(context, room=None)
        with context.stage(name):
            before = features.shapes.column
            features = FEATURE_STEPS[step.name].apply(step, features, own_context)
            facts.update(features.facts)
            if features.shapes.column is not before:
                features = _read_again(features, keeps_m=keeps_m)
            features = features.settled(label, name, number)
    return replace(features, facts=dict(facts))


def _read_again(features: Features, *, keeps_m: bool) -> Features:
    """Read the geometries that a step made as those of a file are read: what no reader takes is set
    aside."""
    shapes, _ = wkb_coordinates.read(features.shapes.column, own(), keeps_m=keeps_m)
    wrong = np.flatnonzero((shapes.status != wkb_loops.OK) & (shapes.status != wkb_loops.NULL))
    features = replace(features, shapes=shapes, bad=dict(features.bad))
    reasons = wkb_coordinates.REASONS
    for row in wrong.tolist():
        if row not in features.bad:
            features.set_aside((row,), reasons[int(shapes.status[row])])
    return features
