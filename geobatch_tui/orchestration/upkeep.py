"""Upkeep of finished runs: verify their outputs, rebuild their ledgers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.config.cluster.cluster_code import agreed
from geobatch_tui.config.layers import LoadedJob, from_plan_json
from geobatch_tui.errors import (
    ConfigError,
    InvalidInputError,
    LedgerCorruptError,
    LedgerEmptyError,
    OutputGoneError,
    SourceChangedError,
    StateError,
)
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.ledger.place.durable import write_json_atomic
from geobatch_tui.ledger.place.lock import RunLock
from geobatch_tui.ledger.place.owner import is_ours
from geobatch_tui.ledger.place.regular_file import read_json
from geobatch_tui.ledger.place.state_directory import output_path
from geobatch_tui.ledger.schema.database import refuse_to_remove
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.fingerprints import changed_keys, has_digest
from geobatch_tui.orchestration.plan.remote.object_inputs import enter_stores
from geobatch_tui.orchestration.run.options import Options
from geobatch_tui.orchestration.run.runner import execute
from geobatch_tui.orchestration.state.run_index import is_noted
from geobatch_tui.orchestration.state.session import (
    own_state_of_run,
    reading,
    state_of_run,
    suspects_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.place.state_directory import StateDir
    from geobatch_tui.ledger.schema.updates import ItemRow

VERIFY_AT_ONCE = 4
"""Outputs read at once by verify."""


def load_run(directory: Path, overrides: Sequence[str] = ()) -> LoadedJob:
    """Load the job of an earlier run from its state directory, to go on with its plan. Raises
    StateError where the record of the job is unreadable, ConfigError where an override is
    semantic."""
    after = load_kept(directory, overrides)
    before = from_plan_json(_record(directory)) if overrides else after
    changed = changed_keys(before.job.semantic(), after.job.semantic())
    if changed:
        raise ConfigError(
            f"--set changes {', '.join(changed)}, which would make published outputs stale",
            hint="change the job file and use `geobatch run`: it redoes what the change touches",
        )
    return after


def load_kept(
    directory: Path, overrides: Sequence[str] = (), flags: Mapping[str, object] | None = None
) -> LoadedJob:
    """Load the job that an output directory was last run with, under new values of the command
    line.

    Raises:
        StateError: there was no run, or the record of its job is unreadable.
        ConfigError: it does not fit this version, the new values are wrong, or they lack
            credentials that the job held.
    """
    loaded = from_plan_json(_record(directory), overrides=overrides, flags=flags)
    if loaded.redacted:
        raise ConfigError(
            f"{', '.join(loaded.redacted)} held credentials, which are never kept with a run",
            hint="run the job file again, or give these values by --set",
        )
    _refuse_code(directory, loaded)
    return loaded


def _refuse_code(directory: Path, loaded: LoadedJob) -> None:
    """Refuse a kept job that names functions, or a cluster, which no job file of this user named
    there: the record may have come with the directory. Raises ConfigError."""
    functions = agreed(loaded.job)
    if functions and not loaded.job.source.allow_code and not is_noted(directory, functions):
        names = ", ".join(safe(use) for use, *_ in functions)
        raise ConfigError(
            f"the job kept in {safe(str(directory))} runs code ({names}) that is not what a job "
            "file of yours ran there last: it came from elsewhere, was moved, or has changed",
            hint="name the job file itself; or, if you know that code, "
            "--set source.allow_code=true",
        )


def _record(directory: Path) -> Json:
    state = own_state_of_run(directory)
    try:
        record = read_json(Path(state.plan))
    except (OSError, ValueError) as error:
        raise StateError(
            f"cannot read {safe(str(state.plan))}: {error}", hint="run the job file again instead"
        ) from error
    try:
        # Outputs are where the state is: the directory may have been moved, or copied.
        record["job"]["output"]["dir"] = state.outputs
    except (KeyError, TypeError) as error:
        raise StateError(
            f"{safe(str(state.plan))} is damaged", hint="run the job file again instead"
        ) from error
    return dict(record)


async def verify(directory: str | Path) -> Json:
    """Re-read every published output of a run and compare it with the ledger: the result is
    ``{"checked": n, "damaged": [paths]}``, with those that are missing among the damaged."""
    gate = asyncio.Semaphore(VERIFY_AT_ONCE)
    place = local_place(directory)
    state = state_of_run(place)
    if state.prefix is not None:
        enter_stores(from_plan_json(_record(place)).job)

    async def damaged(row: ItemRow) -> str | None:
        async with gate:
            try:
                intact = await _is_intact(state, row)
            except (OSError, StateError, InvalidInputError, SourceChangedError):
                intact = False
            return None if intact else safe(state.named(row.key))

    with reading(place) as reader:
        if reader is None:
            raise LedgerEmptyError(f"there is no ledger in {safe(str(place))}")
        rows = [row for row in reader.items() if row.state is ItemState.PUBLISHED]
        damages = await asyncio.gather(*map(damaged, rows))
    _leave_suspects(place, [row.key for row, path in zip(rows, damages, strict=True) if path])
    return {"checked": len(rows), "damaged": [path for path in damages if path]}


async def _is_intact(state: StateDir, row: ItemRow) -> bool:
    """Read an output and compare it with the ledger. Raises InvalidInputError or OSError if it is
    not there, RemoteIOError and its kin where its store cannot tell."""
    if state.prefix is None:
        return await has_digest(output_path(state.output_dir, row.key), row.out_digest)
    from geobatch_tui.execution.stores.writing import object_output

    url = state.prefix.url(row.key)
    found = await asyncio.to_thread(object_output.reader_of(url).described, url)
    if found is None:
        return False
    return await asyncio.to_thread(object_output.has_digest, url, found[0], row.out_digest)


def _leave_suspects(directory: Path, keys: list[str]) -> None:
    """Leave the next run a list of outputs to read whole: their size and time may look sound."""
    state = state_of_run(directory)
    if keys and is_ours(Path(state.root)):
        # A read-only archive can be verified too; it is not going to be run again.
        with contextlib.suppress(OutputGoneError):
            write_json_atomic(suspects_path(state), {"keys": keys})


async def repair(directory: str | Path, *, log_stream: Callable[[str], None] | None = None) -> Json:
    """Rebuild a lost or damaged ledger from the outputs and the plan.

    A damaged ledger is kept beside the new one. Outputs whose embedded fingerprint is the plan's,
    and whose every block can be read, are adopted; nothing is computed. Spools of unfinished items
    are lost with the ledger: their chunks are redone by the next run.
    """
    loaded = load_run(local_place(directory))
    state = own_state_of_run(local_place(directory))
    kept = _set_aside(state)
    result = await execute(loaded, Options(adopt_only=True, log_stream=log_stream))
    return {
        "ledger_kept_as": kept,
        "adopted": result.items["published"],
        "items": result.items["total"],
        "counts": dict(result.counts),
    }


def _set_aside(state: StateDir) -> str | None:
    """Rename a ledger that cannot be used; returns its new name, or None if it is sound."""
    ledger = Path(state.ledger)
    with RunLock.acquire(state.lock):
        if not ledger.exists():
            return None
        try:
            Ledger.open(ledger, state.output_dir).close(archive=False)
        except LedgerCorruptError:
            refuse_to_remove(ledger, Path(state.root))
            kept = ledger.with_name(f"{ledger.name}.damaged-{int(time.time())}")
            ledger.rename(kept)
            for suffix in ("-wal", "-shm", "-journal"):
                ledger.with_name(ledger.name + suffix).unlink(missing_ok=True)
            return str(kept)
        return None
