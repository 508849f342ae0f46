"""Text shown in the operator's editor or pager, which gets the terminal meanwhile."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual.app import SuspendNotSupported

from geobatch_tui.errors import ConfigError, GeobatchError, StateError
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit.terminal import on_signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import App

_EDITORS: Final = ("VISUAL", "EDITOR")
_VARIABLES: Final = (*_EDITORS, "PAGER")
_USUAL: Final = ("less", "nano", "vi", "more")
_USUAL_EDITORS: Final = ("nano", "vi")


def program(*, editing: bool = False) -> list[str]:
    """Return the command that shows a file: that of the first of ``$VISUAL``, ``$EDITOR`` and
    ``$PAGER`` that is set, else the first usual one that is installed; for ``editing`` no pager.

    Raises ConfigError where the variable is no command line, or there is none.
    """
    variables = _EDITORS if editing else _VARIABLES
    for name in variables:
        if value := os.environ.get(name, "").strip():
            try:
                return shlex.split(value)
            except ValueError as error:
                raise ConfigError(f"${name} is no command: {safe(value)}: {error}") from error
    for usual in _USUAL_EDITORS if editing else _USUAL:
        if found := shutil.which(usual):
            return [found]
    raise ConfigError("there is no editor", hint=_hint(variables))


def _hint(variables: Sequence[str]) -> str:
    return f"set one of ${', $'.join(variables)}"


def offer[Result](app: App[Result], text: str, name: str) -> None:
    """Show a text until the operator closes the program, and errors as notices. The console stands
    still meanwhile; a run in this process goes on, as it has a thread of its own. What is changed
    in the file is lost.

    Args:
        app: the console.
        text: harmless text.
        name: of the file; its suffix tells the program what it is.
    """
    try:
        words = program()
        with tempfile.TemporaryDirectory(prefix="geobatch-") as place:  # of mode 0700
            path = Path(place) / name
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            lend(app, [*words, str(path)])
    except GeobatchError as error:
        said = f"{error}\n{error.hint}" if error.hint else str(error)
        app.notify(said, title="editor", severity="error", markup=False)


def edit_outside[Result](app: App[Result], path: Path) -> None:
    """Let the operator edit a file in place; returns when the editor is closed.

    Raises ConfigError where there is no editor that can be started, and StateError where the
    terminal cannot be lent, as in a browser.
    """
    lend(app, [*program(editing=True), str(path)])


def lend[Result](app: App[Result], words: Sequence[str]) -> None:
    """Run a program that has the terminal meanwhile.

    Raises ConfigError where it cannot be started, and StateError where the terminal cannot be lent.
    """
    problem: OSError | None = None
    try:
        # Ctrl-C is the other program's alone: here it would end the run. Not by SIG_IGN, which the
        # program would inherit.
        with app.suspend(), on_signals({signal.SIGINT: lambda: None}):
            # Descriptors 1 and 2 lead to a file while the console runs.
            terminal = sys.__stderr__
            try:
                subprocess.run(  # noqa: S603 - a program of the operator's own choice
                    words, stdout=terminal, stderr=terminal, check=False
                )
            except OSError as error:
                # Raised here it would leave the console suspended.
                problem = error
    except SuspendNotSupported as error:
        raise StateError("this terminal cannot be lent to another program") from error
    if problem is not None:
        raise ConfigError(
            f"cannot start {safe(words[0])}: {problem.strerror}", hint=_hint(_VARIABLES)
        ) from problem
