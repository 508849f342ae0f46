"""Finds operations by name.

An operation is an object that satisfies :class:`Operation`, named by an entry point in the group
``geobatch.ops``. Those in modules listed in the variable ``GEOBATCH_OPS`` (``module:ATTR``,
separated by commas) are found too: the tests' misbehaving operations come in that way.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal, Protocol

from geobatch_tui.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pydantic import BaseModel

    from geobatch_tui.execution.protocol.messages import (
        ChunkReceipt,
        ChunkTask,
        FinaliseTask,
        InspectReceipt,
        InspectTask,
        ItemContext,
        ItemPlan,
        ItemReceipt,
        ProbeTask,
    )
    from geobatch_tui.execution.protocol.window import Window

    Stage = Callable[[str], AbstractContextManager[None]]

GROUP = "geobatch.ops"


class Operation(Protocol):
    """An operation. Importing its module must not import GDAL; running it may. Workers run it
    without asking for ``params``: a module that imports pydantic only then loads in half the time.

    ``version`` is raised whenever the same parameters give other bytes. ``params`` is a frozen
    pydantic model whose fields carry help, unit and ``kind`` (semantic or operational).
    """

    name: str
    version: int
    data: Literal["raster", "vector"]
    summary: str

    @property
    def params(self) -> type[BaseModel]: ...

    def libraries(self) -> dict[str, str]:
        """Return versions (major.minor) of libraries that decide output bytes, from metadata."""
        ...

    def probe(self, task: ProbeTask, stage: Stage) -> ItemPlan:
        """Open the source and plan the item. Raises InvalidInputError and its kin."""
        ...

    def run(self, task: ChunkTask, stage: Stage) -> ChunkReceipt:
        """Compute one chunk into the worker's spool (or the whole item, if ``task.whole``)."""
        ...

    def finalise(self, task: FinaliseTask, stage: Stage) -> ItemReceipt:
        """Assemble, check and sync the part file."""
        ...

    def inspect(self, task: InspectTask, stage: Stage) -> InspectReceipt:
        """Read a published output back. Raises VerifyError if a block cannot be read."""
        ...

    def gdal_command(self, item: ItemContext) -> str:
        """Return the nearest command of GDAL's own tools, for comparison."""
        ...

    def reproduce(self, item: ItemContext, window: Window) -> str:
        """Return a shell line that reads or computes just this window."""
        ...


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


def get_operation(name: str) -> Operation:
    """Return the operation ``name``. Raises ConfigError if there is none."""
    entries = _entries()
    if name not in entries:
        from difflib import get_close_matches

        near = get_close_matches(name, entries, 1)
        known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(entries))}"
        raise ConfigError(f"there is no operation {name!r}; {known}", hint="see `geobatch ops`")
    return _load(entries[name])
