"""The leaves of the schema as plain data, for layers, listings, forms and tests."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from geobatch_tui.config.schema import Job, names_crs
from geobatch_tui.execution.ops.registry import get_operation

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Leaf:
    """A key of the job file.

    Attributes:
        key: dotted, as in ``--set``.
        kind: ``semantic`` or ``operational``; "" is a fault of the schema.
        default: as a job file would write it; None where ``required``.
        choices: the words that are allowed, if only some are.
        mapping: a free table of names and values; ``fold``: names in any case.
        text: the value is always text, even where it looks like a number.
        path: relative to where it was written.
        found: the value is found when the job is read; no job file gives it.
    """

    key: str
    help: str
    unit: str
    kind: str
    default: object
    required: bool
    choices: tuple[str, ...] = ()
    mapping: bool = False
    fold: bool = False
    text: bool = False
    path: bool = False
    crs: bool = False
    found: bool = False


def leaves(op: str | None = None) -> dict[str, Leaf]:
    """Return the keys of a job by dotted name, in the order of the schema; those of ``op`` are its
    parameters, or (None) only ``op.name``. Raises ConfigError if there is no such operation."""
    keys: dict[str, Leaf] = {}
    for name, field in Job.model_fields.items():
        if name == "op":
            keys["op.name"] = leaf_of("op.name", field.annotation.model_fields["name"])  # type: ignore[union-attr]
            keys |= _model_leaves("op", get_operation(op).params) if op else {}
        else:
            keys |= _model_leaves(name, field.annotation)  # type: ignore[arg-type]
    return keys


@cache
def _model_leaves(section: str, model: type[BaseModel]) -> Mapping[str, Leaf]:
    return {
        f"{section}.{name}": leaf_of(f"{section}.{name}", field)
        for name, field in model.model_fields.items()
    }


def leaf_of(key: str, field: FieldInfo) -> Leaf:
    """Return the leaf of a field of the schema."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    options = _members(field.annotation)
    mapping = any(_is_mapping(option) for option in options)
    values = _members(get_args(options[0])[1]) if mapping and get_args(options[0]) else options
    return Leaf(
        key=key,
        help=field.description or "",
        unit=str(extra.get("unit", "")),
        kind=str(extra.get("kind", "")),
        default=None if field.is_required() else _default(field),
        required=field.is_required(),
        choices=tuple(str(word) for option in options for word in _words(option)),
        mapping=mapping,
        fold=bool(extra.get("fold")),
        text=all(option is str or _words(option) for option in values),
        path=bool(extra.get("path")),
        crs=names_crs(key.rpartition(".")[2]),
        found=bool(extra.get("found")),
    )


def _default(field: FieldInfo) -> object:
    """Return the default as a job file would write it: a tuple as a list."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, tuple):
        return list(value)
    return None if value is PydanticUndefined else value


def _members(annotation: object) -> list[object]:
    """List the alternatives of a type, without None and without annotations."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return [option for part in parts for option in _members(part)]
    return [annotation]


def _is_mapping(option: object) -> bool:
    origin = get_origin(option) or option
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _words(option: object) -> tuple[object, ...]:
    return get_args(option) if get_origin(option) is Literal else ()
