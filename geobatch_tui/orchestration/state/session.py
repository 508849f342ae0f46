"""The session of a run: state directory, lock, ledger, committer, reader, log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from geobatch_tui.errors import (
    LedgerEmptyError,
    OutputGoneError,
    PlanMismatchError,
    PreflightError,
    StateError,
)
from geobatch_tui.execution.stores.output_prefix import OutputPrefix, is_prefix, local_place
from geobatch_tui.ledger.place.durable import Reserve, write_json_atomic
from geobatch_tui.ledger.place.filesystem import type_of
from geobatch_tui.ledger.place.lock import RunLock
from geobatch_tui.ledger.place.owner import refuse_foreign, remove_tree
from geobatch_tui.ledger.place.regular_file import open_fd, read_json
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.database import journal_mode, refuse_to_remove
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.ledger.write.committer import Committer
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.observability.log import Log, open_extra
from geobatch_tui.observability.text import safe
from geobatch_tui.observability.versions import versions
from geobatch_tui.orchestration.state.leavings import sweep_leavings, sweep_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.config.schema import Job
    from geobatch_tui.ledger.schema.updates import Update
    from geobatch_tui.ledger.write.writer import Recovery

LAST_WORDS = 128 * 1024
"""Bytes kept free for the last line of the log, which holds 20 dead letters at most."""


LOG_SUFFIXES = (".jsonl", ".ndjson", ".json", ".log", ".txt")
"""Endings of a ``log.file`` that a job file may name: no program runs what such a file holds."""


PUBLISHED = ".published"
"""Ending of the name of a work directory whose item needs it no more."""


@dataclass(slots=True)
class Session:
    """The open parts of a run, which must be closed again. Use :func:`open_session`."""

    loaded: LoadedJob
    run_id: str
    epoch: int
    output_dir: Path
    state: StateDir
    lock: RunLock
    reader: LedgerReader
    committer: Committer
    log: Log
    recovery: Recovery
    last_words: Reserve
    next_item_id: int
    next_chunk_id: int
    started: float
    #: Removes what published items needed: gigabytes of spools take seconds.
    remover: ThreadPoolExecutor

    @property
    def job(self) -> Job:
        return self.loaded.job

    def put(self, update: Update) -> None:
        self.committer.put(update)

    async def flush(self) -> None:
        """Wait until everything queued so far is durable."""
        await asyncio.wrap_future(self.committer.flush())

    def sweep(self) -> int:
        """Remove what engines and workers of earlier epochs left; return the number of part files.
        Only the lock's holder may."""
        sweep_leavings(self.output_dir, Path(self.state.root))
        return sweep_parts(self.output_dir, self.epoch)

    def sweep_lost(self) -> int:
        """Remove the part files of this run, too, and return their number. Only once no worker of
        it has a lease, and all that it finished is published."""
        return sweep_parts(self.output_dir, self.epoch + 1)

    def drop_leftovers(self) -> None:
        """Remove spools of items that need none (the engine died before it removed them, or their
        input left the job), and the suspects of ``verify``, which the plan has checked. Only once
        the plan is durable."""
        for work in _spooled(self.state):
            row = self.reader.item(int(work.stem))
            if work.suffix or row is None or row.state in {ItemState.PUBLISHED, ItemState.ORPHAN}:
                remove_tree(work)
        suspects_path(self.state).unlink(missing_ok=True)

    def drop_published(self, item_id: int) -> None:
        """Remove the spools and stages of a published item by a thread of the session."""
        work = self._work_of(item_id)
        if work is None:
            return
        # Out of the way of whoever makes the item anew.
        gone = work.with_suffix(PUBLISHED)
        try:
            work.rename(gone)
        except OSError:
            remove_tree(work)
        else:
            self.remover.submit(remove_tree, gone)

    def drop_work(self, item_id: int, but: Collection[str] = ()) -> None:
        """Remove the spools and stages of an item, ``but`` files of these names."""
        work = self._work_of(item_id)
        if work is None:
            return
        if not but:
            remove_tree(work)
        elif work.is_dir():
            for file in work.iterdir():
                if file.name not in but:
                    file.unlink()

    def _work_of(self, item_id: int) -> Path | None:
        """Return the work directory of an item, if there is one: an item of one chunk has none."""
        # As text: most items have none.
        there = os.path.lexists(f"{self.state.root}/work/{item_id}")
        return self.state.work(item_id) if there else None


