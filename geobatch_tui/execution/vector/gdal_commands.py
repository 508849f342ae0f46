"""Commands of GDAL that come nearest to what an item does. Imports no library of workers."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.execution.runtime import own_trials
from geobatch_tui.execution.vector.plan import VectorPlan, quoted

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ItemContext, Json
    from geobatch_tui.execution.protocol.window import Window

#: By OGR's drivers: how to go on past features that cannot be read.
_GOES_ON = {"GML": ["--config", "GML_SKIP_CORRUPTED_FEATURES", "YES"]}


#: Parameters of steps that GDAL does not have, and says nothing of what they do.
_OURS = frozenset({"name", "like_digest"})


def ogr2ogr(item: ItemContext) -> str:
    """Return the command for the whole item: a pipeline for a chain of steps, empty if GDAL has not
    all of it."""
    plan = VectorPlan.from_json(item.plan.detail)
    if plan.chain:
        return _pipeline(item, plan, [], ["--of", plan.output.driver, item.out_path])
    return shlex.join(_command(item, item.out_path, []))


def _pipeline(item: ItemContext, plan: VectorPlan, choice: list[str], write: list[str]) -> str:
    """Return GDAL's pipeline of the steps of an item, on the features of a ``choice``."""
    steps = item.params["steps"]
    if any(step.get("wrapdateline") or "use" in step for step in steps):
        return ""
    read = ["read", plan.place or item.source]
    if plan.layer:
        read += ["--input-layer", plan.layer]
    parts = [read]
    if not choice and (plan.where or item.params.get("bounds")):
        chosen = {"name": "filter", "where": plan.where, "bbox": item.params.get("bounds")}
        parts.append(_step_words(chosen))
    if assigned := item.plan.notes.get("assigned_crs"):
        parts.append(["edit", "--crs", str(assigned)])
    if choice:
        parts.append(choice)
    parts += [*map(_step_words, steps), ["write", *write]]
    return "gdal vector pipeline " + " ! ".join(shlex.join(part) for part in parts)


def _step_words(step: Json) -> list[str]:
    from geobatch_tui.execution.params.chain_params import VECTOR_STEP_PARAMS

    fields = VECTOR_STEP_PARAMS[step["name"]].model_fields
    words = [step["name"]]
    for name, value in step.items():
        default = fields[name].get_default(call_default_factory=True)
        if name in _OURS or value is None or value == default:
            continue
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
            continue
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        words += [f"{option}={text}"] if text.startswith("-") else [option, text]
    return words


def ogr2ogr_window(item: ItemContext, window: Window) -> str:
    """Return the command for the features of a chunk, or one of them, into a GeoPackage beside the
    shell; of a record that is none, or more, its text; of one that OGR leaves out, what it says
    against it; our own where a function of the user makes them."""
    plan = VectorPlan.from_json(item.plan.detail)
    layer = quoted(plan.layer or Path(item.source).stem)
    if (record := window.col_off - plan.count + len(plan.aside)) >= 0:
        return shlex.join(_record(plan, item.source, plan.aside[record]))
    first, where = window.col_off, plan.where
    if any("use" in step for step in item.params.get("steps", ())):
        index = window.col_off // item.plan.grid.chunk_width
        is_chunk = window == item.plan.grid.window(index)
        return own_trials.command_for(item, f"0,{index}" if is_chunk else str(window.col_off))
    if plan.chain:
        chosen = f"SELECT * FROM {layer}{where and ' WHERE '}{where} LIMIT {window.width} "  # noqa: S608
        choice = ["sql", "--sql", f"{chosen}OFFSET {first}"]
        return _pipeline(item, plan, choice, ["--of", "GPKG", "chunk.gpkg"])
    if plan.access == "fid":
        index = window.col_off // item.plan.grid.chunk_width
        first -= item.plan.grid.window(index).col_off
        where = plan.where_of_chunk(index)
    if where and not first and window.width > 1:
        choice = ["-where", where]
    else:
        limit = f"LIMIT {window.width} OFFSET {first}"
        choice = ["-sql", f"SELECT * FROM {layer}{where and ' WHERE '}{where} {limit}"]  # noqa: S608
    return shlex.join(_command(item, "chunk.gpkg", choice))


def _record(plan: VectorPlan, source: str, number: int) -> list[str]:
    """Return the command that shows a record that is set aside, by its number from 1."""
    chosen = ["-q", "-fid", str(number - 1), plan.place or source, plan.layer]
    commands = {
        "GML": ["ogrinfo", *_GOES_ON["GML"], *chosen],
        "GeoJSON": ["jq", f".features[{number - 1}]", source],
    }
    return commands.get(plan.driver, ["awk", f"NF && ++n == {number}", source])


def _command(item: ItemContext, target: str, choice: list[str]) -> list[str]:
    plan = VectorPlan.from_json(item.plan.detail)
    driver = "GPKG" if target.endswith("chunk.gpkg") else plan.output.driver
    words = ["ogr2ogr", "-f", driver]
    if plan.encoding:
        words += ["-oo", f"ENCODING={plan.encoding}"]
    if plan.lost:
        words += _GOES_ON.get(plan.driver, [])
    if plan.src_crs != plan.dst_crs:
        words += ["-t_srs", str(item.params.get("dst_crs", ""))]
    if assigned := item.plan.notes.get("assigned_crs"):
        words += ["-s_srs" if "-t_srs" in words else "-a_srs", str(assigned)]
    if item.params.get("wrapdateline"):
        words += ["-wrapdateline"]
    if plan.where and not choice:
        words += ["-where", plan.where]
    layer = [plan.layer] if plan.layer and "-sql" not in choice else []
    return [*words, *choice, target, plan.place or item.source, *layer]
