"""``geobatch ops``: the operations and the steps of chains, and their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import BaseModel
    from rich.table import Table

    from geobatch_tui.config.chains.step_kinds import StepKind
    from geobatch_tui.execution.params.step_params import StepParams
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.operation import Operation


#: Commands of ``gdal`` that do the same: operations have its commands' names.
_GDAL = {
    "raster.reproject": "gdal raster reproject --dst-crs CRS -r RESAMPLING -f COG IN OUT",
    "raster.convert": "gdal raster convert -f COG IN OUT",
    "raster.pipeline": "gdal raster pipeline read IN ! STEP ... ! write OUT",
    "vector.pipeline": "gdal vector pipeline read IN ! STEP ... ! write OUT",
}


def ops(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="One operation, such as raster.reproject, or one step, such as hillshade.",
        ),
    ] = None,
    as_json: shared_options.AsJson = False,
) -> int:
    """List the operations and the steps of chains, or the parameters of one."""
    from geobatch_tui.config.chains.step_kinds import KINDS
    from geobatch_tui.execution.ops.registry import get_operation, operation_names

    if named := [kind for kind in KINDS if name is not None and name in kind.steps]:
        _give_step(str(name), named, as_json=as_json)
        return 0
    if name is None:
        known = [get_operation(entry) for entry in operation_names()]
        if as_json:
            streams.write_json([_head(operation) for operation in known])
        else:
            _list(known)
        return 0
    operation = get_operation(name)
    if as_json:
        streams.write_json({**_head(operation), "params": list(parameters(operation.params))})
    else:
        _describe(operation)
    return 0


def _head(operation: Operation) -> Json:
    head = {
        "name": operation.name,
        "version": operation.version,
        "data": operation.data,
        "summary": operation.summary,
    }
    steps = [{"name": name, "summary": model.summary()} for name, model in _steps_of(operation)]
    return {**head, "steps": steps} if steps else head


def _steps_of(operation: Operation) -> list[tuple[str, type[StepParams]]]:
    """List the steps of an operation that runs chains; none of another."""
    from geobatch_tui.config.chains.step_kinds import steps_of

    return sorted(steps_of(operation.name).items())


def _give_step(name: str, kinds: Sequence[StepKind], *, as_json: bool) -> None:
    """Show a step, of each kind of chain that has one of the name."""
    found: list[Json] = []
    for kind in kinds:
        model = kind.steps[name]
        listed = [entry for entry in parameters(model) if entry["name"] != "name"]
        listed = [{**entry, "other_names": model.names_of(entry["name"])} for entry in listed]
        head = {"name": name, "operation": kind.chain, "summary": model.summary()}
        found.append({**head, "params": listed})
    if as_json:
        streams.write_json(found)
        return
    for step in found:
        streams.show(streams.foreign(f"step {name} of {step['operation']}", style="bold"))
        streams.show(streams.foreign(step["summary"]))
        streams.show(_table(step["params"]) if step["params"] else "it has no parameters")


def parameters(model: type[BaseModel]) -> Iterator[Json]:
    """List name, type, default, unit, kind and help of each parameter, JSON-ready."""
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    for name, entry in schema["properties"].items():
        yield {
            "name": name,
            "type": type_name(entry),
            "required": name in required,
            "default": entry.get("default"),
            "unit": entry.get("unit", ""),
            "kind": entry.get("kind", ""),
            "help": entry.get("description", ""),
        }


def type_name(schema: Json) -> str:
    """Say a JSON schema's type in few words: ``string``, ``number or null``, ``a | b | c``."""
    if words := schema.get("enum", [schema["const"]] if "const" in schema else []):
        # A word in two cases is one word.
        return " | ".join({str(word).lower(): str(word) for word in words}.values())
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_name(entry) for entry in schema["anyOf"]))
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array" and "prefixItems" in schema:
        inner = ", ".join(type_name(entry) for entry in schema["prefixItems"])
        return f"[{inner}]"
    if kind == "array":
        items = schema.get("items") or {}
        return "list of steps" if "discriminator" in items else f"list of {type_name(items)}"
    return "table" if kind == "object" else str(kind)


def _list(known: list[Operation]) -> None:
    table = streams.pairs(no_wrap=True)
    for operation in known:
        table.add_row(streams.foreign(operation.name), streams.foreign(operation.summary))
    streams.show(table)
    for operation in known:
        _list_steps(operation)
    streams.say("parameters of one: geobatch ops NAME")


def _list_steps(operation: Operation) -> None:
    steps = _steps_of(operation)
    if not steps:
        return
    streams.show(f"\nsteps of {operation.name}:")
    table = streams.pairs(no_wrap=True)
    for name, model in steps:
        table.add_row(streams.foreign(name), streams.foreign(model.summary()))
    streams.show(table)


def _describe(operation: Operation) -> None:
    streams.show(streams.foreign(operation.name, style="bold"))
    streams.show(streams.foreign(operation.summary))
    streams.show(_table(parameters(operation.params)))
    _list_steps(operation)
    if command := _GDAL.get(operation.name):
        streams.show("the same by GDAL:", streams.foreign(command), wrap=False)


def _table(listed: Iterable[Json]) -> Table:
    """Make a table of parameters."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column("parameter", style="bold", no_wrap=True)
    table.add_column("default", overflow="fold")
    table.add_column("what", overflow="fold")
    for entry in listed:
        table.add_row(
            streams.foreign(entry["name"]),
            "required" if entry["required"] else streams.foreign(_default(entry["default"])),
            streams.foreign(_what(entry)),
        )
    return table


def _default(value: object) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    return "true" if value is True else "false" if value is False else str(value)


def _what(entry: Json) -> str:
    unit = f" In {entry['unit']}." if entry["unit"] else ""
    operational = " Does not change the output." if entry["kind"] == "operational" else ""
    others = ", ".join(entry.get("other_names", ()))
    also = f" Also: {others}." if others else ""
    return f"{entry['help']}{unit}{operational}{also} ({entry['type']})"
