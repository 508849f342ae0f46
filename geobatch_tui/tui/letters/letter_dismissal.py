"""Dead letters dismissed with a note: by the run that is live, else in the ledger that it left."""

from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import StateError
from geobatch_tui.orchestration.state import dismissal
from geobatch_tui.tui.kit import fixed_width as fmt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.link import RunLink

_AT_ONCE: Final = 1000  #: letters of one command, some 30 bytes each; a longer line is refused


def dismiss(link: RunLink, letters: Sequence[tuple[int, float]], note: str | None) -> str:
    """Note that letters are known, or take that back, and say so. Blocks: call it from a thread.

    Args:
        link: the run.
        letters: ids and times.
        note: what is known; None takes it back.

    Raises:
        StateError: the console is read-only, the run refused, or the ledger cannot be written.
        LockHeldError: a run has begun meanwhile that takes no commands from here.
    """
    if link.read_only:
        raise StateError("this console is read-only")
    if link.can_steer():
        for part in batched(letters, _AT_ONCE):
            link.send("dismiss", letters=[list(letter) for letter in part], note=note)
        count = len(letters)
    else:
        count = dismissal.dismiss(link.directory, letters, note)
    many = fmt.plural(count, "dead letter")
    return f"{many} {'dismissed' if note is not None else 'as before'}"
