"""Sends finished outputs to a store, some at once, beside the computation of others; GeoTIFFs from
the spools of their chunks, other formats as files.

An upload is in the ledger before it begins in the store, and with its id before its first part is
sent: a run that is killed goes on with it, part by part, or gives it up. Only the engine has
credentials to write, and only once the object is whole and checked is its item published.

No fault of a network ends an output: while the store is away the run admits nothing, and what was
on its way is tried again, until ``engine.space_wait`` has passed without a byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import (
    DiskFullError,
    GeobatchError,
    OutputGoneError,
    SourceChangedError,
    TransientError,
    VerifyError,
)
from geobatch_tui.execution.stores.host_traffic import traffic
from geobatch_tui.execution.stores.write_faults import NameTakenError
from geobatch_tui.execution.stores.writing import object_output
from geobatch_tui.execution.stores.writing.object_output import StoppedError, Upload
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.write.publish import ItemPublishError
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.standing.standing_outputs import TAG
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.suspensions import BEHIND, NO_OUTPUTS
from geobatch_tui.orchestration.side_tasks.host_figures import Outage

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.stores.output_prefix import OutputPrefix
    from geobatch_tui.execution.stores.store_client import Version
    from geobatch_tui.orchestration.side_tasks.watchdogs import Calls
    from geobatch_tui.orchestration.state.session import Session

#: Outputs on their way at once.
AT_ONCE = 4
#: Finished outputs that wait on the disk before nothing more is computed, and few enough to go on.
MOST_WAITING, FEW_WAITING = 32, 16
#: Seconds between two tries at a store that fails: the first, and the longest.
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
#: Seconds that a run which ends waits for parts on their way.
FAREWELL = 5.0
#: Tries at an output whose bytes arrive damaged though the store is well.
TRIES = 3


class Uploader:
    """The uploads of one run phase, on its event loop. ``left`` counts those that the next run has
    to end; ``is_swept``: those of earlier runs are settled."""

    def __init__(
        self, session: Session, prefix: OutputPrefix, calls: Calls, *, is_swept: bool = True
    ) -> None:
        self.left, self.is_swept = 0, is_swept
        self._session = session
        self._prefix = prefix
        self._calls = calls
        self._absent = session.job.output.if_exists == "fail"
        self._patience = session.job.engine.space_wait
        self._begun = {each.item_id: each for each in session.reader.uploads()}
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._loop = asyncio.get_running_loop()
        # The run's, in which the settings of stores hold: in callbacks of a pool they do not.
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop, self._stopped = threading.Event(), asyncio.Event()
        self._ends = False
        self._behind = False
        self._away = ""
        self._outage: Outage | None = None
        self._moved = 0.0

    def away(self) -> dict[str, Outage]:
        """Return the store, if it takes nothing now."""
        return {self._prefix.root: self._outage} if self._outage is not None else {}

    @property
    def pieced(self) -> bool:
        """Whether it sends files that lie in pieces."""
        return self._prefix.root.startswith("s3:")

    def take(
        self,
        update: lu.ItemPublished,
        item: ItemContext,
        spools: tuple[str, ...] | None = None,
    ) -> None:
        """Send a finished file, of which ``spools`` of its item have pieces where it is not whole;
        its item is published once the object is checked."""
        work = self._publish(update, item, spools)
        task = self._loop.create_task(work, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        if len(self._tasks) >= MOST_WAITING and not self._behind:
            self._behind = True
            self._calls.tell(u.StoreAway(BEHIND))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._behind and len(self._tasks) <= FEW_WAITING:
            self._behind = False
            self._calls.tell(u.StoreBack(BEHIND))
        if not task.cancelled() and (error := task.exception()) is not None:
            self._calls.fatal(error if isinstance(error, GeobatchError) else _unexpected(error))

    async def drain(self) -> None:
        """Wait until all uploads have ended, well or not."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def begin_no_more(self) -> None:
        """Leave to the next run what has not begun."""
        self._ends = True

    def stop(self) -> None:
        """Leave everything to the next run, but for the parts that are on their way."""
        self._ends = True
        self._stop.set()
        self._stopped.set()

    async def close(self) -> None:
        """Stop, without waiting for a store that does not answer."""
        self.stop()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=FAREWELL)
        for task in self._tasks:
            task.cancel()

    async def _publish(
        self, update: lu.ItemPublished, item: ItemContext, spools: tuple[str, ...] | None
    ) -> None:
        async with self._gate:
            if self._ends:
                self.left += 1
                return
            try:
                version = await self._sent(update, item, spools)
            except StoppedError:
                self.left += 1
                return
            except OutputGoneError:
                self.left += 1
                self.begin_no_more()
                raise
            except (GeobatchError, OSError) as error:
                self._calls.failed(update, _as_ours(error, update))
            else:
                self._session.put(_published(update, version))
            Path(update.part_path).unlink(missing_ok=True)  # noqa: ASYNC240 - a local name

    async def _sent(
        self, update: lu.ItemPublished, item: ItemContext, spools: tuple[str, ...] | None
    ) -> Version:
        """Send until it is there; errors as :func:`object_output.send`, but for passing ones."""
        key, fingerprint = item.key, item.fingerprint
        begun = self._begun.pop(update.item_id, None)
        known = begun is not None and begun.fingerprint == fingerprint
        ident = begun.upload if begun is not None and known else ""
        ids = [ident]

        def keep(upload: str) -> None:
            ids.append(upload)
            self._session.put(lu.UploadBegun(update.item_id, key, fingerprint, upload))
            self._session.committer.flush().result()

        if not known:
            await asyncio.to_thread(keep, "")
        upload = Upload(
            Path(update.part_path),
            self._prefix.url(key),
            update.out_size,
            update.out_digest,
            fingerprint,
            keep,
            begun=ident,
            known=known,
            absent=self._absent,
            stop=self._stop,
            progressed=self._count,
            spools=None if spools is None else tuple(_within(item, name) for name in spools),
        )
        self._moved = time.monotonic()
        wait, damaged = FIRST_WAIT, 0
        while True:
            try:
                return await self._once(upload)
            except NameTakenError:
                raise
            except (VerifyError, SourceChangedError):
                damaged += 1
                if damaged == TRIES:
                    raise
            except (TransientError, DiskFullError) as error:
                self._fails(error, wait)
            await self._rest(wait)
            wait = min(2 * wait, LONGEST_WAIT)
            upload = replace(upload, begun=ids[-1], known=True)

    async def _once(self, upload: Upload) -> Version:
        return await asyncio.wrap_future(object_output.in_background(object_output.send, upload))

    def _count(self, size: int) -> None:
        """Take note of bytes that arrived (called by threads)."""
        del size
        self._moved = time.monotonic()
        self._loop.call_soon_threadsafe(self._goes_on)

    def _goes_on(self) -> None:
        if self._away:
            reason, self._away, self._outage = self._away, "", None
            self._calls.tell(u.StoreBack(reason))
        self._calls.moved()

    def _fails(self, error: GeobatchError, wait: float) -> None:
        """Have the run admit nothing until the store takes bytes again; it is tried again after
        ``wait`` seconds."""
        now = time.monotonic()
        self._outage = Outage(self._outage.since if self._outage else now, now + wait)
        traffic.tried_again(self._prefix.root)
        told = f"{type(error).__name__}: {error.message}"
        self._session.log.emit("upload.retry", level="warning", message=told)
        if not self._away:
            self._away = f"{NO_OUTPUTS}{self._prefix.root}"
            self._calls.tell(u.StoreAway(self._away))
        if now - self._moved > self._patience:
            self._calls.give_up()

    async def _rest(self, seconds: float) -> None:
        """Wait before another try. Raises StoppedError where the run ends."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
            raise StoppedError


def _within(item: ItemContext, name: str) -> Path:
    """Return the path of a spool. Raises VerifyError where a worker names a file elsewhere."""
    if not name or "/" in name or name.startswith("."):
        raise VerifyError(f"{safe(name)} is no spool of {safe(item.key)}")
    return Path(item.work_dir) / name


def _published(update: lu.ItemPublished, version: Version) -> lu.ItemPublished:
    facts = {**update.facts, TAG: version.tag}
    # An object without a time was not there before this one.
    return replace(update, facts=facts, sent_ns=version.mtime_ns or time.time_ns())


def _as_ours(error: GeobatchError | OSError, update: lu.ItemPublished) -> GeobatchError:
    if isinstance(error, GeobatchError):
        return error
    return ItemPublishError(f"cannot read {update.part_path}: {error.strerror}", update)


def _unexpected(error: BaseException) -> GeobatchError:
    return OutputGoneError(f"an upload ended by an unexpected {type(error).__name__}: {error}")
