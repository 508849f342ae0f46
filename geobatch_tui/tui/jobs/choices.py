"""Asks what a job begins with, an example, and which step is added to its chain."""

from __future__ import annotations

import textwrap
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.paths import presets
from geobatch_tui.execution.ops.registry import operation_names
from geobatch_tui.execution.params.own import function_code
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.parts.dialogs import Choice, Pick

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geobatch_tui.config.chains.written_steps import WrittenStep
    from geobatch_tui.tui.jobs.draft import Field
    from geobatch_tui.tui.jobs.step_list import StepList
    from geobatch_tui.tui.parts.console_app import Console

_HINT: Final = "what it is called, or does"
_LONGEST: Final = 100
_SWITCH: Final = ("true", "false")
_OWN: Final = "; or a function of your own, as steps.py:despeckle"


def choose_example(app: Console, then: Callable[[Path], object]) -> None:
    """Ask for an example, and hand it to ``then``, unless the dialog is left."""
    found = {path.name: path for path in presets()}
    choices = [Choice(name, path.stem, _about(path)) for name, path in found.items()]
    hint = "an example to begin with: a word of it"

    def chosen(name: str | None) -> None:
        if name in found:
            then(found[name])

    app.push_screen(Pick("New job", choices, hint, roomy=True), chosen)


def _about(path: Path) -> str:
    """Return the first sentence of an example, for at most two lines of the dialog."""
    text = _comment(path).partition(". ")[0].partition(": ")[0]
    return safe(textwrap.shorten(text, _LONGEST, placeholder=" …"))


def _comment(path: Path) -> str:
    """Return the comment at the head of an example, up to its first empty line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = takewhile(lambda line: line.startswith("# "), lines)
    return " ".join(line.removeprefix("# ").strip() for line in head)


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


def words_of(field: Field) -> tuple[str, ...]:
    """Return the words that a key may have; none if it takes others."""
    if field.leaf.key == "op.name":
        return tuple(operation_names())
    return field.leaf.choices or (_SWITCH if isinstance(field.leaf.default, bool) else ())


def choose_word(app: Console, field: Field, then: Callable[[str], object]) -> None:
    """Ask for another one of the words of a key, and hand it to ``then``."""

    def chosen(word: str | None) -> None:
        if word and word != field.text:
            then(word)

    choices = [
        Choice(word, word, "as it is by default" if word == field.leaf.default else "")
        for word in words_of(field)
    ]
    hint = field.leaf.help or field.leaf.key
    app.push_screen(Pick(field.leaf.key, choices, hint, at=field.text), chosen)


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
