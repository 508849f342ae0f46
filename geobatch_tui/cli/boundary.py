"""Runs a command and turns whatever comes out of it into lines on stderr and an exit code.

No line shows a credential, whatever error it came with.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from typing import TYPE_CHECKING, Any

import typer

from geobatch_tui.cli.display import streams
from geobatch_tui.cli.root import app
from geobatch_tui.errors import ExitCode, GeobatchError
from geobatch_tui.observability.redact import redact
from geobatch_tui.observability.text import harmless

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "geobatch"
READER_GONE = 141
"""As a shell reports a command that SIGPIPE ended."""

# Typer brings its own copy of click in newer releases; the base of its errors is found either way.
_CommandLineError: type[Any] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def run_command(words: Sequence[str]) -> int:
    """Run ``geobatch WORDS`` and return the exit code; raises nothing but SystemExit."""
    streams.prepare()
    command = typer.main.get_command(app)
    if "_GEOBATCH_COMPLETE" in os.environ:
        command.main(list(words), prog_name=PROGRAM)
    try:
        with command.make_context(PROGRAM, list(words)) as context:
            code = command.invoke(context)
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - boundary: the process ends here, with a code
        return _ending(error)
    except KeyboardInterrupt:
        return ExitCode.SIGINT
    return code if isinstance(code, int) else ExitCode.OK


def _ending(error: Exception) -> int:
    """Say what ended the command, and return its exit code."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, _CommandLineError):
        return _usage(error)
    if isinstance(error, GeobatchError):
        report(error)
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        streams.silence(sys.stdout)
        return READER_GONE
    if isinstance(error, typer.Abort):
        return ExitCode.SIGINT
    from geobatch_tui.orchestration.plan.machine import shortage

    # As where the event loop finds no thread for its own end.
    known = shortage(error)
    return _unexpected(error) if known is None else _ending(known)


def report(error: GeobatchError) -> None:
    """Print an error, then its hint."""
    for line in redact(error.message).splitlines():
        streams.say(f"{PROGRAM}: error: {harmless(line)}")
    if error.hint:
        streams.say(f"{PROGRAM}: hint: {harmless(redact(error.hint))}")


def _usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    report(GeobatchError(error.format_message(), hint=f"see `{path} --help`"))
    return int(error.exit_code)


def _unexpected(error: Exception) -> int:
    """Report a bug, ours or a plug-in's: a line for the person, a traceback for the developer."""
    first = next(iter(redact(str(error)).splitlines()), "")
    streams.say(f"{PROGRAM}: error: unexpected {type(error).__name__}: {harmless(first)}")
    text = redact("".join(traceback.format_exception(error)))
    name = "" if os.environ.get("GEOBATCH_TRACEBACK") else _written(text)
    if name:
        streams.say(f"{PROGRAM}: hint: this is a bug; the traceback is in {harmless(name)}")
    else:
        sys.stderr.write(text)
    return ExitCode.RUNTIME


def _written(text: str) -> str:
    """Write a traceback to a new file, and return its name; "" where none can be written."""
    try:
        handle, name = tempfile.mkstemp(prefix="geobatch-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return ""
    return name
