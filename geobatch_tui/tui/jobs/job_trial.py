"""Chunks of a job tried by a process of their own, while the console goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual.content import Content

from geobatch_tui.config.schema import dump_job
from geobatch_tui.errors import StateError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.dry_run import Trial
from geobatch_tui.tui.kit import fixed_width as fmt

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Mapping, Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.orchestration.dry_run import TriedChunk

_PATIENCE: Final = 10.0  #: seconds that a trial has to end once it is given up
_LINE: Final = 1 << 20  #: bytes of one line of a trial
_NAME: Final = 18


async def dry_run(
    loaded: LoadedJob,
    chosen: Mapping[str, Sequence[int]],
    todo: int,
    tell: Callable[[int], None],
) -> Trial:
    """Try chunks of a job. Whoever is cancelled here ends the trial, too.

    Args:
        loaded: the job.
        chosen: numbers of chunks by item key.
        todo: how many chunks the whole job has to do.
        tell: called with the number of chunks that are settled, as it grows.

    Raises:
        StateError: it could not be tried, with what the process said.
    """
    scratch = tempfile.mkdtemp(prefix="geobatch-trial-")
    wanted = {"job": dump_job(loaded.job), "chunks": chosen, "todo": todo, "scratch": scratch}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "geobatch_tui", "trial"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # keys of the terminal are the console's
        limit=_LINE,
    )
    try:
        return await _follow(child, json.dumps(wanted).encode() + b"\n", tell)
    finally:
        await asyncio.shield(_end(child, scratch))


async def _follow(child: Process, wanted: bytes, tell: Callable[[int], None]) -> Trial:
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("the trial has no pipes")
    with contextlib.suppress(ConnectionError):  # it has ended, which is told below
        child.stdin.write(wanted)
        await child.stdin.drain()
    async for line in child.stdout:
        said: Json = json.loads(line)
        if "trial" in said:
            return Trial.from_json(said["trial"])
        if "error" in said:
            raise StateError(said["error"]["message"], hint=said["error"]["hint"])
        tell(int(said.get("done", 0)))
    code = await child.wait()
    raise StateError(f"the trial ended with {code} and said nothing")


async def _end(child: Process, scratch: str) -> None:
    """End the process, if it lives: it ends by itself once nothing can come from its stdin."""
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), _PATIENCE)
    except TimeoutError:
        await _kill(child)
    except asyncio.CancelledError:  # the console's loop ends, and waits for this alone
        await _kill(child)
        raise
    finally:
        shutil.rmtree(Path(scratch), ignore_errors=True)


async def _kill(child: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()


def verdict(trial: Trial) -> list[Content]:
    """Return the estimates of a trial for the whole job."""
    failed = sum(bool(chunk.error) for chunk in trial.chunks)
    lines = [Content.assemble(("dry run  ", "bold"), *_estimate(trial))]
    if failed:
        lines.append(Content.styled(f"{failed} of {len(trial.chunks)} chunks died", "bold $error"))
    return lines


def tried(trial: Trial) -> list[Content]:
    """The chunks of a trial, a line each."""
    return [_line(chunk) for chunk in trial.chunks]


def _estimate(trial: Trial) -> list[tuple[str, str]]:
    estimate, output = trial.estimate_s, trial.output_bytes
    if estimate is None or output is None:
        return [("no chunk was done: nothing can be estimated", "bold $warning")]
    chunks, workers = figures.plural(trial.todo, "chunk"), figures.plural(trial.workers, "worker")
    long = figures.duration(estimate, fine=True)
    return [
        (f"about {long.strip()}", "bold $accent"),
        (f" for {chunks} with {workers}, without assembly;", ""),
        (f" output about {figures.size(output)};", ""),
        (f" a worker has {figures.size(trial.peak_bytes)} at most", ""),
    ]


def _line(chunk: TriedChunk) -> Content:
    name = f"  {fmt.fit_middle(chunk.label, _NAME)}"
    if chunk.seconds is None:
        style = "$error" if chunk.error else "$quiet"
        return Content.assemble(name, (f"  {safe(chunk.error) or 'was not run'}", style))
    peak = figures.size(chunk.peak_bytes or 0, 7)
    return Content.assemble(
        name, (fmt.right(f"{chunk.seconds:.2f} s", 10), "bold"), (f"  {peak}", "$quiet")
    )