def _spooled(state: StateDir) -> list[Path]:
    """List the work directories of items, and those of published ones that are being removed;
    other entries beside them were not made by a run."""
    name = re.compile(rf"[0-9]{{1,18}}({re.escape(PUBLISHED)})?")
    return [work for work in Path(state.works).glob("*") if name.fullmatch(work.name)]


def suspects_path(state: StateDir) -> Path:
    """Return the file in which ``verify`` leaves the names of damaged outputs."""
    return Path(state.root) / "suspects.json"


def read_suspects(state: StateDir) -> frozenset[str]:
    """Read the keys of outputs that ``verify`` found damaged since the last run."""
    try:
        return frozenset(read_json(suspects_path(state))["keys"])
    except FileNotFoundError:
        return frozenset()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise StateError(
            f"cannot read {safe(str(suspects_path(state)))}: {error}",
            hint="remove it and run `geobatch verify` again",
        ) from error


def new_run_id() -> str:
    """Make a run id that sorts by time and is unique: UTC time and 32 random bits."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(4)


def refuse_file(output_dir: Path) -> None:
    """Raise PreflightError if the output directory, or one above it, is a file."""
    place = next(one for one in (output_dir, *output_dir.parents) if os.path.lexists(one))
    if not place.is_dir():
        kind = "a file" if place.is_file() else "no directory"
        raise PreflightError(
            f"output.dir {safe(str(output_dir))} cannot be a directory: "
            + (f"it is {kind}" if place == output_dir else f"{safe(str(place))} is {kind}"),
            hint="choose another output.dir, as by --output DIR, or move what is there away",
        )


def probe_output(output_dir: Path) -> None:
    """Make the output directory and write to it once. Raises PreflightError if that fails, which a
    run would notice only at its first publication."""
    refuse_file(output_dir)
    probe = output_dir / f".geobatch-probe-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        fd = open_fd(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(fd, b"geobatch")
        finally:
            os.close(fd)
        os.replace(probe, f"{probe}-renamed")  # noqa: PTH105 - the rename itself is probed
        Path(f"{probe}-renamed").unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        raise PreflightError(
            f"cannot write to output.dir {safe(str(output_dir))}: {error.strerror}",
            hint="check that it exists, is a directory, is mounted writable and has space",
        ) from error


@contextlib.contextmanager
def open_session(
    job: LoadedJob,
    *,
    fresh: bool,
    requeue: Callable[[Ledger, Path], None] | None,
    log_stream: Callable[[str], None] | None,
    log_format: Literal["json", "text"],
) -> Iterator[Session]:
    """Take the lock of the job's output directory and open its state; release both at the end.

    ``requeue`` may change the ledger before the committer owns it.

    Raises:
        LockHeldError: another run holds the directory.
        PreflightError: the directory cannot be written, or ``log.file`` is no log.
        LedgerCorruptError, LedgerTooNewError: the ledger cannot be used.
    """
    output_dir = local_place(job.job.output.dir)
    refuse_log(job)
    probe_output(output_dir)
    state = _open_state(job, output_dir)
    run_id = new_run_id()
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(RunLock.acquire(state.lock, run_id=run_id))
        if fresh:
            _forget(state)
        ledger = stack.enter_context(Ledger.open(state.ledger, output_dir))
        recovery = ledger.recover()
        epoch = ledger.begin_run(run_id, job.to_json(), versions())
        lock.update(epoch=epoch)
        if requeue is not None:
            requeue(ledger, output_dir)
        ids = ledger.next_item_id(), ledger.next_chunk_id()
        write_json_atomic(state.plan, {"run_id": run_id, **job.to_json()})
        reader = stack.enter_context(LedgerReader(state.ledger))
        log = _open_log(job, run_id, state.log, log_stream, log_format)
        stack.callback(log.close)
        last_words = Reserve(Path(state.root) / "log.reserve", LAST_WORDS)
        last_words.ensure()
        stack.callback(last_words.release)
        committer = stack.enter_context(contextlib.closing(Committer(ledger)))
        yield Session(
            job,
            run_id,
            epoch,
            output_dir,
            state,
            lock,
            reader,
            committer,
            log,
            recovery,
            last_words,
            *ids,
            time.monotonic(),
            stack.enter_context(ThreadPoolExecutor(1, "geobatch-remove")),
        )


def _open_state(job: LoadedJob, output_dir: Path) -> StateDir:
    """Open or make the state directory of a run."""
    output = job.job.output
    prefix = OutputPrefix.of(output.dir) if is_prefix(output.dir) else None
    return StateDir.open(output_dir, create=True, local=output.state == "local", prefix=prefix)


def _open_log(
    job: LoadedJob,
    run_id: str,
    path: Path,
    stream: Callable[[str], None] | None,
    form: Literal["json", "text"],
) -> Log:
    """Open the log of a run at ``path``, with the copies that the job asks for."""
    config = job.job.log
    return Log(
        run_id,
        path,
        extra_path=Path(config.file) if config.file else None,
        extra_follow=not _log_is_by_file(job),
        stream=stream,
        stream_format=form,
        level=config.level,
    )


def refuse_log(job: LoadedJob) -> None:
    """Refuse a ``log.file`` that is no log: log lines hold names that strangers chose, and the job
    file may be a stranger's.

    Raises:
        PreflightError: there is a file that holds something else, or a job file names a link or
            a file that is not called a log.
    """
    named = job.job.log.file
    if not named:
        return
    by_file = _log_is_by_file(job)
    if by_file and Path(named).suffix.lower() not in LOG_SUFFIXES:
        raise PreflightError(
            f"log.file of a job file must end in {', '.join(LOG_SUFFIXES)}: {safe(named)}",
            hint="rename it, or give it by --set log.file=FILE",
        )
    try:
        os.close(open_extra(Path(named), follow=not by_file, create=False))
    except FileNotFoundError:
        return
    except OSError as error:
        raise PreflightError(
            f"log.file {safe(named)} cannot be used: {error.strerror}",
            hint="name a new file, or a log that an earlier run began",
        ) from error


def _log_is_by_file(job: LoadedJob) -> bool:
    origin = job.origins.get("log.file")
    return origin is not None and origin.layer == "file"


def tell_of_network(log: Log, state: StateDir) -> None:
    """Log that the ledger lies on a network filesystem, if it does."""
    if (mode := journal_mode(state.ledger)) != "WAL":
        kind = type_of(state.ledger.parent)
        log.emit(
            "run.ledger",
            message=f"the ledger lies on {kind}: kept by a rollback journal; where commits take "
            'long, output.state = "local" keeps it on this machine, which alone can resume then',
            filesystem=kind,
            journal=mode,
        )


def _forget(state: StateDir) -> None:
    """Remove ledger and spools for ``--fresh``; outputs stay until they are replaced."""
    ledger = Path(state.ledger)
    refuse_to_remove(ledger, Path(state.root))
    for suffix in ("", "-wal", "-shm", "-journal"):
        ledger.with_name(ledger.name + suffix).unlink(missing_ok=True)
    for place in (*_spooled(state), state.dead, Path(state.root) / "replaced"):
        remove_tree(place)


def state_of_run(directory: Path) -> StateDir:
    """Open the state directory of an earlier run in ``directory``. Raises PlanMismatchError if
    there is none."""
    if not (directory / ".geobatch").is_dir():
        if directory.is_dir():
            why = "it has no .geobatch directory"
        else:
            why = "it is a file" if directory.exists() else "there is no such directory"
        raise PlanMismatchError(
            f"no run in {safe(str(directory))}: {why}",
            hint="give the output directory of a run: output.dir in its job file",
        )
    try:
        return StateDir.open(directory, create=False)
    except OSError as error:
        raise OutputGoneError(
            f"cannot read the state of {safe(str(directory))}: {error.strerror}"
        ) from error


def own_state_of_run(directory: Path) -> StateDir:
    """Open the state directory of an earlier run in ``directory``, to be obeyed or changed. Raises
    PlanMismatchError where there is none, StateError where it is not the user's own."""
    state = state_of_run(directory)
    refuse_foreign(Path(state.root))
    return state


@contextlib.contextmanager
def reading(output_dir: Path) -> Iterator[LedgerReader | None]:
    """Open a reader of the ledger in an output directory; None if there is no ledger, or an empty
    one."""
    with contextlib.ExitStack() as stack:
        reader = None
        if (output_dir / ".geobatch").is_dir():
            with contextlib.suppress(LedgerEmptyError):
                reader = stack.enter_context(LedgerReader(state_of_run(output_dir).ledger))
        yield reader
