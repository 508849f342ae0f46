"""A run, from its first line of log to its last: plan phase, preflight, run phase, end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.config.cluster.cluster_code import agreed
from geobatch_tui.errors import DiskFullError, ExitCode, GeobatchError, OperationError
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.write.publish import ItemPublishError
from geobatch_tui.observability.versions import versions
from geobatch_tui.orchestration.cluster.joining import joined, open_pool, resources_of
from geobatch_tui.orchestration.plan.groups import inputs_of, signed
from geobatch_tui.orchestration.plan.machine import cores, shortage
from geobatch_tui.orchestration.plan.planning import error_of
from geobatch_tui.orchestration.plan.remote.object_inputs import enter_signers, enter_stores
from geobatch_tui.orchestration.plan.standing.standing_outputs import existing
from geobatch_tui.orchestration.run.control import listening, socket_path
from geobatch_tui.orchestration.run.ending import end_run
from geobatch_tui.orchestration.run.engine import Engine
from geobatch_tui.orchestration.run.monitor import Monitor
from geobatch_tui.orchestration.run.plan_phase import PlanPhase
from geobatch_tui.orchestration.run.signals import handled
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.side_tasks.sending import begin_sending, keep_copies, prove_store
from geobatch_tui.orchestration.side_tasks.watchdogs import (
    Calls,
    LedgerWatch,
    MemoryWatch,
    SpaceWatch,
    StoreWatch,
)
from geobatch_tui.orchestration.state.dismissal import dismissal
from geobatch_tui.orchestration.state.output_lists import write_lists
from geobatch_tui.orchestration.state.run_index import note
from geobatch_tui.orchestration.state.session import open_session, tell_of_network
from geobatch_tui.orchestration.workers.spare import asked_ahead

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.orchestration.cluster.dask_cluster import DaskCluster
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.run.options import Options
    from geobatch_tui.orchestration.state.outcome import RunResult
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.dispatcher import Dispatcher
    from geobatch_tui.orchestration.workers.pool import Pool

GRACE = 30.0
"""Seconds that chunks in flight have to finish once the run drains."""
MAX_WORKERS = 1024
_BY_A_FAILURE = {"fatal", "crash-loop"}
"""Reasons that the failure of a worker explains."""


async def execute(loaded: LoadedJob, options: Options) -> RunResult:
    """Run a job to its end and return the result, which has the failures of chunks and items.

    Raises:
        LockHeldError, PreflightError, StateError: before or instead of a run.
        ResourceError, OutputGoneError: the engine itself is short of something.
    """
    job = loaded.job
    try:
        # Before anything is written: a job without inputs leaves no trace.
        inputs = options.sample.inputs if options.sample is not None else inputs_of(job)
        crew = job.engine.max_workers or cores()
        with asked_ahead(crew if job.engine.executor == "process" else 0):
            async with joined(job, options.say) as cluster:
                with open_session(
                    loaded,
                    fresh=options.fresh,
                    requeue=None if options.requeue is None else options.requeue.apply,
                    log_stream=options.log_stream,
                    log_format=options.log_format,
                ) as session:
                    if options.sample is None:
                        note(session.output_dir, agreed(job))
                    return await Run(session, options, inputs, cluster).run()
    except (OSError, RuntimeError, MemoryError) as error:
        known = shortage(error, local_place(job.output.dir))
        if known is None:
            raise
        raise known from error


class Run:
    """A run of a job. Use :func:`execute`."""

    def __init__(
        self,
        session: Session,
        options: Options,
        inputs: Sequence[Input],
        cluster: DaskCluster | None = None,
    ) -> None:
        enter_stores(session.job)
        enter_signers(signed(inputs))
        self._inputs = inputs
        self._cluster = cluster
        self._session = session
        self._job = session.job
        self._options = options
        self._resources = self._crew = resources_of(self._job, cluster)
        if options.sample is not None:
            fewer = min(self._resources.workers, options.sample.workers)
            self._crew = replace(self._resources, workers=fewer)
        self._monitor = Monitor(session, self._resources.budget)
        self._dispatcher: Dispatcher | None = None
        self._engine: Engine | None = None
        self._ledger = LedgerWatch(session.flush, self._job.engine.space_wait, self._end_by)
        self._loop = asyncio.get_running_loop()
        session.committer.listen(self._on_commit, self._on_commit_error)
        self._stop: str | None = None
        self._signal: int | None = None
        self._fatal: GeobatchError | None = None
        self._bug: Exception | None = None
        self._warnings: Sequence[str] = ()

    async def run(self) -> RunResult:
        log = self._session.log
        job = self._session.loaded.effective_with_origins()
        log.run_start(versions(), job, sandbox=self._resources.sandbox())
        tell_of_network(log, self._session.state)
        pool: Pool | None = None
        with handled(drain=self._on_first, cancel=self._on_second, reopen_logs=log.reopen):
            async with contextlib.AsyncExitStack() as stack:
                opened = listening(self, socket_path(self._session.run_id))
                path = await stack.enter_async_context(opened)
                self._session.lock.update(socket=str(path or ""))
                if self._options.control is not None:
                    self._options.control.attach(self)
                self._every(stack, self._watch_deadline())
                self._every(stack, self._monitor.observe(self._options.observer))
                self._every(stack, self._monitor.note())
                try:
                    keep_copies(self._session)
                    # Beside the plan: its client takes as long to load as a small plan.
                    stored = self._every(stack, prove_store(self._session))
                    with_what = self._cluster, self._crew, self._session, self._inputs
                    pool = await open_pool(*with_what, self._end_by, self._monitor.left)
                    finish = await self._phases(pool, stored)
                except GeobatchError as error:
                    self._fatal = self._fatal or error
                    finish = u.Finish("fatal")
                except Exception as error:  # noqa: BLE001 - boundary: it is recorded, then raised
                    self._unexpected(error)
                    finish = u.Finish("fatal")
                finally:
                    if pool is not None:
                        await pool.close(0.0)
        return await self._end(finish)

    def _unexpected(self, error: Exception) -> None:
        """End the run by an error that is none of ours: a shortage of the machine is a cause like
        any other; a bug is raised in the end."""
        known = shortage(error, self._session.output_dir)
        if known is None:
            self._bug = error
            known = OperationError(f"unexpected {type(error).__name__}: {error}")
        self._fatal = self._fatal or known

    async def _phases(self, pool: Pool, stored: asyncio.Task[None]) -> u.Finish:
        phase = PlanPhase(
            self._session,
            self._resources,
            self._monitor,
            pool,
            self._crew.scheduler(self._job, self._session.run_id, "probe"),
            outputs=existing(
                self._job, fresh=self._options.fresh, adopt_only=self._options.adopt_only
            ),
        )
        self._dispatcher = phase.dispatcher
        self._monitor.show(phase.dispatcher)
        finish = await phase.run(self._inputs, self._give_up_on_store)
        self._warnings = phase.warnings
        if finish.reason != "complete" or self._options.adopt_only:
            return finish
        if self._stop is not None or self._fatal is not None:
            # It came while there was no dispatcher to tell: before that of the plan, or after it.
            return u.Finish("drained" if self._fatal is None else "fatal")
        await stored
        self._monitor.state = "running"
        self._monitor.begin()
        return await self._work(pool, phase.dispatcher)

    # --- run phase -----------------------------------------------------------------------------

    async def _work(self, pool: Pool, planned: Dispatcher) -> u.Finish:
        session, job = self._session, self._job
        sample = self._options.sample
        engine = self._engine = Engine(
            session,
            self._monitor,
            pool,
            self._crew.scheduler(job, session.run_id, "run", total=self._monitor.tally.total),
            only=None if sample is None else sample.chunk_ids(session.reader),
        )
        dispatcher = self._dispatcher = engine.dispatcher
        ends = self._end_by, self._give_up_on_store
        calls = Calls(dispatcher.tell, engine.progressed, engine.finisher.not_published, *ends)
        engine.uploader = engine.finisher.uploader = await begin_sending(session, calls)
        space = SpaceWatch(
            session.output_dir, job.engine.space_wait, dispatcher.tell, self._give_up_on_space
        )
        stores = StoreWatch(job.engine.space_wait, dispatcher.tell, self._give_up_on_store)
        memory = MemoryWatch(pool, self._resources.budget, dispatcher.tell)
        self._monitor.show(dispatcher, engine.label, memory)
        async with contextlib.AsyncExitStack() as stack:
            self._every(stack, memory.run())
            self._every(stack, space.run())
            stack.callback(stores.close)
            finish = await engine.run(planned, space, stores)
        await session.flush()
        engine.sweep(finish)
        if finish.reason == "fatal" and finish.failure is not None:
            error = error_of(finish.failure)
            if error.exit_code == ExitCode.USAGE:  # the job is wrong, not this machine
                raise error
        if finish.reason == "complete" and sample is None:
            counts = session.reader.counts()
            left = counts["pending"] + counts["running"] + counts["retry"]
            # Never a success that the ledger does not bear out. What waits for a stage with a dead
            # letter belongs to an item that is held.
            if left and (counts["running"] or session.reader.open_chunks(limit=1)):
                raise OperationError(f"{left} chunks were left undone: this is a bug; run it again")
        return finish

    # --- the committer -------------------------------------------------------------------------

    def _on_commit(self, batch: Sequence[lu.Update]) -> None:
        self._loop.call_soon_threadsafe(self._committed, batch)

    def _on_commit_error(self, error: GeobatchError, updates: Sequence[lu.Update]) -> None:
        self._loop.call_soon_threadsafe(self._not_committed, error, updates)

    def _committed(self, batch: Sequence[lu.Update]) -> None:
        if self._engine is None:
            return
        try:
            self._engine.committed(batch)
        except Exception as error:  # noqa: BLE001 - boundary: the loop would only log it
            self._died(error)

    def _not_committed(self, error: GeobatchError, updates: Sequence[lu.Update]) -> None:
        """Deal with a publication that failed, or with a ledger that cannot be written at all."""
        if isinstance(error, ItemPublishError) and self._engine is not None:
            for update in updates:
                if isinstance(update, lu.ItemPublished):
                    self._engine.finisher.not_published(update, error)
        elif isinstance(error, DiskFullError) and self._engine is not None:
            # Nothing more is recorded: stop admitting. The committer keeps what it has.
            self._tell(u.Space(ok=False))
            self._ledger.suspended()
        else:
            self._end_by(error)

    # --- early ends ----------------------------------------------------------------------------

    def _on_first(self, number: int) -> None:
        self._signal = self._signal or number
        self._drain("drained")

    def _drain(self, reason: str) -> None:
        """Start nothing new, finish what is in flight within the grace time, then end."""
        if self._stop is None:
            self._stop = self._monitor.reason = reason
            self._monitor.state = "draining"
            self._session.log.emit("run.drain", level="warning", message=reason)
            asyncio.get_running_loop().call_later(GRACE, self._cancel)
        self._command(u.Verb.DRAIN)

    def _on_second(self, number: int) -> None:
        self._signal = self._signal or number
        self._stop = self._stop or "cancelled"
        self._cancel()

    def _cancel(self) -> None:
        self._session.log.emit(
            "run.cancel",
            level="warning",
            message="ends what is in flight: the next run does it again",
        )
        self._command(u.Verb.CANCEL)

    def _give_up_on_space(self) -> None:
        self._stop = self._stop or "space"
        self._command(u.Verb.CANCEL)

    def _give_up_on_store(self) -> None:
        self._stop = self._stop or "store"
        self._command(u.Verb.CANCEL)

    def steer(self, verb: str, arguments: Json, origin: str) -> dict[str, object]:
        """Apply an operator's command (see :mod:`geobatch_tui.orchestration.run.control`)."""
        reply: dict[str, object] = {"run_id": self._session.run_id, "state": self._monitor.state}
        if verb == "ping":
            return reply
        if verb == "dismiss":
            update = dismissal(arguments, origin)
            self._session.put(update)
            reply["dismissed"] = len(update.letters)
            arguments = {"letters": len(update.letters), "note": update.note}
        fields = {"verb": verb, "origin": origin, **arguments}
        asked = f"{verb} {arguments['count']}" if verb == "set_workers" else verb
        self._session.log.emit("run.command", message=f"{asked} from {origin}", **fields)
        self._session.put(lu.Noted("command", fields))
        if verb == "set_workers":
            count = reply["workers"] = int(arguments["count"])
            if not 1 <= count <= MAX_WORKERS:
                raise ValueError(f"workers must be 1 to {MAX_WORKERS}")
            self._tell(u.SetWorkers(count))
        elif verb == "retry_dead":
            if self._engine is None:
                raise ValueError("the run is still planning")
            reply["requeued"] = self._engine.finisher.requeue(
                tuple(arguments.get("classes", ())), tuple(arguments.get("keys", ()))
            )
        elif verb == "drain":
            self._drain("drained")
        elif verb == "cancel":
            self._stop = self._stop or "cancelled"
            self._cancel()
        elif verb != "dismiss":
            self._command(u.Verb(verb))
        return reply

    def _command(self, verb: u.Verb) -> None:
        if verb is u.Verb.CANCEL and self._engine is not None:
            self._engine.end_uploads()
        self._tell(u.Command(verb))

    def _tell(self, event: u.Event) -> None:
        if self._dispatcher is not None:
            self._dispatcher.tell(event)

    def _end_by(self, error: GeobatchError) -> None:
        self._fatal = self._fatal or error
        self._died(error)

    # --- side tasks ----------------------------------------------------------------------------

    def _every(
        self, stack: contextlib.AsyncExitStack, work: Coroutine[object, object, None]
    ) -> asyncio.Task[None]:
        """Run a side task beside the phases. If it dies, the run ends: never in silence."""
        task = asyncio.ensure_future(work)

        def done(finished: asyncio.Task[None]) -> None:
            error = None if finished.cancelled() else finished.exception()
            if error is not None:
                self._died(error)

        task.add_done_callback(done)
        stack.callback(task.cancel)
        return task

    def _died(self, error: BaseException) -> None:
        """Have the phase that runs raise the error of something beside it; if none runs, the end of
        the run does."""
        if self._dispatcher is not None and self._dispatcher.fail(error):
            return
        if isinstance(error, GeobatchError):
            self._fatal = self._fatal or error
        elif isinstance(error, Exception):
            self._unexpected(error)

    async def _watch_deadline(self) -> None:
        limit = self._options.max_duration or self._job.engine.max_duration
        if limit:
            await asyncio.sleep(max(0.0, limit - (time.monotonic() - self._session.started)))
            self._drain("deadline")

    async def _end(self, finish: u.Finish) -> RunResult:
        reason = self._stop if self._stop and finish.reason != "complete" else finish.reason
        if self._fatal is None:
            self._warnings = (*self._warnings, *await write_lists(self._session))
        result = await end_run(
            self._session,
            self._monitor,
            reason,
            signal=self._signal,
            fatal=self._fatal,
            cause=finish.failure if reason in _BY_A_FAILURE else None,
            warnings=self._warnings,
        )
        if (error := self._bug or self._fatal) is not None:
            raise error
        if (take := self._options.observer()) is not None:
            take(self._monitor.snapshot())
        return result
