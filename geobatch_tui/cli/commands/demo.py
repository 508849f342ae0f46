"""``geobatch demo``: a whole job on data that ships with geobatch, one file of it broken."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui.cli import console, shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.config.paths import sample_dir
from geobatch_tui.errors import ExitCode, OutputGoneError, PreflightError
from geobatch_tui.observability.text import command_line, harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.orchestration.state.outcome import RunResult

BROKEN = "broken.tif"
JOB = "demo.toml"


def demo(
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Where the copies and the outputs go; default a new temporary directory.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End with the run's own exit code, 12, instead of 0."),
    ] = False,
    tui: shared_options.Tui = False,
    as_json: shared_options.AsJson = False,
) -> int:
    """Run a job on real rasters, one of them broken on purpose, in well under a minute.

    Ends with 0 if exactly the broken file is in the dead letters and all else is published;
    `geobatch run` would end with 12 there.
    """
    from geobatch_tui.cli.commands.run import give, run_shown

    in_console = tui and console.wanted(tui=tui)
    place = copy_to(directory)
    streams.say(f"three rasters and one broken on purpose, copied to {place / 'data'}")
    streams.say(f"$ {command_line('geobatch run', place / JOB)}")
    loaded = shared_options.load(place / JOB)
    result = console.run_in_console(loaded) if in_console else run_shown(loaded)
    code = give(result, as_json=as_json)
    if isinstance(result, int):
        return code
    expected = as_expected(result)
    for line in comment(result, place, expected=expected):
        streams.say(line)
    return code if strict or not expected else ExitCode.OK


def copy_to(directory: Path | None) -> Path:
    """Copy job and data, and return the directory, absolute.

    Raises:
        PreflightError: this installation has no sample files.
        OutputGoneError: they cannot be copied.
    """
    source = sample_dir()
    if source is None:
        raise PreflightError(
            "the sample files are missing from this installation", hint="install geobatch-tui again"
        )
    try:
        if directory is None:
            place = Path(tempfile.mkdtemp(prefix="geobatch-demo-"))
        else:
            place = directory.absolute()
        (place / "data").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / JOB, place / JOB)
        for file in sorted((source / "data").glob("*.tif")):
            target = place / "data" / file.name
            if not target.exists() or target.stat().st_size != file.stat().st_size:
                shutil.copyfile(file, target)
    except OSError as error:
        raise OutputGoneError(
            f"cannot copy the demo's data to {directory or tempfile.gettempdir()}: {error.strerror}"
        ) from error
    return place


def as_expected(result: RunResult) -> bool:
    """Whether only the broken file is in the dead letters, and all others are published."""
    items = result.items
    return (
        result.exit_code == ExitCode.PARTIAL
        and {letter["item"] for letter in result.dead_letters} == {BROKEN}
        and items["published"] == items["total"] - 1
    )


def comment(result: RunResult, place: Path, *, expected: bool) -> Iterator[str]:
    """Explain the result, and say what to type next."""
    yield ""
    if not expected:
        log = f"{result.output_dir}/.geobatch/log.jsonl"
        yield f"this is not what the demo expects; the log is {harmless(log)}"
        return
    yield from streams.prose(
        f"{BROKEN} was cut off on purpose. It is in the dead letters with its cause, nothing of "
        "it is published, and everything else is done: `geobatch run` says so with exit code 12. "
        "The demo ends with 0, because just this was expected (with --strict it ends with 12)."
    )
    yield ""
    yield "next:"
    yield f"  {command_line('geobatch run', place / JOB)}"
    yield "      once more: nothing is redone"
    yield f"  {command_line('geobatch plan', place / JOB)} --explain --set op.resampling=lanczos"
    yield "      what would be redone, and why"
    yield f"  {command_line('geobatch dead-letters', result.output_dir)}"
    yield "      what was given up, with evidence and a command that reproduces it"
