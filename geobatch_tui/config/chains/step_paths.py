"""The files that steps of a job file read, joined to where it was written; those of a second raster
too, whose pipeline is read first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from geobatch_tui.config.chains.pipeline_words import Complaints, with_nested, words_of
from geobatch_tui.config.chains.step_arguments import side_chain
from geobatch_tui.config.chains.step_kinds import RASTER
from geobatch_tui.config.paths import absolute
from geobatch_tui.execution.params.frozen import OWN_SOURCE, SIDE_TABLES, SIDES
from geobatch_tui.execution.params.steps.side_inputs import SideChain

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.config.chains.step_kinds import Known


def with_paths(steps: object, base: Path, known: Known) -> object:
    """Return ``steps`` with the relative paths of files that they read joined to ``base``."""
    if not isinstance(steps, list | tuple):
        return steps
    return [_with_paths(step, base, known) if isinstance(step, dict) else step for step in steps]


def _with_paths(step: Mapping[str, object], base: Path, known: Known) -> dict[str, object]:
    model = known.get(str(step.get("name")))
    joined = dict(step)
    for name, value in step.items():
        mark = model.path_mark(str(name)) if model else False
        field = model.field_of(str(name)) if model else None
        if field in SIDES:
            joined[name] = _side(value, base)
        elif field in SIDE_TABLES and isinstance(value, Mapping):
            joined[name] = {key: _side(side, base) for key, side in value.items()}
        elif mark is True or (mark == "@" and isinstance(value, str) and value.startswith("@")):
            joined[name] = absolute(value, base)
    return joined


def _side(value: object, base: Path) -> object:
    """Return a second raster with its files joined to ``base``: a path, or the table of a chain. A
    table that cannot be read says why, and is refused when the step is checked."""
    if not isinstance(value, Mapping):
        return absolute(value, base)
    table = dict(value)
    if table.keys() == {"pipeline"}:
        table = _read(str(table["pipeline"]))
    if isinstance(table.get("input"), str) and table["input"] != OWN_SOURCE:
        table["input"] = absolute(table["input"], base)
    if "steps" in table:
        table["steps"] = with_paths(table["steps"], base, RASTER.steps)
    return table


def _read(text: str) -> dict[str, object]:
    """Read a pipeline as the table of a chain."""
    complaints = Complaints("pipeline", [], [])
    words = with_nested(words_of(text, complaints), complaints)
    table: dict[str, object] = {}
    if not complaints.problems:
        table = side_chain(RASTER, words, 0, complaints)
    if complaints.problems:
        return {SideChain.wrong: "; ".join(str(each) for each in complaints.problems)}
    return table
