"""Asks which step is added to a chain: one of those that there are, or a function of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geobatch_tui.execution.params.own import function_code
from geobatch_tui.tui.parts.dialogs import Choice, Pick

if TYPE_CHECKING:
    from geobatch_tui.config.chains.written_steps import WrittenStep
    from geobatch_tui.tui.jobs.step_list import StepList
    from geobatch_tui.tui.parts.console_app import Console

_HINT: Final = "what it is called, or does"
_OWN: Final = "; or a function of your own, as steps.py:despeckle"


async def choose_step(app: Console, chain: StepList, number: int) -> WrittenStep | None:
    """Ask for a step that is added to ``chain`` as its ``number``; None: the dialog was left.

    The values that it needs are given later: it is in the chain without them.
    """
    choices = [Choice(name, name, _first(summary)) for name, summary in chain.choices(number)]
    hint = f"{_HINT}{_OWN}" if chain.takes_functions else _HINT
    is_free = is_function if chain.takes_functions else _is_nothing
    chosen = await app.push_screen_wait(Pick(f"Step {number}", choices, hint, is_free))
    if not chosen:
        return None
    return {"use": chosen} if is_free(chosen) else {"name": chosen}


def is_function(text: str) -> bool:
    """Whether a text names a function in a file, whether or not there is one."""
    try:
        function_code.split(text)
    except ValueError:
        return False
    return True


def _is_nothing(text: str) -> bool:
    del text
    return False


def _first(summary: str) -> str:
    """Return the first sentence of what a step does: there is one line for it."""
    head, stop, _ = summary.partition(". ")
    return f"{head}." if stop else head
