"""Sources in stores for readers that know only files: a task gets a copy on the disk instead.

The copy has the name of the object, as some formats call their layer so, and is of the version that
was planned. A plan that names it names the URL instead, wherever it is kept. Of what is read in
ranges (see ``vector.read.object_ranges``) there is no copy.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError, UnsupportedFormatError
from geobatch_tui.execution.protocol.looking import LayersTask
from geobatch_tui.execution.protocol.messages import (
    ChunkTask,
    FinaliseTask,
    ItemPlan,
    ProbeTask,
    ResultTask,
    SourceIdentity,
)
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.stores.object_url import ObjectUrl, is_url, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import Receipt, Task
    from geobatch_tui.execution.stores.store_client import Version

#: Tasks that read a source.
type Reading = ChunkTask | FinaliseTask | LayersTask | ProbeTask | ResultTask
#: What is a source only with the files beside it.
_IN_PARTS = frozenset({".shp", ".tab", ".mif", ".gdb"})


@dataclass(frozen=True, slots=True)
class StagedTask:
    """A task whose source is the copy at ``path`` of the object at the URL ``source``."""

    task: Reading
    source: str
    path: str

    def told(self, receipt: Receipt) -> Receipt:
        """Return a receipt of the task that names the URL."""
        if isinstance(receipt, ItemPlan):
            return _renamed_plan(receipt, self.path, self.source)
        return receipt


def source_in_store(task: Task) -> str:
    """Return the URL that a task of an operation reads; empty: it reads a file."""
    match task:
        case ChunkTask() | FinaliseTask() | ResultTask():
            source = task.item.source
        case LayersTask() | ProbeTask():
            source = task.source
        case _:
            source = ""
    return source if is_url(source) else ""


@contextlib.contextmanager
def staged(task: Reading, in_ranges: Version | None) -> Iterator[StagedTask]:
    """Put a copy in place of the object that a task reads, unless it reads that version of it
    ``in_ranges``; errors inside name the URL. The copy stays for other tasks of its item, and goes
    with the last.

    Raises:
        UnsupportedFormatError: the object would need others beside it.
        and as ``local_copy``.
    """
    from geobatch_tui.execution.stores import local_copy

    source = source_in_store(task)
    url = ObjectUrl.of(source)
    if in_ranges is not None:
        yield StagedTask(task, source, source)
        _drop_with_the_last(task, url, in_ranges)
        return
    if PurePosixPath(url.name).suffix.lower() in _IN_PARTS:
        raise UnsupportedFormatError(
            f"{shown(source)} needs the files beside it, which are not read from a store",
            hint="put all of them into one zip archive, or fetch them to a local disk",
        )
    version = _version_of(task, url)
    path = str(local_copy.local_copy(url, version, named=True))
    try:
        yield StagedTask(_with_copy(task, source, path), source, path)
    except GeobatchError as error:
        error.args = (error.message.replace(path, shown(source)), *error.args[1:])
        raise
    _drop_with_the_last(task, url, version)


def _drop_with_the_last(task: Reading, url: ObjectUrl, version: Version) -> None:
    """Remove what there is of an object on the disk, if no task of its item follows."""
    from geobatch_tui.execution.stores import local_copy

    if isinstance(task, FinaliseTask) or (isinstance(task, ChunkTask) and task.whole):
        local_copy.drop(url, version)


def _version_of(task: Reading, url: ObjectUrl) -> Version:
    """Return the version that was planned; for a plan, that of now."""
    from geobatch_tui.execution.stores import store_client

    known = None
    if isinstance(task, ChunkTask | FinaliseTask | ResultTask):
        known = task.item.source_id
    elif isinstance(task, ProbeTask):
        known = task.source_id
    return version_in(known) if known else store_client.client_of(url).version(url)


def _with_copy(task: Reading, source: str, path: str) -> Reading:
    if isinstance(task, LayersTask | ProbeTask):
        return replace(task, source=path)
    item = task.item
    identity = SourceIdentity(*source_files.status(path), item.source_id.digest)
    plan = _renamed_plan(item.plan, source, path)
    return replace(task, item=replace(item, source=path, source_id=identity, plan=plan))


def _renamed_plan(plan: ItemPlan, old: str, new: str) -> ItemPlan:
    warnings = tuple(one.replace(old, new) for one in plan.warnings)
    detail, notes = _renamed(plan.detail, old, new), _renamed(plan.notes, old, new)
    return replace(plan, detail=detail, notes=notes, warnings=warnings)


def _renamed[T](value: T, old: str, new: str) -> T:
    """Return a value of JSON with another name in all its texts."""
    found: object = value
    match value:
        case str():
            found = value.replace(old, new)
        case dict():
            found = {key: _renamed(one, old, new) for key, one in value.items()}
        case list() | tuple():
            found = type(value)(_renamed(one, old, new) for one in value)
    return found  # type: ignore[return-value]
