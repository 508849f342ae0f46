"""Groups of inputs, each of which becomes one item: a mosaic, or a stack."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.params.frozen import COMBINING
from geobatch_tui.execution.sources.source_list import write_source_list
from geobatch_tui.execution.stores.output_prefix import OutputPrefix, is_prefix, local_place
from geobatch_tui.observability.figures import plural
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.inputs import SUFFIXES, Input, Names, expand
from geobatch_tui.orchestration.plan.remote.object_inputs import enter_signers, enter_stores
from geobatch_tui.orchestration.plan.standing.standing_outputs import without_outputs
from geobatch_tui.orchestration.state.output_lists import check_pystac

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from geobatch_tui.config.schema import Job

#: Names that an error shows.
_SHOWN = 10
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def is_combined(job: Job) -> bool:
    """Whether items are made of groups of inputs."""
    return _combining(job) is not None


def inputs_of(job: Job) -> list[Input]:
    """Return the input files of a job. Raises PreflightError, as :func:`expand` does."""
    out = local_place(job.output.dir)
    enter_stores(job)
    if job.output.stac:
        check_pystac()
    inputs = expand(job.source.inputs, out, job.output.format, own_names=not is_combined(job))
    enter_signers(signed(inputs))
    _refuse_members(inputs, _combining(job))
    if is_prefix(job.output.dir):
        inputs = without_outputs(inputs, OutputPrefix.of(job.output.dir), job.source.inputs)
    return inputs


def signed(inputs: Sequence[Input]) -> Iterator[tuple[str, str]]:
    """Yield each URL of ``inputs`` with the function that signs it; empty: none does."""
    for entry in inputs:
        for path in entry.members or (entry.path,):
            yield path, entry.sign


def _refuse_members(inputs: Sequence[Input], step: Any) -> None:
    """Raise PreflightError where items have several files whose bands nothing puts together."""
    several = next((one for one in inputs if one.members), None)
    if several is None or (step is not None and step.name == "stack" and not step.by):
        return
    raise PreflightError(
        f"assets names {len(several.members)} files for {safe(several.key)}: their bands become "
        "one raster by the step stack alone",
        hint='begin the chain with [[step]] name = "stack", without by; or name one asset',
    )


def combined(job: Job, inputs: Sequence[Input], directory: Path) -> list[Input]:
    """Return the inputs of ``job``, grouped where its first step combines files.

    The list of each group is written to ``directory``. Groups come in the order of their first
    file, files within a group in that of the inputs.

    Raises:
        PreflightError: ``by`` does not match the name of an input; or an output would replace one.
    """
    step = _combining(job)
    if step is None:
        return list(inputs)
    names = Names(inputs, local_place(job.output.dir))
    items = []
    for entry in inputs:
        if entry.members:
            names.take(entry.key, entry.path)
            path = write_source_list(entry.members, directory)
            items.append(replace(entry, path=path, members=()))
    alone = [entry for entry in inputs if not entry.members]
    groups = _groups(alone, step.by, job.job.name or step.name) if alone else {}
    for name, paths in groups.items():
        key = f"{_NOT_IN_NAMES.sub('_', name)}{SUFFIXES[job.output.format]}"
        names.take(key, paths[0])
        items.append(Input(write_source_list(paths, directory), key))
    return items


def _combining(job: Job) -> Any:
    """Return the parameters of the step that combines the inputs of a job; None if none does."""
    steps = getattr(job.op.params, "steps", ())
    return steps[0] if steps and steps[0].name in COMBINING else None


def _groups(inputs: Sequence[Input], by: str, name: str) -> dict[str, list[str]]:
    """Return the paths of each group by its name: what the parts of ``by`` in parentheses match in
    a file's name, or all that it matches if there are none."""
    if not by:
        return {name: [entry.path for entry in inputs]}
    groups: dict[str, list[str]] = {}
    others: list[str] = []
    for entry in inputs:
        match = re.search(by, entry.path.rpartition("/")[2])
        if match is None:
            others.append(entry.path)
        else:
            group = "_".join(part for part in match.groups() if part) or match[0]
            groups.setdefault(group, []).append(entry.path)
    if others:
        shown = "\n".join(f"  {safe(path)}" for path in others[:_SHOWN])
        raise PreflightError(
            f"by = {by!r} matches nothing in the names of {plural(len(others), 'input')}:\n{shown}",
            hint="leave these inputs out, or change the pattern",
        )
    return groups
