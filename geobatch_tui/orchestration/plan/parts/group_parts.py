"""Large groups of files: they are identified and looked at in parts, by all workers.

A part is named by its files, so that it can be kept in the ledger: a plan that was interrupted, or
follows a change of some files, looks only at the parts that are new.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import asdict
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.protocol.looking import MembersReceipt, MembersTask
from geobatch_tui.execution.protocol.messages import Failure, SourceIdentity
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.sources.source_list import PART, is_large, members_of
from geobatch_tui.ledger.schema.updates import PartKept
from geobatch_tui.orchestration.plan.fingerprints import digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from geobatch_tui.execution.protocol.messages import Json, Outcome
    from geobatch_tui.ledger.read.reader import LedgerReader
    from geobatch_tui.orchestration.state.session import Session

    #: Has a worker look at a part.
    Ask = Callable[[MembersTask], Awaitable[Outcome | Failure]]


class Kept:
    """Parts that were kept in the ledger of earlier runs; keeps none itself."""

    def __init__(self, reader: LedgerReader | None = None) -> None:
        self._reader = reader

    def recall(self, name: str) -> bytes | None:
        """Return what was kept of a part by this name."""
        return None if self._reader is None else self._reader.part(name)

    def keep(self, name: str, body: bytes | None) -> None:
        """Keep a part; None: it is kept, and was of use."""


class KeptInLedger(Kept):
    """Keeps parts of large groups in the ledger of a run, as soon as they are known."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.reader)
        self._session = session

    def keep(self, name: str, body: bytes | None) -> None:
        self._session.put(PartKept(name, body))


class GroupParts:
    """The parts of the groups of one job.

    Args:
        ask: has a worker look at a part.
        kept: remembers them.
        op: name of the operation.
        source_options: those of the job's sources.
        code: digest of the code that looks.
    """

    def __init__(self, ask: Ask, kept: Kept, op: str, source_options: Json, code: str) -> None:
        self._ask = ask
        self._kept = kept
        self._op = op
        self._options = source_options
        self._code = code
        self._looked: dict[str, tuple[MembersReceipt, ...]] = {}

    async def identify(self, source: str) -> SourceIdentity | Failure:
        """Return the identity of a large group: of all its files, in their order."""
        parts = await self._look(source)
        if isinstance(parts, Failure):
            return parts
        size, mtime_ns = source_files.total(one for part in parts for one in part.statuses)
        digests = [one for part in parts for one in part.digests]
        return SourceIdentity(size, mtime_ns, digest(digests))

    async def take(self, source: str) -> tuple[Json, ...] | Failure:
        """Return what the probe of a large group need not look at again; () for any other source.
        Once: it is as large as the group."""
        if not is_large(source):
            return ()
        parts = await self._look(source)
        self._looked.pop(source, None)
        return parts if isinstance(parts, Failure) else tuple(part.looks for part in parts)

    async def _look(self, source: str) -> tuple[MembersReceipt, ...] | Failure:
        known = self._looked.get(source)
        if known is not None:
            return known
        count = len(members_of(source))
        found = await asyncio.gather(*(self._part(source, at) for at in range(0, count, PART)))
        receipts = [part for part in found if isinstance(part, MembersReceipt)]
        for part in found:
            if isinstance(part, Failure):
                return part  # that of the first files
        self._looked[source] = tuple(receipts)
        return self._looked[source]

    async def _part(self, source: str, first: int) -> MembersReceipt | Failure:
        paths = members_of(source)[first : first + PART]
        name = digest([self._code, self._options, paths])
        body = self._kept.recall(name)
        receipt = None if body is None else await asyncio.to_thread(_unless_changed, body, paths)
        if receipt is not None:
            self._kept.keep(name, None)
            return receipt
        outcome = await self._ask(
            MembersTask(0, self._op, source, self._options, first, first + PART)
        )
        if isinstance(outcome, Failure):
            return outcome
        if not isinstance(outcome.receipt, MembersReceipt):
            raise TypeError(f"a part of {source!r}: {type(outcome.receipt).__name__}")
        told = json.dumps(asdict(outcome.receipt), separators=(",", ":"))
        self._kept.keep(name, zlib.compress(told.encode()))
        return outcome.receipt


def _unless_changed(body: bytes, paths: Sequence[str]) -> MembersReceipt | None:
    """Return a part that was kept; None if its files are not as they were."""
    data = json.loads(zlib.decompress(body))
    statuses = tuple((size, mtime_ns) for size, mtime_ns in data["statuses"])
    try:
        if tuple(source_files.status_of_each(paths)) != statuses:
            return None
    except (OSError, GeobatchError):
        return None  # whoever looks says what is wrong
    return MembersReceipt(statuses, tuple(data["digests"]), data["looks"])
