"""``geobatch trial``: tries chunks of a job in a scratch directory, for a console in front of it.

It reads one line of JSON from stdin, an object of ``job`` (as a job file has it), ``chunks``
(numbers by item key), ``todo`` and ``scratch`` (a directory, which it removes), and writes lines of
JSON to stdout: ``done`` as chunks are settled, at last ``trial`` or ``error``. Once stdin ends it
gives up.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.cli.display import streams
from geobatch_tui.errors import ConfigError, ExitCode, GeobatchError

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.observability.snapshot import Snapshot
    from geobatch_tui.orchestration.dry_run import Trial
    from geobatch_tui.orchestration.run.control import Control


def trial() -> int:
    """Try chunks that a console chose. Not for people: see `geobatch plan --try`."""
    try:
        wanted = json.loads(sys.stdin.readline())
        scratch = Path(wanted["scratch"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            "`geobatch trial` is for the console, which tells it what to do",
            hint="geobatch plan JOB.toml --try 9",
        ) from error
    try:
        trial = _run(wanted, scratch)
    except GeobatchError as error:
        _tell(error={"message": error.message, "hint": error.hint})
        return error.exit_code
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _tell(trial=trial.to_json())
    return ExitCode.OK


def _run(wanted: Json, scratch: Path) -> Trial:
    from geobatch_tui.config.layers import make_job
    from geobatch_tui.orchestration.dry_run import run_trial
    from geobatch_tui.orchestration.run.control import Control

    control = Control()
    threading.Thread(target=_watch_stdin, args=(control,), daemon=True).start()
    last = -1

    def observe(snapshot: Snapshot) -> None:
        nonlocal last
        settled = snapshot.counts["done"] + snapshot.counts["dead"]
        if settled != last:
            last = settled
            _tell(done=settled)

    return asyncio.run(
        run_trial(
            make_job(wanted["job"]),
            wanted["chunks"],
            scratch,
            open_chunks=wanted["todo"],
            observe=observe,
            control=control,
        )
    )


def _tell(**message: object) -> None:
    streams.write(json.dumps(message, allow_nan=False))
    sys.stdout.flush()


def _watch_stdin(control: Control) -> None:
    """Cancel the run once stdin ends, as nobody waits for the result any more.

    It reads the descriptor itself: a reader that blocks in ``sys.stdin`` would hold up the end of
    the interpreter.
    """
    while os.read(0, 1):
        pass
    control.send("cancel")
