"""Questions before the console changes the run or closes."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.kit.modal import Modal, Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType


WIDTH: Final = 58
"""Characters of a meaning on one line of the dialog, beside its scrollbar."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer: its id, its name, and its meaning."""

    identifier: str
    name: str
    meaning: str


def _lines(meaning: str) -> list[str]:
    """Return the lines of a meaning, indented."""
    return [f"\n  {line}" for line in textwrap.wrap(meaning, WIDTH)]


class Question(Modal[str]):
    """A question with a few answers; gives the id of the answer, or "" when it was left.

    The first answer is the one that changes least.
    """

    BINDING_GROUP_TITLE = "Question"
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "leave")]

    def __init__(self, title: str, text: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._choices = choices

    def compose(self) -> ComposeResult:
        """A box in the middle."""
        with Vertical(id="question") as box:
            box.border_title = self._title
            yield Static(Content(self._text), id="question-text", markup=False)
            yield Options(
                *(
                    Option(
                        Content.assemble((choice.name, "bold"), *_lines(choice.meaning)),
                        id=choice.identifier,
                    )
                    for choice in self._choices
                ),
                markup=False,
                compact=True,
            )

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """An answer was chosen."""
        message.stop()
        self.dismiss(message.option.id or "")

    def action_leave(self) -> None:
        """Leave the question unanswered."""
        self.dismiss("")
