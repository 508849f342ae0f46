"""Starts a run in the background, and says how to follow it, or why it did not start."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from geobatch_tui.cli.display import streams
from geobatch_tui.errors import ExitCode
from geobatch_tui.observability.text import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from geobatch_tui.orchestration.detached import Background

_GRACE: Final = 3.0
_TAIL: Final = 20


def run_detached(words: Sequence[str], directory: Path) -> int:
    """Start ``geobatch WORDS`` in the background and wait until it holds the lock, or ended.

    Prints ``directory`` to stdout once the run lives (0), or has already ended well; returns the
    exit code that it ended with.

    Raises:
        PreflightError: the output directory is a file.
        OutputGoneError, DiskFullError: the output directory cannot be made or written.
        StateError: its state directory is not the user's own.
    """
    from geobatch_tui.ledger.place.state_directory import NAME, make_root
    from geobatch_tui.orchestration.detached import Background
    from geobatch_tui.orchestration.state.session import refuse_file

    refuse_file(directory)
    place = directory / NAME
    made = [missing for missing in (place, *place.parents) if not missing.exists()]
    state = make_root(directory)
    child = Background.start(words, state)
    code = child.wait(_GRACE)
    if code is not None and code != 0:
        streams.say(f"geobatch: error: the detached run ended with {code}; its last lines:")
        for line in child.last_words(_TAIL):
            streams.say(f"  {line}")
        if code == ExitCode.USAGE:  # refused: nothing may be left behind
            _remove(child, made)
        return code
    pid = child.process.pid
    streams.write(str(directory))
    streams.say(f"follow it:  {command_line('geobatch watch', directory)}")
    streams.say(f"stop it:    kill -INT {pid}" if code is None else "it has ended already")
    return 0


def _remove(child: Background, made: Sequence[Path]) -> None:
    """Remove the log and the directories that this command made, if they are empty."""
    from geobatch_tui.orchestration.detached import LOG

    (child.root / LOG).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for directory in made:
            directory.rmdir()
