"""The two streams: results go to stdout, everything else to stderr.

Text that comes from outside (file names, messages of libraries) passes :func:`harmless` and is
never read as markup.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from contextlib import contextmanager
from typing import TYPE_CHECKING

from geobatch_tui.observability.text import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

UNBOUNDED = 1000
"""Columns of a result that goes to a file or a pipe: nothing is cut there."""


def prepare() -> None:
    """Make both streams take any text: what they cannot encode is escaped, never an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def console(*, stderr: bool = False) -> Console:
    """Make a console on stdout or stderr, as wide as the terminal, or unbounded if it is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        markup=False,
        highlight=False,
        emoji=False,
        width=None if stream.isatty() else UNBOUNDED,
    )


def show(*parts: RenderableType, wrap: bool = True) -> None:
    """Print a result made with rich to stdout.

    A file or a pipe gets no padding at the ends of lines. Without ``wrap`` a long line stays whole,
    so that it can be copied.
    """
    out = console()
    if sys.stdout.isatty():
        out.print(*parts, soft_wrap=not wrap)
        return
    with out.capture() as captured:
        out.print(*parts, soft_wrap=not wrap)
    for line in captured.get().splitlines():
        write(line.rstrip())


def foreign(text: object, style: str = "") -> Text:
    """Make text from outside harmless, for a table or a line; it is never read as markup."""
    from rich.text import Text

    return Text(harmless(str(text)), style=style)


def pairs(*, no_wrap: bool = False) -> Table:
    """Make a table of two columns without lines: names, which ``no_wrap`` keeps whole, and text."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=no_wrap)
    table.add_column(overflow="fold")
    return table


def say(line: str) -> None:
    """Write a message to stderr. The caller has made foreign parts safe."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def signal(sequence: str) -> None:
    """Send the terminal a sequence of our own that prints nothing, as a bell."""
    sys.stderr.write(sequence)
    sys.stderr.flush()


def prose(text: str) -> list[str]:
    """Wrap a paragraph to the terminal, to 80 columns at most."""
    return textwrap.wrap(text, min(80, shutil.get_terminal_size().columns) - 1)


def write(line: str) -> None:
    """Write a line of a result to stdout."""
    sys.stdout.write(f"{line}\n")


def write_json(value: object) -> None:
    """Write a JSON value to stdout, indented on a terminal, else on one line."""
    indent = 2 if sys.stdout.isatty() else None
    write(json.dumps(value, indent=indent, allow_nan=False))


def write_json_list(values: Iterable[object]) -> None:
    """Write a JSON list to stdout, an element a line, without holding it in memory."""
    opening = "["
    for value in values:
        write(opening + json.dumps(value, allow_nan=False))
        opening = ","
    write("]" if opening == "," else "[]")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Let the reader of stdout go away meanwhile: the exit code says more than that."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)


def silence(stream: TextIO) -> None:
    """Point a stream at nothing, so that the interpreter's last flush cannot fail either."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
