"""Steps as a job file says them: their parameters, and the values that are not the default."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.config.chains import step_kinds
from geobatch_tui.config.chains.own_functions import KEPT, file_of
from geobatch_tui.config.fields import Leaf, leaf_of
from geobatch_tui.config.schema import dump_job
from geobatch_tui.config.sources import STEP
from geobatch_tui.execution.params.frozen import SIDE_TABLES, SIDES
from geobatch_tui.execution.params.own import function_code
from geobatch_tui.execution.params.own.function_params import OWN_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.config.chains.step_kinds import Known
    from geobatch_tui.config.schema import Job
    from geobatch_tui.execution.params.own.function_code import Parameter

    #: A step by the keys of a job file; that of a function has its file beside them.
    type WrittenStep = Mapping[str, Any]


def name_of(step: WrittenStep) -> str:
    """Return the name of a step; of a function of the user, its file and name."""
    return str(step.get("use") or step.get("name", ""))


def leaves_of(step: WrittenStep, number: int, known: Known) -> list[Leaf]:
    """Return the parameters of a step as keys, ``step[2].resampling``, in the order of its schema;
    ``number``: from 1. Those of a function are read from its file, which is not run."""
    model = known.get("function" if "use" in step else str(step.get("name")))
    if model is None:
        return []
    fields = [
        leaf_of(f"{STEP}[{number}].{name}", field)
        for name, field in model.model_fields.items()
        if name != "name"
    ]
    leaves = [leaf for leaf in fields if not leaf.found]
    return leaves + _of_function(step, number) if "use" in step else leaves


def summary_of(step: WrittenStep, known: Known) -> str:
    """Say what a step does, in a sentence; "" if nobody knows."""
    if "use" in step:
        code = _code_of(step)
        return code.summary if code is not None else ""
    model = known.get(str(step.get("name")))
    return model.summary() if model is not None else ""


def written(job: Job) -> list[dict[str, Any]]:
    """Return the steps of a job, without what is the default or found when they are read; none if
    its operation runs no chain."""
    known = step_kinds.steps_of(job.op.name)
    if not known:
        return []
    return [_written(step, known, defaults=False) for step in dump_job(job)["op"]["steps"]]


def tables(job: Job, folder: Path | None, *, defaults: bool = False) -> list[dict[str, Any]]:
    """Return the steps of a job as the tables of a job file in ``folder``, with ``defaults`` or
    without. Paths are absolute; those of functions in ``folder``, which the job may run, are
    relative to it."""
    known = step_kinds.steps_of(job.op.name)
    steps = (
        _written(step, known, defaults=defaults, folder=folder)
        for step in dump_job(job)["op"]["steps"]
    )
    return [_with_use(step, folder) for step in steps]


def _written(
    step: WrittenStep, known: Known, *, defaults: bool, folder: Path | None = None
) -> dict[str, Any]:
    said: dict[str, Any] = (
        {"use": step["use"], KEPT: {"file": file_of(step)}}
        if step.get("use")
        else {"name": step["name"]}
    )
    for leaf in leaves_of(said, 1, known):
        name = leaf.key.rpartition(".")[2]
        value = step.get(name)
        if value is not None and (defaults or leaf.required or value != leaf.default):
            if name in SIDES:
                value = _side(value, known, folder)
            elif name in SIDE_TABLES:
                value = {key: _side(side, known, folder) for key, side in value.items()}
            said[name] = value
    return said


def _side(value: Any, known: Known, folder: Path | None) -> Any:
    """Return a second raster as a job file says it."""
    if not isinstance(value, dict):
        return value
    written = [_written(step, known, defaults=False) for step in value.get("steps", ())]
    steps = [_with_use(step, folder) for step in written]
    return {"input": value["input"], "steps": steps}


def _with_use(step: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Return a step with the path of its function's file, if it has one."""
    kept = step.pop(KEPT, None)
    if kept is None:
        return step
    file, (_, name) = Path(kept["file"]), function_code.split(step["use"])
    beside = folder is not None and file.is_relative_to(folder.absolute())
    path = file.relative_to(folder.absolute()) if folder is not None and beside else file
    return {**step, "use": f"{path}:{name}"}


def _of_function(step: WrittenStep, number: int) -> list[Leaf]:
    code = _code_of(step)
    if code is None:  # said when the step is checked: what was given is still there to be seen
        given = [name for name in step if name not in OWN_KEYS]
        return [Leaf(f"{STEP}[{number}].{name}", "", "", "semantic", None, False) for name in given]
    file = Path(file_of(step)).name
    return [_own_leaf(parameter, number, file) for parameter in code.parameters]


def _own_leaf(parameter: Parameter, number: int, file: str) -> Leaf:
    kind = ast.unparse(parameter.annotation) if parameter.annotation is not None else ""
    default = parameter.default
    return Leaf(
        key=f"{STEP}[{number}].{parameter.name}",
        help=f"{kind or 'A value'}, line {parameter.line} of {file}.",
        unit="",
        kind="semantic",
        default=list(default) if isinstance(default, tuple) else default,
        required=parameter.kind == "required",
        text=kind == "str",
    )


def _code_of(step: WrittenStep) -> function_code.FunctionCode | None:
    try:
        path, name = function_code.split(str(step["use"]))
        return function_code.read(Path(file_of(step) or path), name)
    except ValueError:
        return None
