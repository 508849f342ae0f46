"""Asks where the report of a run goes, and has it written by a process of its own.

A report of 10^6 chunks takes seconds of Python: in a thread of this process it would hold up the
console, and a run that lives here.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import StateError
from geobatch_tui.observability.text import harmless, safe
from geobatch_tui.tui.parts.dialogs import PathDialog

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from geobatch_tui.tui.parts.page import Frame

_SAID: Final = "One page that needs no other file: .html for a browser or a printer, or .md"
_WORDS: Final = 300  #: characters of an error


async def report(screen: Frame, directory: Path, run_id: str) -> None:
    """Ask for a path, and write the report of the directory's newest run there, completely or not
    at all. Raises StateError where it cannot be written."""
    name = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in run_id)
    proposed = Path.cwd() / f"report-{name}.html"
    path = await screen.app.push_screen_wait(PathDialog("Report", _SAID, proposed))
    if path is None:
        return
    await _write(_words(directory, path))
    screen.notify(f"written to {safe(str(path))}", title="report", markup=False)


def _words(directory: Path, path: Path) -> list[str]:
    """Return the command that writes a report; no name is an option, or stdout."""
    names = ("--output", str(path.absolute()), "--", str(directory.absolute()))
    return [sys.executable, "-P", "-m", "geobatch_tui", "report", *names]


async def _write(words: list[str]) -> None:
    child = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # keys of the terminal are the console's
    )
    try:
        _, said = await child.communicate()
    except asyncio.CancelledError:
        await asyncio.shield(_end(child))
        raise
    if child.returncode:
        text = " ".join(said.decode("utf-8", "replace").split()).removeprefix("geobatch: ")
        raise StateError(harmless(text)[:_WORDS] or f"the report ended with {child.returncode}")


async def _end(child: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    try:
        await child.wait()
    except asyncio.CancelledError:  # the console's loop ends, and waits for this alone
        await child.wait()
        raise
