"""Dismissal of dead letters that an operator knows of, in a live run or without one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from geobatch_tui.ledger.place.lock import RunLock
from geobatch_tui.ledger.schema.updates import LettersDismissed
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.orchestration.state.session import own_state_of_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json


def dismissal(arguments: Json, origin: str) -> LettersDismissed:
    """Make the update for a command: ``letters``, pairs of id and time, and ``note``.

    Raises:
        TypeError, ValueError: they are anything else.
    """
    letters, note = arguments.get("letters"), arguments.get("note")
    if not isinstance(letters, list) or not isinstance(note, str | None):
        raise TypeError("dismiss takes a list of letters and a note")
    try:
        pairs = tuple((int(dead_id), float(t)) for dead_id, t in letters)
    except TypeError as error:
        raise TypeError("a letter is a pair of numbers: its id and its time") from error
    return LettersDismissed(pairs, note, origin)


def dismiss(directory: Path, letters: Sequence[tuple[int, float]], note: str | None) -> int:
    """Note in the ledger of a run that has ended that its dead letters are known; return how many
    were noted.

    Args:
        directory: the run's output directory.
        letters: ids and times of the letters.
        note: for those who read them; None takes an earlier note back.

    Raises:
        LockHeldError: a run is live: send it the command ``dismiss``.
        PlanMismatchError, StateError: there is no run, or its ledger cannot be written.
    """
    state = own_state_of_run(directory)
    with RunLock.acquire(state.lock), Ledger.open(state.ledger, state.output_dir) as ledger:
        return ledger.dismiss_dead(letters, note, f"uid {os.getuid()}, pid {os.getpid()}")
