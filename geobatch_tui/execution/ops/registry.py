"""Finds operations by name.

An entry point in the group ``geobatch.ops`` names an operation. The variable ``GEOBATCH_OPS``
(``module:ATTR``, separated by commas) names more: the tests' misbehaving operations come in that
way.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from typing import TYPE_CHECKING

from geobatch_tui.errors import ConfigError

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.operation import Operation

GROUP = "geobatch.ops"
_PACKAGE = "geobatch-tui"


@cache
def _own() -> dict[str, str]:
    """The entry points of this package, which are read without those of all that is installed."""
    try:
        found = distribution(_PACKAGE).entry_points.select(group=GROUP)
    except PackageNotFoundError:
        return {}
    return {entry.name: entry.value for entry in found}


@cache
def _entries() -> dict[str, str]:
    entries = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    for spec in filter(None, os.environ.get("GEOBATCH_OPS", "").split(",")):
        operation: Operation = _load(spec)
        entries[operation.name] = spec
    return entries


@cache
def _load(spec: str) -> Operation:
    module, _, attribute = spec.partition(":")
    operation: Operation = getattr(import_module(module), attribute)
    return operation


def operation_names() -> list[str]:
    """Return the names of all operations, sorted."""
    return sorted(_entries())


def is_operation(name: str) -> bool:
    """Whether there is an operation ``name``."""
    return name in _own() or name in _entries()


def get_operation(name: str) -> Operation:
    """Return the operation ``name``. Raises ConfigError if there is none."""
    if name in _own() and not os.environ.get("GEOBATCH_OPS"):
        return _load(_own()[name])
    entries = _entries()
    if name not in entries:
        from difflib import get_close_matches

        near = get_close_matches(name, entries, 1)
        known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(entries))}"
        raise ConfigError(f"there is no operation {name!r}; {known}", hint="see `geobatch ops`")
    return _load(entries[name])
