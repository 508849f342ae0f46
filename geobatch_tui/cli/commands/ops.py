"""``geobatch ops``: the operations and their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.operation import Operation


#: Commands of ``gdal`` that do the same: operations have its commands' names.
_GDAL = {
    "raster.reproject": "gdal raster reproject --dst-crs CRS -r RESAMPLING -f COG IN OUT",
    "raster.convert": "gdal raster convert -f COG IN OUT",
}


def ops(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One operation, such as raster.reproject."),
    ] = None,
    as_json: shared_options.AsJson = False,
) -> int:
    """List the operations, or the parameters of one."""
    from geobatch_tui.execution.ops.registry import get_operation, operation_names

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
    return {
        "name": operation.name,
        "version": operation.version,
        "data": operation.data,
        "summary": operation.summary,
    }


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
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_name(entry) for entry in schema["anyOf"]))
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array" and "prefixItems" in schema:
        inner = ", ".join(type_name(entry) for entry in schema["prefixItems"])
        return f"[{inner}]"
    if kind == "array":
        return f"list of {type_name(schema.get('items') or {})}"
    return "table" if kind == "object" else str(kind)


def _list(known: list[Operation]) -> None:
    table = streams.pairs(no_wrap=True)
    for operation in known:
        table.add_row(streams.foreign(operation.name), streams.foreign(operation.summary))
    streams.show(table)
    streams.say("parameters of one: geobatch ops NAME")


def _describe(operation: Operation) -> None:
    from rich import box
    from rich.table import Table

    streams.show(streams.foreign(operation.name, style="bold"))
    streams.show(streams.foreign(operation.summary))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column("parameter", style="bold", no_wrap=True)
    table.add_column("default", overflow="fold")
    table.add_column("what", overflow="fold")
    for entry in parameters(operation.params):
        table.add_row(
            streams.foreign(entry["name"]),
            "required" if entry["required"] else streams.foreign(_default(entry["default"])),
            streams.foreign(_what(entry)),
        )
    streams.show(table)
    if command := _GDAL.get(operation.name):
        streams.show("the same by GDAL:", streams.foreign(command), wrap=False)


def _default(value: object) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    return "true" if value is True else "false" if value is False else str(value)


def _what(entry: Json) -> str:
    unit = f" In {entry['unit']}." if entry["unit"] else ""
    operational = " Does not change the output." if entry["kind"] == "operational" else ""
    return f"{entry['help']}{unit}{operational} ({entry['type']})"
