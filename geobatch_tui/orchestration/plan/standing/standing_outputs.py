"""Outputs that are there already: of which the ledger is asked whether they still are what was
published, and those that it does not know.

Local ones are known by size and time, objects of a store by size and ETag, all by their digests.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from geobatch_tui.errors import PreflightError, SourceChangedError, TransientError
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.orchestration.plan.fingerprints import has_digest
from geobatch_tui.orchestration.plan.remote.object_inputs import whole_listing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from geobatch_tui.config.schema import Job
    from geobatch_tui.execution.protocol.looking import InspectReceipt
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.stores.output_prefix import OutputPrefix
    from geobatch_tui.execution.stores.store_client import Version
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.orchestration.plan.inputs import Input

#: Fact of an item: the ETag of its output in a store.
TAG = "etag"

#: Has a worker read a file back.
type Look = Callable[[str], Awaitable[InspectReceipt | None]]

#: What becomes of outputs that the ledger does not know: those that are right count as done, all
#: are made again, or any is in the way.
type Existing = Literal["adopt", "redo", "refuse"]


def existing(job: Job, *, fresh: bool = False, adopt_only: bool = False) -> Existing:
    """Return what becomes of outputs that the ledger does not know; ``adopt_only``: in a repair."""
    if job.output.if_exists == "fail" and not adopt_only:
        return "refuse"
    return "redo" if fresh else "adopt"


@dataclass(frozen=True, slots=True)
class Standing:
    """An output that is there: its time of change, and facts that its place adds."""

    mtime_ns: int
    facts: Json = field(default_factory=dict)


class StandingOutputs(Protocol):
    """The outputs of a job, by their keys."""

    async def flaw(self, row: ItemRow, *, suspect: bool) -> str:
        """Compare an output with its row: empty if it is what was published, or what is wrong.
        ``suspect``: it is read, whatever else says."""

    async def standing(self, key: str) -> Standing | None:
        """Return what is there under the name of an output; None: nothing."""

    async def inspect(self, key: str, look: Look) -> InspectReceipt | None:
        """Have an output read back; None where it cannot be, or is certainly not ours."""

    def path(self, key: str) -> Path | None:
        """Return the path of an output; None where it has none."""


@dataclass(frozen=True, slots=True)
class LocalOutputs:
    """Outputs in a directory."""

    directory: Path

    async def flaw(self, row: ItemRow, *, suspect: bool) -> str:
        path = self.directory / row.key
        try:
            stat = path.stat()
        except FileNotFoundError:
            return "output_missing"
        if stat.st_size != row.out_size:
            return "output_damaged"
        trusted = stat.st_mtime_ns == row.out_mtime_ns and not suspect
        return "" if trusted or await has_digest(path, row.out_digest) else "output_damaged"

    async def standing(self, key: str) -> Standing | None:
        path = os.path.join(self.directory, key)  # noqa: PTH118 -- of each of many inputs
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        with contextlib.suppress(OSError):  # a link to nothing
            status = os.stat(path)  # noqa: PTH116
        return Standing(status.st_mtime_ns)

    async def inspect(self, key: str, look: Look) -> InspectReceipt | None:
        return await look(str(self.directory / key))

    def path(self, key: str) -> Path | None:
        return self.directory / key


@dataclass(slots=True)
class ObjectOutputs:
    """Outputs below a prefix of a store, which is listed when the first is asked for."""

    prefix: OutputPrefix
    _listed: asyncio.Task[dict[str, Version]] | None = None

    async def _version(self, key: str) -> Version | None:
        if self._listed is None:
            self._listed = asyncio.create_task(asyncio.to_thread(_listed, self.prefix))
        return (await asyncio.shield(self._listed)).get(self.prefix.key(key))

    async def flaw(self, row: ItemRow, *, suspect: bool) -> str:
        from geobatch_tui.execution.stores.writing import object_output

        version = await self._version(row.key)
        if version is None:
            return "output_missing"
        tag = str(row.facts.get(TAG, ""))
        if version.size != row.out_size:
            return "output_damaged"
        if not suspect and (version.tag == tag if tag else version.mtime_ns == row.out_mtime_ns):
            return ""
        url = self.prefix.url(row.key)
        with _now():
            same = await asyncio.to_thread(object_output.has_digest, url, version, row.out_digest)
        return "" if same else "output_damaged"

    async def standing(self, key: str) -> Standing | None:
        version = await self._version(key)
        return None if version is None else Standing(version.mtime_ns, {TAG: version.tag})

    async def inspect(self, key: str, look: Look) -> InspectReceipt | None:
        """Only an object whose metadata say that it is ours is fetched."""
        from geobatch_tui.execution.stores.writing import object_output

        url = self.prefix.url(key)
        with _now(), contextlib.ExitStack() as stack:
            found = await asyncio.to_thread(object_output.reader_of(url).described, url)
            if found is None or object_output.FINGERPRINT not in found[1]:
                return None
            copy = object_output.fetched(url, found[0])
            return await look(str(await asyncio.to_thread(stack.enter_context, copy)))

    def path(self, key: str) -> Path | None:
        del key
        return None


@contextlib.contextmanager
def _now() -> Iterator[None]:
    """Let a run that cannot look at its outputs be refused: they are neither right nor wrong."""
    try:
        yield
    except (TransientError, SourceChangedError) as error:
        raise PreflightError(
            f"{error.message}: the run cannot be planned now",
            hint="run again when the store is back; what is done stays",
        ) from error


def without_outputs(
    inputs: Sequence[Input], prefix: OutputPrefix, named: Collection[object]
) -> list[Input]:
    """Leave out what a store listed below the prefix of the outputs. Raises PreflightError where an
    input that is ``named`` would be replaced by its own output, or nothing is left."""
    below = f"{prefix}/"
    kept = [one for one in inputs if not one.path.startswith(below) or one.path in named]
    if replaced := [one for one in kept if one.path == f"{below}{one.key}"]:
        raise PreflightError(
            f"{shown(replaced[0].path)} would be replaced by its own output",
            hint="use another output.dir",
        )
    if not kept:
        raise PreflightError(
            f"all inputs lie below the prefix of the outputs, {shown(str(prefix))}",
            hint="use another output.dir",
        )
    return kept


def _versions(prefix: OutputPrefix) -> Iterator[tuple[str, Version]]:
    """Yield the keys below a prefix, and the versions of their objects."""
    from geobatch_tui.execution.stores.writing import object_output

    yield from object_output.reader_of(prefix.url("-")).listed(prefix)


def _listed(prefix: OutputPrefix) -> dict[str, Version]:
    """List what a store has below a prefix, by the keys. Raises as :func:`whole_listing`."""
    hint = "give the outputs a prefix of their own"
    return dict(whole_listing(_versions(prefix), str(prefix), hint))
